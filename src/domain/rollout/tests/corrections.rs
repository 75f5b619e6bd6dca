//! What serves is delivered once more where somebody changed it.

use std::time::Duration;

use jiff::SignedDuration;

use super::*;
use crate::domain::rollout::{Back, DriftView};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

/// The Target has found something since then.
fn drift(play: &mut Play, account: &str, since: i64) {
    let stage = if account == "dev" { "dev" } else { "prod" };
    play.target(stage, &place(account)).drift = Some(DriftView {
        status: "True".into(),
        reason: Reason::Drifted,
        message: "version of checkout-api:live is 1, not 2".into(),
        correctable_since: Some(at(since)),
    });
}

/// r1 serves in dev and prod, and what somebody changes is corrected.
fn serving() -> Play {
    let mut play = Play::new();
    play.overview.correct = true;
    play.release(1);
    play.plan();
    play.report("dev", "dev", Step::Succeeded, None);
    play.plan();
    for account in ["prod-a", "prod-b"] {
        play.report("prod", account, Step::Succeeded, None);
    }
    play.plan();
    play
}

fn order(play: &mut Play, stage: &str, account: &str) -> Run {
    let target = play.target(stage, &place(account));
    target.order.clone().expect("an order")
}

/// What is planned at that time, with the orders given.
fn plan_at(play: &mut Play, seconds: i64) -> Plan {
    let next = super::super::plan(&play.overview, &NoGates, at(seconds));
    for (stage, place, run) in &next.runs {
        play.target(stage, place).order = Some(run.clone());
    }
    next
}

/// The order was carried out, and nothing differs any more.
fn corrected(play: &mut Play, seconds: i64) {
    for account in ["prod-a", "prod-b"] {
        play.report("prod", account, Step::Succeeded, None);
        let target = play.target("prod", &place(account));
        target.drift = None;
        let run = target.run.as_mut().expect("a run");
        run.finished_at = Some(Time(at(seconds)));
    }
}

#[test]
fn what_was_changed_is_delivered_once_more_and_moves_at_once() {
    let mut play = serving();
    drift(&mut play, "prod-b", 600);
    let before = order(&mut play, "prod", "prod-b");
    let dev = order(&mut play, "dev", "dev");
    plan_at(&mut play, 601);
    let now = order(&mut play, "prod", "prod-b");
    let expected = Run {
        attempt: before.attempt + 1,
        sequence: before.sequence + 1,
        correction: 1,
        immediate: true,
        plan_digest: None,
        ..before
    };
    assert_eq!(now, expected);
    assert_eq!(order(&mut play, "dev", "dev"), dev, "nothing differs there");
    assert!(plan_at(&mut play, 602).runs.is_empty(), "ordered once");
    corrected(&mut play, 603);
    let next = play.plan();
    assert_eq!(next.outcome.reason(), Reason::Delivered);
}

#[test]
fn nothing_is_corrected_that_is_only_to_be_reported() {
    let mut play = serving();
    play.overview.correct = false;
    drift(&mut play, "prod-a", 600);
    let next = plan_at(&mut play, 601);
    assert!(next.runs.is_empty());
    let report = next.drift.expect("a report");
    assert_eq!((report.status, report.reason.as_str()), ("True", "Drifted"));
    assert_eq!(
        report.message,
        "prod (prod-a/eu-west-1): version of checkout-api:live is 1, not 2"
    );
    assert_eq!(
        next.outcome.reason(),
        Reason::Delivered,
        "what serves, serves"
    );
}

#[test]
fn nothing_is_corrected_while_it_is_paused_suspended_or_can_not_be() {
    for hold in [
        |play: &mut Play| play.overview.paused = true,
        |play: &mut Play| play.overview.suspended = true,
        |play: &mut Play| {
            let drift = &mut play.target("prod", &place("prod-a")).drift;
            drift.as_mut().expect("drift").correctable_since = None;
        },
    ] {
        let mut play = serving();
        drift(&mut play, "prod-a", 600);
        hold(&mut play);
        assert!(plan_at(&mut play, 601).runs.is_empty());
    }
}

#[test]
fn a_rollout_under_way_comes_to_its_end_first() {
    let mut play = serving();
    play.release(2);
    play.plan();
    drift(&mut play, "dev", 600);
    play.report("dev", "dev", Step::Promote, None);
    assert!(plan_at(&mut play, 601).runs.is_empty());
    play.report("dev", "dev", Step::Held, Some("check smoke failed"));
    assert!(plan_at(&mut play, 602).runs.is_empty());
}

#[test]
fn a_newer_release_goes_before_a_correction() {
    let mut play = serving();
    drift(&mut play, "dev", 600);
    play.release(2);
    plan_at(&mut play, 601);
    let order = order(&mut play, "dev", "dev");
    assert_eq!((order.release.revision, order.correction), (2, 0));
}

#[test]
fn what_is_changed_again_at_once_is_left_for_longer_each_time() {
    let mut play = serving();
    let mut now = 600;
    for (made, wait) in [(1, 300), (2, 600), (3, 1200)] {
        drift(&mut play, "prod-a", now);
        plan_at(&mut play, now);
        assert_eq!(order(&mut play, "prod", "prod-a").correction, made);
        corrected(&mut play, now);
        plan_at(&mut play, now);
        drift(&mut play, "prod-a", now + 10);
        let early = plan_at(&mut play, now + wait - 1);
        assert!(early.runs.is_empty(), "{made}: {:?}", early.runs);
        assert_eq!(early.correction_at, Some(at(now + wait)));
        let message = early.drift.expect("a report").message;
        let parts = [format!("corrected {made} times in a row"), "prod".into()];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        now += wait;
    }
    // What stayed right for a day is another matter.
    let day = now + 86_400;
    drift(&mut play, "prod-a", day);
    plan_at(&mut play, day);
    assert_eq!(order(&mut play, "prod", "prod-a").correction, 1);
}

#[test]
fn a_correction_that_fails_is_said_and_not_repeated() {
    let mut play = serving();
    drift(&mut play, "prod-a", 600);
    plan_at(&mut play, 600);
    play.report(
        "prod",
        "prod-a",
        Step::RolledBack,
        Some("check smoke failed"),
    );
    play.report("prod", "prod-b", Step::Succeeded, None);
    let next = play.plan();
    assert!(matches!(next.outcome, Outcome::Waiting { .. }), "{next:?}");
    play.report("prod", "prod-b", Step::RolledBack, None);
    let next = play.plan();
    assert_eq!(next.outcome.reason(), Reason::RolledBack);
    let message = next.outcome.message();
    assert!(
        message.contains("could not be corrected") && message.contains("check smoke failed"),
        "{message}"
    );
    let later = SignedDuration::try_from(Duration::from_hours(48)).expect("short");
    let later = super::super::plan(&play.overview, &NoGates, at(600) + later);
    assert!(later.runs.is_empty(), "{:?}", later.runs);
}

#[test]
fn a_rollback_does_not_wait_for_a_correction() {
    let mut play = serving();
    play.release(2);
    play.plan();
    play.report("dev", "dev", Step::Succeeded, None);
    play.plan();
    for account in ["prod-a", "prod-b"] {
        play.report("prod", account, Step::Succeeded, None);
    }
    play.plan();
    drift(&mut play, "prod-a", 600);
    plan_at(&mut play, 600);
    play.report("prod", "prod-a", Step::Prepare, None);
    let from = order(&mut play, "prod", "prod-a").release;
    play.overview.commands.rollback = Some(Back { from, to: None });
    plan_at(&mut play, 601);
    let order = order(&mut play, "prod", "prod-a");
    assert_eq!((order.release.revision, order.goal), (1, Goal::Deliver));
}
