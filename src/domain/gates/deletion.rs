//! Approval of deletions, for Accounts that require it before live resources are deleted.
//!
//! An Approval of a deletion looks like any other: it names the live Release, the stage, and the digest of
//! what is deleted on one Target. It opens no gate of a delivery, whose digest is over plans, and an Approval
//! of a plan allows no deletion.

use super::{approvals::Subject, verdict::Verdict};
use crate::{
    api::v1alpha1::{DeletionStatus, InventoryItem, ReleaseRef, TargetSpec},
    domain::{digest::Sha256, outcome::shorten},
};

/// How many resources a message names.
const NAMED: usize = 5;

/// The digest of the resources that are deleted with the Target of this uid.
pub fn digest<'a>(
    target: &TargetSpec,
    uid: &str,
    items: impl Iterator<Item = &'a InventoryItem>,
) -> String {
    let mut items: Vec<_> = items.map(|item| (&item.kind, &item.name)).collect();
    items.sort();
    let place = (&target.stage, &target.account_id, &target.region);
    Sha256::of_json(&("deletion", uid, place, items)).to_string()
}

/// The status of a waiting deletion: the previous one if its digest is the same, else a new one.
pub fn status(
    before: Option<&DeletionStatus>,
    release: ReleaseRef,
    digest: String,
) -> DeletionStatus {
    let same = before.filter(|before| before.digest == digest);
    same.cloned().unwrap_or(DeletionStatus {
        release,
        digest,
        passed: None,
    })
}

/// The subject to approve.
pub fn subject<'a>(stage: &'a str, deletion: &'a DeletionStatus) -> Subject<'a> {
    Subject {
        release: &deletion.release.name,
        release_uid: &deletion.release.uid,
        stage,
        stage_digest: &deletion.digest,
        // A deletion has no pipeline.
        author: None,
    }
}

/// For people: what is to be deleted, and what it waits for or who rejected it.
pub fn message<'a>(
    verdict: &Verdict,
    target: &TargetSpec,
    items: impl Iterator<Item = &'a InventoryItem>,
) -> String {
    let names: Vec<&str> = items.map(|item| item.name.as_str()).collect();
    let mut what = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        what = format!("{what} and {} more", names.len() - NAMED);
    }
    let (account, region) = (&target.account, &target.region);
    let what = format!("{} in {account}/{region}", shorten(&what, 512));
    match verdict {
        Verdict::Open(_) => format!("{what} may be deleted"),
        Verdict::Waiting { reasons, notes, .. } => {
            let reasons = reasons.iter().map(super::Waiting::message);
            let all: Vec<String> = reasons.chain(notes.iter().take(3).cloned()).collect();
            format!("deleting {what} waits: {}", all.join("; "))
        }
        Verdict::Rejected {
            by,
            approval,
            comment,
            ..
        } => {
            let why = comment.as_deref().map(|it| format!(": {it}"));
            let why = why.unwrap_or_default();
            format!("{by} rejected deleting {what} (Approval {approval}){why}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(change: &str, to: &str) -> TargetSpec {
        let mut spec = json!({
            "deployment": "checkout", "stage": "prod", "account": "prod", "accountId": "222222222222",
            "region": "eu-west-1", "deletionPolicy": "Delete",
        });
        if !change.is_empty() {
            spec[change] = json!(to);
        }
        serde_json::from_value(spec).unwrap()
    }

    fn items(names: &[&str]) -> Vec<InventoryItem> {
        let item = |name: &&str| {
            serde_json::from_value(json!({
                "component": "api", "kind": "LambdaFunction", "name": name, "created": true,
            }))
        };
        names.iter().map(|name| item(name).unwrap()).collect()
    }

    #[test]
    fn deletion_digest_covers_target_and_resources() {
        let of =
            |spec: &TargetSpec, uid: &str, names: &[&str]| digest(spec, uid, items(names).iter());
        let both = ["checkout-api", "checkout-worker"];
        let approved = of(&target("", ""), "uid-1", &both);
        let reversed = ["checkout-worker", "checkout-api"];
        assert_eq!(of(&target("", ""), "uid-1", &reversed), approved);
        for other in [
            of(&target("", ""), "uid-1", &both[..1]),
            of(&target("", ""), "uid-1", &["checkout-api", "checkout-cron"]),
            of(&target("", ""), "uid-2", &both),
            of(&target("stage", "qa"), "uid-1", &both),
            of(&target("accountId", "333333333333"), "uid-1", &both),
            of(&target("region", "eu-west-2"), "uid-1", &both),
        ] {
            assert_ne!(other, approved);
        }
    }

    #[test]
    fn passage_of_a_deletion_does_not_count_for_another() {
        let release = ReleaseRef {
            name: "checkout-7".into(),
            uid: "uid-7".into(),
            revision: 7,
        };
        let passed = DeletionStatus {
            passed: Some(crate::api::v1alpha1::GatePassage::default()),
            ..status(None, release.clone(), "a".repeat(64))
        };
        let same = status(Some(&passed), release.clone(), "a".repeat(64));
        assert_eq!(same.passed, passed.passed);
        let other = status(Some(&passed), release, "b".repeat(64));
        assert_eq!(other.passed, None);
    }
}
