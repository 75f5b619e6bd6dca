//! Checks of the stage before and while traffic moves.

use super::*;
use crate::domain::{check::DesiredHttp, reason::Reason};

#[test]
fn correction_ignores_red_alarms() {
    for (correction, step) in [(0, Step::Failed), (1, Step::Succeeded)] {
        let mut aws = FakeAws::new();
        aws.deliver_as(with_alarm(1, "v1"));
        aws.deliver_as(with_alarm(2, "v2"));
        let before = visible(&aws);
        let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
        deployed.latest.configuration.timeout = 9;
        deployed.alias.as_mut().expect("an alias").version = "1".into();
        aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
        aws.known = Known::default();
        let mut run = run(2, 2, Goal::Deliver);
        run.immediate = true;
        run.correction = correction;
        let task = Task::Deliver(with_alarm(2, "v2"));
        assert_eq!(aws.finish(&task, &run), step, "{}", aws.log);
        assert_eq!(visible(&aws) == before, correction == 1);
    }
}

/// A Release whose stage checks a URL.
fn with_page(revision: i64, code: &str) -> Desired {
    let check = serde_json::json!({"url": "https://example.com/health"});
    let check = serde_json::from_value(check).expect("a check");
    let page = DesiredHttp::new(&check, &Variables::default()).expect("valid");
    Desired {
        checks: vec![StageCheck {
            name: "page".into(),
            kind: StageCheckKind::Http(Box::new(page)),
        }],
        ..in_steps(revision, vec![want("api", code, 128)])
    }
}

#[test]
fn unchanged_release_skips_checks_that_take_time() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.watched = Verdict::Failed("check failed".into());
    assert_eq!(aws.deliver_as(with_alarm(2, "v1")), Step::Succeeded);
    assert_eq!(aws.deliver_as(with_page(3, "v1")), Step::Failed);
    aws.watched = Verdict::Passed;
    assert_eq!(aws.deliver_as(with_page(4, "v1")), Step::Succeeded);
}

#[test]
fn alarm_during_the_rollout_restores_the_run() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    let task = Task::Deliver(with_alarm(2, "v2"));
    let run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 50);
    aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    assert_eq!(visible(&aws), before);
}

#[test]
fn alarm_before_the_run_fails_it() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
    assert_eq!(aws.deliver_as(with_alarm(2, "v2")), Step::Failed);
    assert_eq!(visible(&aws), before);
    // A rollback skips alarms, which may be its reason; a promotion does not.
    let task = Task::Deliver(with_alarm(3, "v3"));
    for (attempt, rollback, step) in [(1, false, Step::Failed), (2, true, Step::Succeeded)] {
        let mut run = run(3, attempt, Goal::Deliver);
        run.immediate = true;
        run.rollback = rollback;
        aws.known = Known::default();
        assert_eq!(aws.finish(&task, &run), step);
    }
}

#[test]
fn promote_before_the_run_begins_does_not_skip_alarms() {
    for (rollback, step) in [(false, Step::RolledBack), (true, Step::Succeeded)] {
        let mut aws = FakeAws::new();
        aws.deliver(1, &[want("api", "v1", 128)]);
        let task = Task::Deliver(with_alarm(2, "v2"));
        let mut run = run(2, 1, Goal::Deliver);
        run.immediate = true;
        run.rollback = rollback;
        while run_step(&aws.status) != Some(Step::Prepare) {
            aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        }
        aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
        assert_eq!(aws.finish(&task, &run), step);
    }
}

#[test]
fn inconclusive_check_may_wait_during_a_bake_but_not_pass_it() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    let task = Task::Deliver(with_alarm(2, "v2"));
    let run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 10);
    aws.watched = Verdict::Inconclusive("check errors: no data".into());
    let baked = |aws: &FakeAws| {
        let journal = aws.status.run.as_ref().expect("a run");
        journal
            .traffic
            .as_ref()
            .map_or(0, |traffic| traffic.baked_seconds)
    };
    while baked(&aws) < 20 {
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        assert_eq!(weights(&aws, "checkout-api"), "1 2:0.1");
    }
    let mut has_waited = false;
    while run_step(&aws.status) == Some(Step::Promote) {
        let outcome =
            aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        has_waited |= outcome.is_some_and(|outcome| outcome.reason() == Reason::WaitingForChecks);
        assert_ne!(weights(&aws, "checkout-api"), "1 2:0.5");
    }
    assert!(has_waited, "the run waits until the deadline");
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    let journal = aws.status.run.as_ref().expect("a run");
    let message = journal.message.clone().unwrap_or_default();
    assert!(message.contains("still inconclusive"), "{message}");
}
