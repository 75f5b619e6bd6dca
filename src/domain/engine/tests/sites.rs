//! A function and files move together.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{super::*, fake_aws::*, faults::fault};
use crate::domain::workload::s3::site::tests::bucket::Object;

const FIRST: &[(&str, &str)] = &[("app.js", "a"), ("gone.svg", "g"), ("index.html", "i")];
const SECOND: &[(&str, &str)] = &[("app.js", "b"), ("index.html", "j"), ("new.css", "n")];

/// A function with this code, and a site with these files.
fn both(aws: &mut FakeAws, revision: i64, code: &str, files: &[(&str, &str)]) -> Desired {
    let mut desired = desired(revision, vec![want("api", code, 128)]);
    let site = site(aws, &format!("archive-{revision}"), files);
    desired.components.push(site);
    desired
}

fn deliver(aws: &mut FakeAws, revision: i64, code: &str, files: &[(&str, &str)]) -> Step {
    let desired = both(aws, revision, code, files);
    aws.deliver_as(desired)
}

fn prune(aws: &mut FakeAws, revision: i64) {
    let run = run(revision, 1, Goal::Prune);
    aws.known = Known::default();
    let task = Task::Prune(DeletionPolicy::Retain);
    assert_eq!(aws.finish(&task, &run), Step::Succeeded);
}

/// The served objects, without what S3 changes with each write.
fn served(aws: &FakeAws) -> BTreeMap<String, Object> {
    let mut objects = aws.bucket.objects.clone();
    for object in objects.values_mut() {
        object.modified = 0;
        object.etag.clear();
    }
    objects
}

fn texts(aws: &FakeAws) -> Vec<(&str, &str)> {
    aws.bucket.served()
}

#[test]
fn files_change_with_the_function_and_are_pruned_at_the_end() {
    let mut aws = FakeAws::new();
    aws.bucket.foreign("docs/own.txt", "theirs");
    assert_eq!(deliver(&mut aws, 1, "v1", FIRST), Step::Succeeded);
    aws.log.clear();
    aws.bucket.log.clear();
    assert_eq!(deliver(&mut aws, 2, "v2", SECOND), Step::Succeeded);
    insta::assert_snapshot!(aws.log);
    let task = [
        "keep app.js",
        "keep index.html",
        "keep gone.svg",
        "store snapshot",
        "put new.css",
        "put app.js",
        "put index.html",
        "store manifest",
    ];
    assert_eq!(aws.bucket.log, task);
    assert!(texts(&aws).contains(&("gone.svg", "g")), "not pruned");
    assert!(aws.status.inventory.iter().any(InventoryItem::needs_prune));
    prune(&mut aws, 2);
    let mut left = SECOND.to_vec();
    left.push(("own.txt", "theirs"));
    left.sort_unstable();
    assert_eq!(texts(&aws), left);
    assert!(!aws.status.inventory.iter().any(InventoryItem::needs_prune));

    // The same files change nothing.
    aws.bucket.log.clear();
    assert_eq!(deliver(&mut aws, 3, "v2", SECOND), Step::Succeeded);
    assert_eq!(aws.bucket.log, Vec::<String>::new());

    // A removal deletes everything but unmanaged files.
    let ended = aws.removal_pass(&|status, observed, now| {
        decide_removal(DeletionPolicy::Delete, status, &owner(), observed, now)
    });
    assert!(matches!(ended, Some(Outcome::Done { .. })), "{ended:?}");
    assert_eq!(texts(&aws), [("own.txt", "theirs")]);
    assert!(aws.functions.is_empty());
}

#[test]
fn pruned_files_are_restored() {
    let mut aws = FakeAws::new();
    deliver(&mut aws, 1, "v1", FIRST);
    let (before, functions) = (served(&aws), visible(&aws));
    deliver(&mut aws, 2, "v2", SECOND);
    prune(&mut aws, 2);
    assert_ne!(served(&aws), before);
    assert_eq!(aws.restore(2), Step::RolledBack);
    assert_eq!(served(&aws), before);
    assert_eq!(visible(&aws), functions);

    // The recorded objects exist: the next delivery finds all of them.
    aws.bucket.log.clear();
    assert_eq!(deliver(&mut aws, 3, "v1", FIRST), Step::Succeeded);
    assert_eq!(aws.bucket.log, ["store snapshot", "store manifest"]);
}

#[test]
fn site_below_a_function_is_checked_and_recorded() {
    let mut aws = FakeAws::new();
    let mut desired = both(&mut aws, 1, "v1", FIRST);
    desired.components[0].level = 1;
    assert_eq!(aws.deliver_as(desired), Step::Succeeded);
    let objects = aws
        .status
        .inventory
        .iter()
        .find_map(|item| item.objects.as_ref());
    assert_eq!(objects.expect("on record").retired, 0);
    let mut desired = both(&mut aws, 2, "v2", SECOND);
    desired.components[0].level = 1;
    aws.bad.push(code("v2"));
    let before = served(&aws);
    assert_eq!(aws.deliver_as(desired), Step::RolledBack);
    assert_eq!(served(&aws), before);
}

#[test]
fn unmanaged_file_in_the_way_fails_the_run_before_any_change() {
    let mut aws = FakeAws::new();
    aws.bucket.foreign("docs/index.html", "theirs");
    let before = served(&aws);
    assert_eq!(deliver(&mut aws, 1, "v1", FIRST), Step::Failed);
    assert_eq!(served(&aws), before);
    assert!(aws.functions.is_empty());
    let message = aws
        .status
        .run
        .as_ref()
        .and_then(|run| run.message.as_deref());
    assert!(message.is_some_and(|message| message.contains("s3://shop-site/docs/index.html")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whichever calls fail and whenever the controller crashes: both serve, or the former state does, byte
    /// for byte.
    #[test]
    fn function_and_files_move_together_or_not_at_all(
        delivered_before in any::<bool>(),
        bad in any::<bool>(),
        random_etags in any::<bool>(),
        site_first in any::<bool>(),
        faults in prop::collection::vec(fault(), 0..40),
    ) {
        let mut aws = FakeAws::new();
        aws.bucket.random_etags = random_etags;
        aws.bucket.foreign("docs/own.txt", "theirs");
        if delivered_before {
            deliver(&mut aws, 1, "v1", FIRST);
        }
        let before = (served(&aws), visible(&aws));
        if bad {
            aws.bad.push(code("v2"));
        }
        aws.faults = faults;
        let mut wanted = both(&mut aws, 2, "v2", SECOND);
        wanted.components[0].level = usize::from(site_first);
        let serves = |aws: &FakeAws| SECOND.iter().all(|file| texts(aws).contains(file));
        match aws.deliver_as(wanted) {
            Step::Succeeded => {
                prop_assert!(!bad);
                prop_assert!(serves(&aws), "{:?}\n{}", texts(&aws), aws.log);
                prune(&mut aws, 2);
                prop_assert!(serves(&aws) && texts(&aws).len() == SECOND.len() + 1);
            }
            Step::RolledBack => {
                prop_assert!(bad, "only a bad Release is restored:\n{}", aws.log);
                prop_assert_eq!(served(&aws), before.0);
                prop_assert_eq!(visible(&aws), before.1);
            }
            other => prop_assert!(false, "ended in {:?}:\n{}", other, aws.log),
        }
    }
}
