//! Whose places are asked: those of the Release and those of the present spec.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

use serde_json::json;

use super::*;
use crate::{
    api::v1alpha1::{Account, ReleaseRef, ReleaseSource, Stage, StageTarget},
    domain::{
        gates::entry::Way,
        reason::Reason,
        rollout::{Entry, ReleaseView},
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

/// prod lies in that Account now.
fn gates(now: &str, accounts: &[&str]) -> Gates {
    let stage = StageGate {
        gate: None,
        accounts: [now.to_owned()].into(),
        looked: None,
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
        policy_asked: AtomicBool::new(false),
        freezes: None,
        gitlab_asked: AtomicBool::new(false),
        judged: Mutex::default(),
    }
}

/// A Release that writes into that Account in prod, and into another one in dev.
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
fn the_accounts_of_the_release_are_asked_together_with_those_of_the_spec() {
    let moved = gates("new", &["old", "new"]);
    let both = vec!["Account new".to_owned(), "Account old".to_owned()];
    for way in [Way::Forward, Way::Back] {
        assert_eq!(askers(&moved, &release("old"), way), Ok(both.clone()));
    }
    let stays = gates("old", &["old", "new"]);
    let one = Ok(vec!["Account old".to_owned()]);
    assert_eq!(askers(&stays, &release("old"), Way::Forward), one);
}

#[test]
fn an_account_that_only_one_of_them_names_refuses_where_it_is_not_there() {
    let gone = Err(Reason::AccountNotFound);
    let moved = gates("new", &["new"]);
    assert_eq!(askers(&moved, &release("old"), Way::Forward), gone);
    let unknown = gates("new", &["old"]);
    assert_eq!(askers(&unknown, &release("old"), Way::Forward), gone);
}
