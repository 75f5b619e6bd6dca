//! Which Accounts a gate asks: those of the Release and those of the present spec.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

use serde_json::json;

use super::*;
use crate::{
    api::v1alpha1::{Account, ReleaseRef, ReleaseSource, Stage, StageTarget},
    domain::{
        gates::{PolicyForce, entry::Way},
        promotion::{Answer, Ask, Entry, Gatekeeper as _, ReleaseView},
        reason::Reason,
    },
};

/// An Account that requires an approval by this group.
fn account(approvers: &str) -> Arc<Account> {
    let spec = json!({
        "accountId": "222222222222",
        "regions": [{"name": "eu-west-1", "artifactBucket": "packages"}],
        "credentials": {"ambient": {}},
        "requires": {"approval": {"kubernetes": {"groups": [approvers]}}},
    });
    Arc::new(Account::new("any", serde_json::from_value(spec).unwrap()))
}

/// The gates of a Deployment whose stage prod is in the Account `now`.
fn gates(now: &str, accounts: &[&str]) -> Gates {
    let stage = StageGate {
        gate: None,
        accounts: [now.to_owned()].into(),
        job_readings: None,
    };
    let known = accounts.iter();
    Gates {
        namespace: "shop".to_owned(),
        stages: [("prod".to_owned(), stage)].into(),
        protected_ref: false,
        accounts: known
            .map(|name| ((*name).to_owned(), account(name)))
            .collect(),
        approvals: Vec::new(),
        used: BTreeSet::new(),
        policy: None,
        is_gitlab_read: false,
        freezes: Err("GitLab was not asked yet".to_owned()),
    }
}

/// A Release that has prod in this Account, and dev in another one.
fn release(account: &str) -> ReleaseView {
    let stage = |name: &str, account: &str| Stage {
        name: name.into(),
        targets: vec![StageTarget {
            account: account.into(),
            region: "eu-west-1".into(),
        }],
        ..Stage::default()
    };
    ReleaseView {
        reference: ReleaseRef {
            name: "checkout-1".into(),
            uid: "uid-1".into(),
            revision: 1,
        },
        source: ReleaseSource::default(),
        stages: vec![stage("dev", "play"), stage("prod", account)],
        outcomes: Vec::new(),
    }
}

fn askers(gates: &Gates, release: &ReleaseView, way: Way) -> Result<Vec<String>, Reason> {
    let entry = Entry {
        stage: "prod",
        release,
        way,
    };
    let needs = gates.needs(&entry).map_err(|refusal| refusal.reason)?;
    let approvals = needs.approvals.iter();
    Ok(approvals.map(|one| one.asker.to_string()).collect())
}

#[test]
fn gate_requirements_cover_accounts_of_the_release_and_the_spec() {
    let moved = gates("new", &["old", "new"]);
    let both = vec!["Account new".to_owned(), "Account old".to_owned()];
    for way in [Way::Forward, Way::Rollback] {
        assert_eq!(askers(&moved, &release("old"), way), Ok(both.clone()));
    }
    let stays = gates("old", &["old", "new"]);
    let one = Ok(vec!["Account old".to_owned()]);
    assert_eq!(askers(&stays, &release("old"), Way::Forward), one);
}

#[test]
fn missing_account_of_the_release_or_the_spec_refuses_entry() {
    let gone = Err(Reason::AccountNotFound);
    let moved = gates("new", &["new"]);
    assert_eq!(askers(&moved, &release("old"), Way::Forward), gone);
    let unknown = gates("new", &["old"]);
    assert_eq!(askers(&unknown, &release("old"), Way::Forward), gone);
}

#[test]
fn unread_state_is_reported_until_it_is_read() {
    let mut gates = gates("old", &["old"]);
    let spec = json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}});
    let gate = gates.stages.get_mut("prod").unwrap();
    gate.gate = Some(serde_json::from_value(spec).unwrap());
    let release = release("old");
    let ask = Ask {
        entry: Entry {
            stage: "prod",
            release: &release,
            way: Way::Forward,
        },
        attempt: 1,
        digest: "aa",
        deletes: false,
    };
    let all = [Unread::AdmissionPolicy, Unread::GitLab].into();
    assert_eq!(gates.ask(&ask).unread, all);
    gates.policy = Some(PolicyForce::NotInForce("it is missing".into()));
    assert_eq!(gates.ask(&ask).unread, [Unread::GitLab].into());
    gates.is_gitlab_read = true;
    let evaluated = gates.ask(&ask);
    assert_eq!(
        evaluated.unread,
        BTreeSet::new(),
        "GitLab and the policy were read"
    );
    assert!(matches!(evaluated.answer, Answer::Waiting { .. }));
}
