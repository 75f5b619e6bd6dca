//! How long runs wait, from when, and what takes effect meanwhile.

use std::time::Duration;

use jiff::SignedDuration;

use super::{super::*, fake_aws::*};
use crate::domain::{failure::CallErrorKind, outcome::Outcome, reason::Reason, traffic::Traffic};

fn pass(world: &mut FakeAws, order: &Task, run: &Run) -> Option<Outcome> {
    world.pass(&|status, observed, now| decide(order, run, status, &owner(), observed, now))
}

fn message(world: &FakeAws) -> String {
    let run = world.status.run.clone().expect("a run");
    run.message.unwrap_or_default()
}

/// The state two hours after a run was rolled back.
fn after_an_old_rollback() -> FakeAws {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    world.bad.push(code("v2"));
    assert_eq!(
        world.deliver(2, &[want("api", "v2", 128)]),
        Step::RolledBack
    );
    let ending = outcome(&world.status);
    ending.write_conditions(&mut world.status.conditions, Some(1), world.now);
    world.tick(Duration::from_hours(2));
    world.known = Known::default();
    world
}

#[test]
fn throttled_read_after_an_old_rollback_does_not_fail_the_next_release() {
    let mut world = after_an_old_rollback();
    let order = Task::Deliver(desired(3, vec![want("api", "v3", 128)]));
    let run = run(3, 1, Goal::Deliver);
    world.read_error = Some(CallErrorKind::Throttled { retry_after: None });
    let outcome = pass(&mut world, &order, &run);
    assert!(
        matches!(outcome, Some(Outcome::Transient { .. })),
        "{outcome:?}"
    );
    world.read_error = None;
    assert_eq!(world.finish(&order, &run), Step::Succeeded);
}

#[test]
fn run_that_cannot_begin_fails_at_its_own_deadline() {
    let mut world = after_an_old_rollback();
    let order = Task::Deliver(desired(3, vec![want("api", "v3", 128)]));
    let run = run(3, 1, Goal::Deliver);
    let four = Duration::from_mins(4);
    world.read_error = Some(CallErrorKind::Denied);
    for _ in 0..3 {
        pass(&mut world, &order, &run);
        assert!(!settled(&run, &world.status), "{}", world.log);
        world.tick(four);
    }
    // An obstacle that was fixed in between no longer counts.
    world.read_error = None;
    world.known = Observation::of(std::mem::take(&mut world.known), world.now).into_known();
    world.read_error = Some(CallErrorKind::Denied);
    let began = world.now;
    while !settled(&run, &world.status) {
        pass(&mut world, &order, &run);
        world.tick(four);
    }
    let waited = world.now.duration_since(began);
    assert!(waited > SignedDuration::from_mins(10), "{waited}");
    assert_eq!(run_step(&world.status), Some(Step::Failed));
    assert!(
        message(&world).contains("could not begin for 600s"),
        "{}",
        message(&world)
    );
}

#[test]
fn run_without_account_access_fails_at_its_own_deadline() {
    let mut world = after_an_old_rollback();
    let run = run(3, 1, Goal::Deliver);
    let deadline = Duration::from_mins(10);
    let refused = |world: &mut FakeAws| {
        world.known.clocks.block(world.now);
        let why = (&world.known, "There is no Account dev");
        fail_blocked(&run, &world.status, &owner(), why, deadline, world.now)
    };
    for _ in 0..3 {
        assert_eq!(refused(&mut world), None);
        world.tick(Duration::from_mins(4));
    }
    let ended = refused(&mut world).expect("the deadline is over");
    let message = ended.run.and_then(|run| run.message).unwrap_or_default();
    assert!(message.contains("There is no Account dev"), "{message}");
}

#[test]
fn missing_concurrency_during_a_restore_blocks_no_other_component() {
    let mut world = FakeAws::new();
    let mut first = desired(1, vec![want("infra", "i1", 128), want("api", "v1", 128)]);
    first.components[1].level = 1;
    world.deliver_as(first);
    world.provisioned.insert("checkout-api".into(), 5);
    let before = visible(&world);
    let mut second = desired(2, vec![want("infra", "i2", 128), want("api", "v2", 128)]);
    second.components[1].level = 1;
    assert_eq!(world.deliver_as(second), Step::Succeeded);
    world.out_of_concurrency.push("1".into());
    let began = world.now;
    assert_eq!(world.restore(2), Step::RollbackFailed, "{}", world.log);
    let waited = world.now.duration_since(began);
    assert!(
        waited > SignedDuration::from_mins(10) && waited < SignedDuration::from_mins(12),
        "{waited}"
    );
    let now = visible(&world);
    assert_eq!(now["checkout-infra"], before["checkout-infra"]);
    let latest = |state: &Visible| (state.0, state.1.clone(), state.2.clone());
    assert_eq!(
        latest(&now["checkout-api"]),
        latest(&before["checkout-api"])
    );
    assert!(
        message(&world).contains("no more is left"),
        "{}",
        message(&world)
    );
}

#[test]
fn alias_that_never_settles_ends_the_run_at_the_deadline() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    world.provisioned.insert("checkout-api".into(), 5);
    world.out_of_concurrency.push("2".into());
    world.reports_ready = true;
    let step = world.deliver(2, &[want("api", "v2", 128)]);
    assert_eq!(step, Step::RolledBack, "{}", world.log);
    assert!(
        message(&world).contains("no progress for 600s"),
        "{}",
        message(&world)
    );
}

#[test]
fn deleted_component_does_not_block_the_restore_of_others() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
    let before = visible(&world);
    let both = [want("api", "v2", 128), want("worker", "w2", 128)];
    assert_eq!(world.deliver(2, &both), Step::Succeeded);
    world.functions.remove("checkout-worker");
    assert_eq!(world.restore(2), Step::RollbackFailed, "{}", world.log);
    assert_eq!(visible(&world)["checkout-api"], before["checkout-api"]);
}

#[test]
fn long_wait_is_measured_across_passes() {
    let mut world = FakeAws::new();
    let order = Task::Deliver(desired(1, vec![want("api", "v1", 128)]));
    let run = run(1, 1, Goal::Deliver);
    while pass(&mut world, &order, &run).map(|it| it.reason()) != Some(Reason::WaitingForAws) {}
    let mut lasted = Vec::new();
    for _ in 0..20 {
        let deployed = world.functions.get_mut("checkout-api").expect("there");
        deployed.settles_in = 2;
        pass(&mut world, &order, &run);
        let observed = Observation::of(world.known.clone(), world.now);
        lasted.push(
            observed
                .known
                .clocks
                .waited(world.status.run.as_ref(), world.now),
        );
    }
    assert!(lasted.is_sorted(), "{lasted:?}");
    assert!(lasted[19] > Duration::from_secs(5), "{lasted:?}");
}

/// Traffic is at 10 %, and the invocation of the check at that step gets no reply.
fn slow_at_ten(order: &Task, run: &Run) -> FakeAws {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let weight = |world: &FakeAws| {
        let traffic = world.status.run.as_ref().and_then(|it| it.traffic.clone());
        traffic.map(|traffic| traffic.weight)
    };
    while weight(&world) != Some(10) {
        pass(&mut world, order, run);
    }
    world.slow.push(code("v2"));
    world
}

fn in_steps() -> Desired {
    use crate::api::v1alpha1::{Canary, CanaryStep, Rollout};
    let steps = vec![CanaryStep {
        weight: 10,
        bake: "20s".into(),
    }];
    let rollout = Rollout {
        canary: Some(Canary { steps }),
        ..Rollout::default()
    };
    Desired {
        traffic: Traffic::of(Some(&rollout)).expect("valid"),
        ..super::traffic::with_alarm(2, "v2")
    }
}

#[test]
fn abort_takes_effect_during_an_invocation() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&world);
    world.slow.push(code("v2"));
    let order = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let forward = run(2, 1, Goal::Deliver);
    let began = world.now;
    // The invocation may take as long as its check allows, which counts towards no deadline.
    while world.now < began + SignedDuration::from_mins(20) {
        let outcome = pass(&mut world, &order, &forward).expect("it waits");
        let reason = outcome.reason();
        assert!(
            [Reason::WaitingForAws, Reason::WaitingForChecks].contains(&reason),
            "{outcome:?}"
        );
    }
    let restore = Task::Restore("it was aborted".into());
    assert_eq!(
        world.finish(&restore, &run(2, 1, Goal::Restore)),
        Step::RolledBack
    );
    assert_eq!(visible(&world), before);
}

#[test]
fn alarm_takes_effect_during_an_invocation() {
    let order = Task::Deliver(in_steps());
    let run = run(2, 1, Goal::Deliver);
    let mut world = slow_at_ten(&order, &run);
    for _ in 0..10 {
        pass(&mut world, &order, &run);
    }
    assert_eq!(
        run_step(&world.status),
        Some(Step::Promote),
        "{}",
        world.log
    );
    world.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
    let red = world.now;
    while run_step(&world.status) == Some(Step::Promote) {
        pass(&mut world, &order, &run);
        assert!(
            world.now < red + SignedDuration::from_secs(60),
            "{}",
            world.log
        );
    }
    assert!(
        message(&world).contains("checkout-errors"),
        "{}",
        message(&world)
    );
}

#[test]
fn clock_step_back_delays_no_evaluation_and_no_deadline() {
    let order = Task::Deliver(in_steps());
    let run = run(2, 1, Goal::Deliver);
    let mut world = slow_at_ten(&order, &run);
    world.slow.clear();
    let evaluations = |world: &FakeAws| {
        let traffic = world.status.run.as_ref().and_then(|it| it.traffic.clone());
        traffic.map_or(0, |traffic| traffic.evaluations)
    };
    while evaluations(&world) == 0 {
        pass(&mut world, &order, &run);
    }
    // The next leader runs on a node whose clock is behind.
    world.now -= SignedDuration::from_mins(20);
    world.known = Known::default();
    let (before, since) = (evaluations(&world), world.now);
    while evaluations(&world) == before {
        pass(&mut world, &order, &run);
        assert!(
            world.now < since + SignedDuration::from_secs(10),
            "{}",
            world.log
        );
    }
    world.now -= SignedDuration::from_mins(20);
    world.known = Known::default();
    world.read_error = Some(CallErrorKind::Throttled { retry_after: None });
    let since = world.now;
    while run_step(&world.status) == Some(Step::Promote) {
        pass(&mut world, &order, &run);
        assert!(
            world.now < since + SignedDuration::from_mins(11),
            "{}",
            world.log
        );
    }
    assert!(
        message(&world).contains("no progress"),
        "{}",
        message(&world)
    );
}
