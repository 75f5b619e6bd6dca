//! Updates that Lambda could not apply, and inactive versions.

use super::{super::*, fake_aws::*};
use crate::domain::workload::lambda::{FunctionState, LastUpdate};

fn count(world: &FakeAws, what: &str) -> usize {
    let lines = world.log.lines();
    lines.filter(|line| line.starts_with(what)).count()
}

fn message(world: &FakeAws) -> String {
    let run = world.status.run.clone().expect("a run");
    run.message.unwrap_or_default()
}

#[test]
fn failed_update_is_sent_once_and_again_by_a_retry() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&world);
    world.broken.insert("checkout-api".into(), false);
    world.log.clear();
    let step = world.deliver(2, &[want("api", "v2", 128)]);
    assert_eq!(step, Step::RolledBack, "{}", world.log);
    assert_eq!(count(&world, "UpdateFunctionCode"), 1, "{}", world.log);
    assert!(
        message(&world).contains("no addresses are left"),
        "{}",
        message(&world)
    );
    assert_eq!(visible(&world), before);

    world.broken.clear();
    world.known = Known::default();
    let order = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let step = world.finish(&order, &run(2, 2, Goal::Deliver));
    assert_eq!(step, Step::Succeeded, "{}", world.log);
    assert_eq!(count(&world, "UpdateFunctionCode"), 2, "{}", world.log);
}

#[test]
fn update_that_failed_before_the_run_is_sent_again() {
    for is_fixed in [true, false] {
        let mut world = FakeAws::new();
        world.deliver(1, &[want("api", "v1", 128)]);
        world.deliver(2, &[want("api", "v2", 128)]);
        let deployed = world.functions.get_mut("checkout-api").expect("there");
        deployed.latest.last_update = LastUpdate::Failed("no key".into());
        if !is_fixed {
            world.broken.insert("checkout-api".into(), true);
        }
        world.log.clear();
        let step = world.deliver(3, &[want("api", "v2", 128)]);
        let wanted = if is_fixed {
            Step::Succeeded
        } else {
            Step::RolledBack
        };
        assert_eq!(step, wanted, "{}", world.log);
        assert_eq!(
            count(&world, "UpdateFunctionConfiguration"),
            1,
            "{}",
            world.log
        );
    }
}

#[test]
fn update_that_fails_during_a_restore_is_sent_again_by_a_retry() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
    let before = visible(&world);
    let both = [want("api", "v2", 128), want("worker", "w2", 128)];
    assert_eq!(world.deliver(2, &both), Step::Succeeded);
    world.broken.insert("checkout-api".into(), false);
    world.log.clear();
    assert_eq!(world.restore(2), Step::RollbackFailed, "{}", world.log);
    assert_eq!(
        count(&world, "UpdateFunctionCode checkout-api"),
        1,
        "{}",
        world.log
    );
    assert!(
        message(&world).contains("no addresses are left"),
        "{}",
        message(&world)
    );
    // The other function is restored.
    assert_eq!(
        visible(&world)["checkout-worker"],
        before["checkout-worker"]
    );
    world.broken.clear();
    world.known = Known::default();
    let order = Task::Restore("the restore was requested".into());
    let step = world.finish(&order, &run(2, 2, Goal::Restore));
    assert_eq!(step, Step::RolledBack, "{}", world.log);
    assert_eq!(visible(&world), before);
}

#[test]
fn inactive_version_is_woken_before_it_gets_traffic() {
    let mut world = FakeAws::new();
    let mut unchecked = want("api", "v1", 128);
    unchecked.checks.clear();
    world.deliver(1, &[unchecked.clone()]);
    world.deliver(2, &[want("api", "v2", 128)]);
    let deployed = world.functions.get_mut("checkout-api").expect("there");
    let first = deployed.versions.get_mut(&1).expect("a version");
    first.state = FunctionState::Inactive;

    for sleeps in [true, false] {
        let mut world = world.clone();
        if sleeps {
            world.inactive_functions.push("checkout-api".into());
        }
        world.log.clear();
        world.known = Known::default();
        let order = Task::Deliver(desired(1, vec![unchecked.clone()]));
        let step = world.finish(&order, &run(1, 2, Goal::Deliver));
        let woken = count(&world, "Invoke checkout-api");
        let moved = count(&world, "UpdateAlias checkout-api");
        if sleeps {
            assert_eq!((step, moved), (Step::RolledBack, 0), "{}", world.log);
            assert!((2..30).contains(&woken), "{woken}");
            assert!(message(&world).contains("Inactive"), "{}", message(&world));
        } else {
            assert_eq!(
                (step, woken, moved),
                (Step::Succeeded, 1, 1),
                "{}",
                world.log
            );
        }
    }
}
