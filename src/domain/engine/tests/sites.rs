//! A function and files move together.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{super::*, fake_aws::*, faults::fault};
use crate::domain::workload::s3::site::tests::bucket::Object;

const FIRST: &[(&str, &str)] = &[("app.js", "a"), ("gone.svg", "g"), ("index.html", "i")];
const SECOND: &[(&str, &str)] = &[("app.js", "b"), ("index.html", "j"), ("new.css", "n")];

/// A function with this code, and a site with these files.
fn both(world: &mut FakeAws, revision: i64, code: &str, files: &[(&str, &str)]) -> Desired {
    let mut desired = desired(revision, vec![want("api", code, 128)]);
    let site = site(world, &format!("archive-{revision}"), files);
    desired.components.push(site);
    desired
}

fn deliver(world: &mut FakeAws, revision: i64, code: &str, files: &[(&str, &str)]) -> Step {
    let desired = both(world, revision, code, files);
    world.deliver_as(desired)
}

fn prune(world: &mut FakeAws, revision: i64) {
    let run = run(revision, 1, Goal::Prune);
    world.known = Known::default();
    let order = Task::Prune(DeletionPolicy::Retain);
    assert_eq!(world.finish(&order, &run), Step::Succeeded);
}

/// The served objects, without what S3 changes with each write.
fn served(world: &FakeAws) -> BTreeMap<String, Object> {
    let mut objects = world.bucket.objects.clone();
    for object in objects.values_mut() {
        object.modified = 0;
        object.etag.clear();
    }
    objects
}

fn texts(world: &FakeAws) -> Vec<(&str, &str)> {
    world.bucket.served()
}

#[test]
fn files_change_with_the_function_and_are_pruned_at_the_end() {
    let mut world = FakeAws::new();
    world.bucket.foreign("docs/own.txt", "theirs");
    assert_eq!(deliver(&mut world, 1, "v1", FIRST), Step::Succeeded);
    world.log.clear();
    world.bucket.log.clear();
    assert_eq!(deliver(&mut world, 2, "v2", SECOND), Step::Succeeded);
    insta::assert_snapshot!(world.log);
    let order = [
        "keep app.js",
        "keep index.html",
        "keep gone.svg",
        "store snapshot",
        "put new.css",
        "put app.js",
        "put index.html",
        "store manifest",
    ];
    assert_eq!(world.bucket.log, order);
    assert!(texts(&world).contains(&("gone.svg", "g")), "not pruned");
    assert!(
        world
            .status
            .inventory
            .iter()
            .any(InventoryItem::needs_prune)
    );
    prune(&mut world, 2);
    let mut left = SECOND.to_vec();
    left.push(("own.txt", "theirs"));
    left.sort_unstable();
    assert_eq!(texts(&world), left);
    assert!(
        !world
            .status
            .inventory
            .iter()
            .any(InventoryItem::needs_prune)
    );

    // The same files change nothing.
    world.bucket.log.clear();
    assert_eq!(deliver(&mut world, 3, "v2", SECOND), Step::Succeeded);
    assert_eq!(world.bucket.log, Vec::<String>::new());

    // A removal deletes everything but unmanaged files.
    let ended = world.removal_pass(&|status, observed, now| {
        decide_removal(DeletionPolicy::Delete, status, &owner(), observed, now)
    });
    assert!(matches!(ended, Some(Outcome::Done { .. })), "{ended:?}");
    assert_eq!(texts(&world), [("own.txt", "theirs")]);
    assert!(world.functions.is_empty());
}

#[test]
fn pruned_files_are_restored() {
    let mut world = FakeAws::new();
    deliver(&mut world, 1, "v1", FIRST);
    let (before, functions) = (served(&world), visible(&world));
    deliver(&mut world, 2, "v2", SECOND);
    prune(&mut world, 2);
    assert_ne!(served(&world), before);
    assert_eq!(world.restore(2), Step::RolledBack);
    assert_eq!(served(&world), before);
    assert_eq!(visible(&world), functions);

    // The recorded objects exist: the next delivery finds all of them.
    world.bucket.log.clear();
    assert_eq!(deliver(&mut world, 3, "v1", FIRST), Step::Succeeded);
    assert_eq!(world.bucket.log, ["store snapshot", "store manifest"]);
}

#[test]
fn site_below_a_function_is_checked_and_recorded() {
    let mut world = FakeAws::new();
    let mut desired = both(&mut world, 1, "v1", FIRST);
    desired.components[0].level = 1;
    assert_eq!(world.deliver_as(desired), Step::Succeeded);
    let objects = world
        .status
        .inventory
        .iter()
        .find_map(|item| item.objects.as_ref());
    assert_eq!(objects.expect("on record").retired, 0);
    let mut desired = both(&mut world, 2, "v2", SECOND);
    desired.components[0].level = 1;
    world.bad.push(code("v2"));
    let before = served(&world);
    assert_eq!(world.deliver_as(desired), Step::RolledBack);
    assert_eq!(served(&world), before);
}

#[test]
fn unmanaged_file_in_the_way_fails_the_run_before_any_change() {
    let mut world = FakeAws::new();
    world.bucket.foreign("docs/index.html", "theirs");
    let before = served(&world);
    assert_eq!(deliver(&mut world, 1, "v1", FIRST), Step::Failed);
    assert_eq!(served(&world), before);
    assert!(world.functions.is_empty());
    let message = world
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
        let mut world = FakeAws::new();
        world.bucket.random_etags = random_etags;
        world.bucket.foreign("docs/own.txt", "theirs");
        if delivered_before {
            deliver(&mut world, 1, "v1", FIRST);
        }
        let before = (served(&world), visible(&world));
        if bad {
            world.bad.push(code("v2"));
        }
        world.faults = faults;
        let mut wanted = both(&mut world, 2, "v2", SECOND);
        wanted.components[0].level = usize::from(site_first);
        let serves = |world: &FakeAws| SECOND.iter().all(|file| texts(world).contains(file));
        match world.deliver_as(wanted) {
            Step::Succeeded => {
                prop_assert!(!bad);
                prop_assert!(serves(&world), "{:?}\n{}", texts(&world), world.log);
                prune(&mut world, 2);
                prop_assert!(serves(&world) && texts(&world).len() == SECOND.len() + 1);
            }
            Step::RolledBack => {
                prop_assert!(bad, "only a bad Release is restored:\n{}", world.log);
                prop_assert_eq!(served(&world), before.0);
                prop_assert_eq!(visible(&world), before.1);
            }
            other => prop_assert!(false, "ended in {:?}:\n{}", other, world.log),
        }
    }
}
