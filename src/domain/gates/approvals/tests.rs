//! All reasons why an Approval does not count.
#![allow(
    clippy::needless_pass_by_value,
    reason = "json!() reads better without a reference"
)]

use serde_json::{Value, json};

use super::{super::requirements::Requirements, *};
use crate::{
    api::v1alpha1::{AccountRequires, ApprovalStatus},
    domain::{gates::requirements::Approvers, reason::Reason},
};

pub const DIGEST: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER_DIGEST: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// The waiting plan: of Release checkout-7 in stage prod, from ana's pipeline.
pub const SUBJECT: Subject<'static> = Subject {
    release: "checkout-7",
    release_uid: "uid-7",
    stage: "prod",
    stage_digest: DIGEST,
    author: Some("ana"),
};

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Bea's Approval of [`SUBJECT`], as a member of approvers.
pub fn manifest() -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {
            "name": "bea",
            "namespace": "shop",
            "uid": "approval-bea",
            "generation": 1,
            "creationTimestamp": "2026-11-26T10:00:00Z",
        },
        "spec": {
            "releaseRef": {"name": "checkout-7", "uid": "uid-7"},
            "stage": "prod",
            "stageDigest": DIGEST,
            "decision": "Approve",
            "approver": {"username": "bea", "groups": ["approvers"]},
        },
    })
}

/// That Approval with one field changed.
pub fn approval(pointer: &str, value: Value) -> Approval {
    let mut manifest = manifest();
    if !pointer.is_empty() {
        *manifest.pointer_mut(pointer).unwrap() = value;
    }
    serde_json::from_value(manifest).unwrap()
}

fn good() -> Approval {
    approval("", Value::Null)
}

fn in_force() -> PolicyForce {
    PolicyForce::Since(at("2026-11-01T00:00:00Z"))
}

fn approvers(value: Value) -> KubernetesApprovers {
    let requires: AccountRequires =
        serde_json::from_value(json!({"approval": {"kubernetes": value}})).unwrap();
    let all = Requirements::of(None, [("prod", &requires)]).unwrap();
    match all.approvals.into_iter().next().unwrap().from {
        Approvers::Kubernetes(approvers) => approvers,
        Approvers::ManualJob(job) => panic!("{job:?}"),
    }
}

fn speaks(approval: &Approval) -> Result<(), Ignored> {
    speaks_of(approval, &SUBJECT, &BTreeSet::new(), &in_force())
}

fn from(approval: &Approval, who: Value, now: &str) -> Result<(), Ignored> {
    check_approver(approval, &approvers(who), &SUBJECT, at(now))
}

const NOW: &str = "2026-11-26T12:00:00Z";

#[test]
fn approval_of_the_waiting_plan_counts() {
    assert_eq!(speaks(&good()), Ok(()));
    assert_eq!(from(&good(), json!({"groups": ["approvers"]}), NOW), Ok(()));
    assert_eq!(from(&good(), json!({"users": ["bea"]}), NOW), Ok(()));
}

#[test]
fn approval_of_another_release_stage_or_plan_does_not_count() {
    let other_plan = Ignored::OtherPlan {
        current: DIGEST.to_owned(),
    };
    for (pointer, value, expected) in [
        (
            "/spec/releaseRef/uid",
            json!("uid-6"),
            Ignored::OtherRelease,
        ),
        (
            "/spec/releaseRef/name",
            json!("checkout-6"),
            Ignored::OtherRelease,
        ),
        ("/spec/stage", json!("dev"), Ignored::OtherStage),
        ("/spec/stageDigest", json!(OTHER_DIGEST), other_plan),
    ] {
        assert_eq!(
            speaks(&approval(pointer, value)),
            Err(expected),
            "{pointer}"
        );
    }
}

#[test]
fn used_approval_does_not_count_again() {
    let used = BTreeSet::from(["approval-bea".to_owned()]);
    let recorded = speaks_of(&good(), &SUBJECT, &used, &in_force());
    assert_eq!(recorded, Err(Ignored::Used));
    // Not in `used`, but its own status says so.
    let mut own = good();
    let mut status = ApprovalStatus::default();
    Judgement::Used.write_condition(&own, &mut status.conditions, at(NOW));
    own.status = Some(status);
    assert_eq!(speaks(&own), Err(Ignored::Used));
}

#[test]
fn approval_without_admission_policy_does_not_count() {
    let force = PolicyForce::NotInForce("it is not installed".into());
    let ignored = speaks_of(&good(), &SUBJECT, &BTreeSet::new(), &force).unwrap_err();
    assert_eq!(ignored.reason(), Reason::PolicyNotInForce);
    assert!(ignored.message(&good()).contains("it is not installed"));
    // Created while the policy was not in force.
    let force = PolicyForce::Since(at("2026-11-26T10:00:01Z"));
    let ignored = speaks_of(&good(), &SUBJECT, &BTreeSet::new(), &force).unwrap_err();
    assert!(
        ignored
            .message(&good())
            .contains("made before 2026-11-26T10:00:01Z")
    );
    let force = PolicyForce::Since(at("2026-11-26T10:00:00Z"));
    assert_eq!(
        speaks_of(&good(), &SUBJECT, &BTreeSet::new(), &force),
        Ok(())
    );
}

#[test]
fn approval_without_creation_time_counts_as_oldest() {
    let mut timeless = good();
    timeless.metadata.creation_timestamp = None;
    assert_eq!(
        speaks(&timeless).unwrap_err().reason(),
        Reason::PolicyNotInForce
    );
}

#[test]
fn approval_of_an_unlisted_user_does_not_count() {
    for who in [
        json!({"users": ["carl"]}),
        json!({"groups": ["admins"]}),
        // A username is not a group, and a group is not a username.
        json!({"groups": ["bea"]}),
        json!({"users": ["approvers"]}),
        json!({"users": ["Bea"]}),
    ] {
        assert_eq!(
            from(&good(), who.clone(), NOW),
            Err(Ignored::NotAllowed),
            "{who}"
        );
    }
    let groupless = approval("/spec/approver/groups", json!([]));
    let ignored = from(&groupless, json!({"groups": ["approvers"]}), NOW).unwrap_err();
    assert!(ignored.message(&groupless).contains("no groups are named"));
}

#[test]
fn expired_approval_does_not_count() {
    let who = json!({"users": ["bea"], "expiresAfter": "2h"});
    assert_eq!(from(&good(), who.clone(), "2026-11-26T11:59:59Z"), Ok(()));
    assert_eq!(
        from(&good(), who, "2026-11-26T12:00:00Z"),
        Err(Ignored::Expired {
            at: at("2026-11-26T12:00:00Z")
        })
    );
}

#[test]
fn barred_author_can_not_approve_their_own_pipeline() {
    let who = |identities: Value| json!({"groups": ["approvers"], "allowAuthor": false, "identities": identities});
    let of = |user: &str, identities: Value| {
        let approval = approval("/spec/approver/username", json!(user));
        from(&approval, who(identities), NOW)
    };
    let named = json!([{"gitlabUser": "ana", "kubernetesUsers": ["ana.smith", "ana"]}]);
    assert_eq!(of("ana.smith", named.clone()), Err(Ignored::AuthorBarred));
    assert_eq!(of("ana", named.clone()), Err(Ignored::AuthorBarred));
    assert_eq!(of("bea", named), Ok(()));
    let pattern = json!([{"gitlabUser": "*", "kubernetesUsers": ["oidc:*"]}]);
    assert_eq!(of("oidc:ana", pattern.clone()), Err(Ignored::AuthorBarred));
    assert_eq!(of("oidc:bea", pattern), Ok(()));
    // Bea might be ana.
    let other_user = json!([{"gitlabUser": "carl", "kubernetesUsers": ["carl"]}]);
    assert_eq!(
        of("bea", other_user.clone()),
        Err(Ignored::AuthorUnknown {
            author: Some("ana".into())
        })
    );
    let no_author = Subject {
        author: None,
        ..SUBJECT
    };
    let unknown = check_approver(&good(), &approvers(who(other_user)), &no_author, at(NOW));
    assert_eq!(unknown, Err(Ignored::AuthorUnknown { author: None }));
}

#[test]
fn an_author_may_always_reject() {
    let who = json!({
        "users": ["ana"], "allowAuthor": false,
        "identities": [{"gitlabUser": "ana", "kubernetesUsers": ["ana"]}],
    });
    let mut rejection = approval("/spec/approver/username", json!("ana"));
    assert_eq!(
        from(&rejection, who.clone(), NOW),
        Err(Ignored::AuthorBarred)
    );
    rejection.spec.decision = Decision::Reject;
    assert_eq!(from(&rejection, who, NOW), Ok(()));
}

#[test]
fn approval_without_a_waiting_gate_is_ignored_with_a_reason() {
    let unused = BTreeSet::new();
    let reason = |uid| match unasked(&good(), uid, &unused) {
        Judgement::Ignored(why) => why.reason(),
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(None), Reason::NoSuchRelease);
    assert_eq!(reason(Some("uid-8")), Reason::OtherRelease);
    assert_eq!(reason(Some("uid-7")), Reason::NotWaiting);
    let used = BTreeSet::from(["approval-bea".to_owned()]);
    assert_eq!(unasked(&good(), Some("uid-7"), &used), Judgement::Used);
}

#[test]
fn condition_reports_the_judgement_of_an_approval() {
    let approval = good();
    let condition = |judgement: Judgement| {
        let mut conditions = Vec::new();
        judgement.write_condition(&approval, &mut conditions, at(NOW));
        let counted = find(&conditions, COUNTED).unwrap().clone();
        format!("{} {}: {}", counted.status, counted.reason, counted.message)
    };
    let plan = Ignored::OtherPlan {
        current: OTHER_DIGEST.into(),
    };
    let conditions = [
        condition(Judgement::Counts),
        condition(Judgement::Used),
        condition(Judgement::Ignored(plan)),
        condition(Judgement::Ignored(Ignored::NotAllowed)),
        condition(Judgement::Ignored(Ignored::AuthorBarred)),
        condition(Judgement::Ignored(Ignored::AuthorUnknown {
            author: Some("ana".into()),
        })),
        condition(Judgement::Ignored(Ignored::Repeated { by: "first".into() })),
        condition(Judgement::Ignored(Ignored::Expired { at: at(NOW) })),
        condition(Judgement::Ignored(Ignored::Used)),
        condition(Judgement::Ignored(Ignored::OtherRelease)),
        condition(Judgement::Ignored(Ignored::OtherStage)),
        condition(Judgement::Ignored(Ignored::NotWaiting)),
        condition(Judgement::Ignored(Ignored::NotAsked)),
        condition(Judgement::Ignored(Ignored::NoSuchRelease)),
    ]
    .join("\n");
    insta::assert_snapshot!(conditions);
}

#[test]
fn two_policies_are_in_force_since_the_later_one() {
    let since = |text: &str| PolicyForce::Since(at(text));
    let (early, late) = (since("2026-11-01T00:00:00Z"), since("2026-11-02T00:00:00Z"));
    let off = PolicyForce::NotInForce("it is gone".into());
    assert_eq!(early.clone().and(late.clone()), late);
    assert_eq!(late.clone().and(early.clone()), late);
    assert_eq!(early.and(off.clone()), off);
    assert_eq!(off.clone().and(late), off);
}
