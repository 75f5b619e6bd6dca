//! How long runs wait, from when, and what takes effect meanwhile.

use std::time::Duration;

use jiff::SignedDuration;

use super::{super::*, fake_aws::*};
use crate::domain::{failure::CallErrorKind, outcome::Outcome, reason::Reason, traffic::Traffic};

fn pass(aws: &mut FakeAws, task: &Task, run: &Run) -> Option<Outcome> {
    aws.pass(&|status, observed, now| decide(task, run, status, &owner(), observed, now))
}

fn message(aws: &FakeAws) -> String {
    let run = aws.status.run.clone().expect("a run");
    run.message.unwrap_or_default()
}

/// The state two hours after a run was rolled back.
fn after_an_old_rollback() -> FakeAws {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.bad.push(code("v2"));
    assert_eq!(aws.deliver(2, &[want("api", "v2", 128)]), Step::RolledBack);
    let ending = outcome(&aws.status);
    ending.write_conditions(&mut aws.status.conditions, Some(1), aws.now);
    aws.tick(Duration::from_hours(2));
    aws.known = Known::default();
    aws
}

#[test]
fn throttled_read_after_an_old_rollback_does_not_fail_the_next_release() {
    let mut aws = after_an_old_rollback();
    let task = Task::Deliver(desired(3, vec![want("api", "v3", 128)]));
    let run = run(3, 1, Goal::Deliver);
    aws.read_error = Some(CallErrorKind::Throttled { retry_after: None });
    let outcome = pass(&mut aws, &task, &run);
    assert!(
        matches!(outcome, Some(Outcome::Transient { .. })),
        "{outcome:?}"
    );
    aws.read_error = None;
    assert_eq!(aws.finish(&task, &run), Step::Succeeded);
}

#[test]
fn run_that_cannot_begin_fails_at_its_own_deadline() {
    let mut aws = after_an_old_rollback();
    let task = Task::Deliver(desired(3, vec![want("api", "v3", 128)]));
    let run = run(3, 1, Goal::Deliver);
    let four = Duration::from_mins(4);
    aws.read_error = Some(CallErrorKind::Denied);
    for _ in 0..3 {
        pass(&mut aws, &task, &run);
        assert!(!settled(&run, &aws.status), "{}", aws.log);
        aws.tick(four);
    }
    // An obstacle that was fixed in between no longer counts.
    aws.read_error = None;
    aws.known = Observation::of(std::mem::take(&mut aws.known), aws.now).into_known();
    aws.read_error = Some(CallErrorKind::Denied);
    let began = aws.now;
    while !settled(&run, &aws.status) {
        pass(&mut aws, &task, &run);
        aws.tick(four);
    }
    let waited = aws.now.duration_since(began);
    assert!(waited > SignedDuration::from_mins(10), "{waited}");
    assert_eq!(run_step(&aws.status), Some(Step::Failed));
    assert!(
        message(&aws).contains("could not begin for 600s"),
        "{}",
        message(&aws)
    );
}

#[test]
fn run_without_account_access_fails_at_its_own_deadline() {
    let mut aws = after_an_old_rollback();
    let run = run(3, 1, Goal::Deliver);
    let deadline = Duration::from_mins(10);
    let refused = |aws: &mut FakeAws| {
        aws.known.clocks.block(aws.now);
        let why = (&aws.known, "There is no Account dev");
        fail_blocked(&run, &aws.status, &owner(), why, deadline, aws.now)
    };
    for _ in 0..3 {
        assert_eq!(refused(&mut aws), None);
        aws.tick(Duration::from_mins(4));
    }
    let ended = refused(&mut aws).expect("the deadline is over");
    let message = ended.run.and_then(|run| run.message).unwrap_or_default();
    assert!(message.contains("There is no Account dev"), "{message}");
}

#[test]
fn missing_concurrency_during_a_restore_blocks_no_other_component() {
    let mut aws = FakeAws::new();
    let mut first = desired(1, vec![want("infra", "i1", 128), want("api", "v1", 128)]);
    first.components[1].level = 1;
    aws.deliver_as(first);
    aws.provisioned.insert("checkout-api".into(), 5);
    let before = visible(&aws);
    let mut second = desired(2, vec![want("infra", "i2", 128), want("api", "v2", 128)]);
    second.components[1].level = 1;
    assert_eq!(aws.deliver_as(second), Step::Succeeded);
    aws.out_of_concurrency.push("1".into());
    let began = aws.now;
    assert_eq!(aws.restore(2), Step::RollbackFailed, "{}", aws.log);
    let waited = aws.now.duration_since(began);
    assert!(
        waited > SignedDuration::from_mins(10) && waited < SignedDuration::from_mins(12),
        "{waited}"
    );
    let now = visible(&aws);
    assert_eq!(now["checkout-infra"], before["checkout-infra"]);
    let latest = |state: &Visible| (state.0, state.1.clone(), state.2.clone());
    assert_eq!(
        latest(&now["checkout-api"]),
        latest(&before["checkout-api"])
    );
    assert!(
        message(&aws).contains("no more is left"),
        "{}",
        message(&aws)
    );
}

#[test]
fn alias_that_never_settles_ends_the_run_at_the_deadline() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.provisioned.insert("checkout-api".into(), 5);
    aws.out_of_concurrency.push("2".into());
    aws.reports_ready = true;
    let step = aws.deliver(2, &[want("api", "v2", 128)]);
    assert_eq!(step, Step::RolledBack, "{}", aws.log);
    assert!(
        message(&aws).contains("no progress for 600s"),
        "{}",
        message(&aws)
    );
}

#[test]
fn deleted_component_does_not_block_the_restore_of_others() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
    let before = visible(&aws);
    let both = [want("api", "v2", 128), want("worker", "w2", 128)];
    assert_eq!(aws.deliver(2, &both), Step::Succeeded);
    aws.functions.remove("checkout-worker");
    assert_eq!(aws.restore(2), Step::RollbackFailed, "{}", aws.log);
    assert_eq!(visible(&aws)["checkout-api"], before["checkout-api"]);
}

#[test]
fn long_wait_is_measured_across_passes() {
    let mut aws = FakeAws::new();
    let task = Task::Deliver(desired(1, vec![want("api", "v1", 128)]));
    let run = run(1, 1, Goal::Deliver);
    while pass(&mut aws, &task, &run).map(|it| it.reason()) != Some(Reason::WaitingForAws) {}
    let mut lasted = Vec::new();
    for _ in 0..20 {
        let deployed = aws.functions.get_mut("checkout-api").expect("there");
        deployed.settles_in = 2;
        pass(&mut aws, &task, &run);
        let observed = Observation::of(aws.known.clone(), aws.now);
        lasted.push(
            observed
                .known
                .clocks
                .waited(aws.status.run.as_ref(), aws.now),
        );
    }
    assert!(lasted.is_sorted(), "{lasted:?}");
    assert!(lasted[19] > Duration::from_secs(5), "{lasted:?}");
}

/// Traffic is at 10 %, and the invocation of the check at that step gets no reply.
fn slow_at_ten(task: &Task, run: &Run) -> FakeAws {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let weight = |aws: &FakeAws| {
        let traffic = aws.status.run.as_ref().and_then(|it| it.traffic.clone());
        traffic.map(|traffic| traffic.weight)
    };
    while weight(&aws) != Some(10) {
        pass(&mut aws, task, run);
    }
    aws.slow.push(code("v2"));
    aws
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
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    aws.slow.push(code("v2"));
    let task = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let forward = run(2, 1, Goal::Deliver);
    let began = aws.now;
    // The invocation may take as long as its check allows, which counts towards no deadline.
    while aws.now < began + SignedDuration::from_mins(20) {
        let outcome = pass(&mut aws, &task, &forward).expect("it waits");
        let reason = outcome.reason();
        assert!(
            [Reason::WaitingForAws, Reason::WaitingForChecks].contains(&reason),
            "{outcome:?}"
        );
    }
    let restore = Task::Restore("it was aborted".into());
    assert_eq!(
        aws.finish(&restore, &run(2, 1, Goal::Restore)),
        Step::RolledBack
    );
    assert_eq!(visible(&aws), before);
}

#[test]
fn alarm_takes_effect_during_an_invocation() {
    let task = Task::Deliver(in_steps());
    let run = run(2, 1, Goal::Deliver);
    let mut aws = slow_at_ten(&task, &run);
    for _ in 0..10 {
        pass(&mut aws, &task, &run);
    }
    assert_eq!(run_step(&aws.status), Some(Step::Promote), "{}", aws.log);
    aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
    let red = aws.now;
    while run_step(&aws.status) == Some(Step::Promote) {
        pass(&mut aws, &task, &run);
        assert!(aws.now < red + SignedDuration::from_secs(60), "{}", aws.log);
    }
    assert!(
        message(&aws).contains("checkout-errors"),
        "{}",
        message(&aws)
    );
}

#[test]
fn clock_step_back_delays_no_evaluation_and_no_deadline() {
    let task = Task::Deliver(in_steps());
    let run = run(2, 1, Goal::Deliver);
    let mut aws = slow_at_ten(&task, &run);
    aws.slow.clear();
    let evaluations = |aws: &FakeAws| {
        let traffic = aws.status.run.as_ref().and_then(|it| it.traffic.clone());
        traffic.map_or(0, |traffic| traffic.evaluations)
    };
    while evaluations(&aws) == 0 {
        pass(&mut aws, &task, &run);
    }
    // The next leader runs on a node whose clock is behind.
    aws.now -= SignedDuration::from_mins(20);
    aws.known = Known::default();
    let (before, since) = (evaluations(&aws), aws.now);
    while evaluations(&aws) == before {
        pass(&mut aws, &task, &run);
        assert!(
            aws.now < since + SignedDuration::from_secs(10),
            "{}",
            aws.log
        );
    }
    aws.now -= SignedDuration::from_mins(20);
    aws.known = Known::default();
    aws.read_error = Some(CallErrorKind::Throttled { retry_after: None });
    let since = aws.now;
    while run_step(&aws.status) == Some(Step::Promote) {
        pass(&mut aws, &task, &run);
        assert!(
            aws.now < since + SignedDuration::from_mins(11),
            "{}",
            aws.log
        );
    }
    assert!(message(&aws).contains("no progress"), "{}", message(&aws));
}
