//! Calls that wait for budget, and the reads made in the meantime.

use std::time::Duration;

use jiff::SignedDuration;

use super::{super::*, fake_aws::*};
use crate::{
    api::v1alpha1::{Canary, CanaryStep, Intent, Rollout, TrafficStatus},
    domain::{priority::Priority, reason::Reason, traffic::Traffic},
};

/// Longer than any deadline.
const LONG: Duration = Duration::from_hours(1);

fn many(count: usize, code: &str) -> Vec<DesiredFunction> {
    let one = |nth| want(&format!("c{nth}"), code, 128);
    (0..count).map(one).collect()
}

fn serves(aws: &FakeAws, count: usize, version: &str) {
    for nth in 0..count {
        let deployed = &aws.functions[&format!("checkout-c{nth}")];
        let alias = deployed.alias.as_ref().expect("an alias");
        assert_eq!(alias.version, version, "function {nth}");
    }
}

#[test]
fn hundred_functions_succeed_with_ten_calls_per_pass() {
    let mut aws = FakeAws::new();
    aws.calls_per_pass = Some(10);
    for (revision, code, version) in [(1, "v1", "1"), (2, "v2", "2")] {
        aws.alias_read_count = 0;
        let step = aws.deliver(revision, &many(100, code));
        assert_eq!(step, Step::Succeeded, "{}", aws.log);
        serves(&aws, 100, version);
    }
    assert_eq!(
        aws.alias_read_count, 100,
        "once each, before the second run"
    );
}

#[test]
fn hundred_functions_roll_back_with_ten_calls_per_pass() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &many(100, "v1"));
    let before = visible(&aws);
    aws.calls_per_pass = Some(10);
    aws.bad.push(code("v2"));
    aws.bad_once_served = true;
    let step = aws.deliver(2, &many(100, "v2"));
    assert_eq!(step, Step::RolledBack, "{}", aws.log);
    assert_eq!(visible(&aws), before);
}

#[test]
fn waiting_for_budget_does_not_fail_a_run() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &many(3, "v1"));
    aws.wait_for_budget = LONG;
    // Calls that fail besides still have their full deadline.
    let alias = function_read(lambda::Read::Alias {
        name: "checkout-c1".into(),
        alias: "live".into(),
    });
    aws.lost_reads = vec![alias.clone(), alias];
    aws.faults = vec![Fault::Throttled, Fault::None, Fault::LostReply];
    let step = aws.deliver(2, &many(3, "v2"));
    assert_eq!(step, Step::Succeeded, "{}", aws.log);
    serves(&aws, 3, "2");
}

#[test]
fn lost_read_does_not_discard_the_others() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &many(100, "v1"));
    let lost = |nth: usize| {
        function_read(lambda::Read::Alias {
            name: format!("checkout-c{nth}"),
            alias: "live".into(),
        })
    };
    aws.lost_reads = vec![lost(7), lost(7), lost(70)];
    assert_eq!(aws.deliver(2, &many(100, "v2")), Step::Succeeded);
    assert_eq!(aws.alias_read_count, 103);
}

#[test]
fn alias_is_not_read_during_a_bake() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &many(10, "v1"));
    let mut wanted = desired(2, many(10, "v2"));
    let step = CanaryStep {
        weight: 50,
        bake: "4m".into(),
    };
    let rollout = Rollout {
        canary: Some(Canary { steps: vec![step] }),
        ..Rollout::default()
    };
    wanted.traffic = Traffic::of(Some(&rollout)).expect("valid");
    aws.alias_read_count = 0;
    assert_eq!(aws.deliver_as(wanted), Step::Succeeded, "{}", aws.log);
    assert_eq!(aws.alias_read_count, 10, "once each, before the run");
}

#[test]
fn stale_observation_is_read_again() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &many(1, "v1"));
    let task = Task::Deliver(desired(2, many(1, "v2")));
    let forward = run(2, 1, Goal::Deliver);
    let lost = function_read(lambda::Read::Function {
        name: "checkout-c0".into(),
    });
    aws.lost_reads = vec![lost];
    aws.alias_read_count = 0;
    let pass = |aws: &mut FakeAws| {
        aws.pass(&|status, observed, now| decide(&task, &forward, status, &owner(), observed, now))
    };
    pass(&mut aws);
    assert_eq!(aws.alias_read_count, 1);
    aws.tick(Duration::from_mins(6));
    pass(&mut aws);
    assert_eq!(aws.alias_read_count, 2);
}

#[test]
fn restore_is_most_urgent() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let wanted = desired(2, vec![want("api", "v2", 128)]);
    let (task, forward) = (Task::Deliver(wanted.clone()), run(2, 1, Goal::Deliver));
    let at = |task: &Task, run: &Run, step: Option<Step>| {
        let mut status = aws.status.clone();
        if let (Some(step), Some(journal)) = (step, &mut status.run) {
            step.as_str().clone_into(&mut journal.step);
            journal.release = run.release.clone();
        }
        urgency(task, run, &status)
    };
    assert_eq!(at(&task, &forward, None), Priority::Planning);
    for (step, expected) in [
        (Step::Prepare, Priority::Preparation),
        (Step::Promote, Priority::Traffic),
        (Step::Restore, Priority::Restore),
    ] {
        assert_eq!(at(&task, &forward, Some(step)), expected);
    }
    let rollback = Run {
        rollback: true,
        ..forward.clone()
    };
    assert_eq!(at(&task, &rollback, None), Priority::Restore);
    let undo = Task::Restore("the stage failed".into());
    assert_eq!(at(&undo, &forward, Some(Step::Promote)), Priority::Restore);
    assert_eq!(at(&Task::Plan(wanted), &forward, None), Priority::Planning);
    let removed = |step: Step| {
        let mut status = aws.status.clone();
        let journal = status.run.as_mut().expect("a run");
        step.as_str().clone_into(&mut journal.step);
        urgency_of_removal(&status)
    };
    assert_eq!(removed(Step::Promote), Priority::Restore);
    assert_eq!(removed(Step::Succeeded), Priority::Preparation);
    let all = [
        Priority::Restore,
        Priority::Traffic,
        Priority::Preparation,
        Priority::Planning,
        Priority::Background,
    ];
    assert!(all.is_sorted(), "the queues sort by priority");
}

#[test]
fn alias_modified_during_the_last_bake_fails_the_run() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let mut wanted = desired(2, vec![want("api", "v2", 128)]);
    wanted.traffic = Traffic::all_at_once(Duration::from_mins(4));
    let (task, forward) = (Task::Deliver(wanted), run(2, 1, Goal::Deliver));
    let is_baking = |aws: &FakeAws| {
        let traffic = aws.status.run.as_ref().and_then(|run| run.traffic.as_ref());
        traffic.is_some_and(|traffic| traffic.baked_seconds > 60)
    };
    while !is_baking(&aws) {
        aws.pass(&|status, observed, now| decide(&task, &forward, status, &owner(), observed, now));
    }
    let revision = aws.revision();
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    let alias = deployed.alias.as_mut().expect("an alias");
    alias.weights.insert("1".into(), 0.5);
    alias.revision_id = revision;
    assert_eq!(aws.finish(&task, &forward), Step::RolledBack, "{}", aws.log);
    let message = aws.status.run.and_then(|run| run.message);
    let message = message.unwrap_or_default();
    assert!(message.contains("was moved externally"), "{message}");
}

#[test]
fn new_leader_observes_twice() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &many(1, "v1"));
    let task = Task::Deliver(desired(2, many(1, "v2")));
    let forward = run(2, 1, Goal::Deliver);
    assert_eq!(aws.finish(&task, &forward), Step::Succeeded);
    aws.alias_read_count = 0;
    // Another process continues where the alias was about to be moved.
    let journal = aws.status.run.as_mut().expect("a run");
    Step::Promote.as_str().clone_into(&mut journal.step);
    journal.traffic = Some(TrafficStatus {
        step: 0,
        weight: 100,
        previous_weight: None,
        baked_seconds: 0,
        evaluations: 0,
        evaluated_at: None,
        pending: None,
    });
    journal.intents = vec![Intent {
        component: "c0".into(),
        operation: "UpdateAlias".into(),
        resource: "checkout-c0:live".into(),
        result: None,
    }];
    let revision = aws.revision();
    let deployed = aws.functions.get_mut("checkout-c0").expect("there");
    let alias = deployed.alias.as_mut().expect("an alias");
    alias.version = "1".into();
    alias.revision_id = revision;
    aws.known = holding(aws.now + SignedDuration::from_secs(2));
    let pass = |aws: &mut FakeAws| {
        let outcome = aws.pass(&|status, observed, now| {
            decide(&task, &forward, status, &owner(), observed, now)
        });
        outcome.map(|outcome| outcome.reason())
    };
    assert_eq!(pass(&mut aws), Some(Reason::LeaderChanged), "{}", aws.log);
    assert_eq!(aws.alias_read_count, 1);
    pass(&mut aws);
    assert_eq!(aws.alias_read_count, 2, "{}", aws.log);
}
