//! Corrections: the live Release is delivered again after drift.

use std::time::Duration;

use jiff::SignedDuration;

use super::*;
use crate::{api::v1alpha1::RollbackStatus, domain::promotion::DriftView};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

/// The Target has reported correctable drift since then.
fn drift(sim: &mut Simulation, account: &str, since: i64) {
    let stage = if account == "dev" { "dev" } else { "prod" };
    sim.target(stage, &stage_target(account)).drift = Some(DriftView {
        status: "True".into(),
        reason: Reason::Drifted,
        message: "version of checkout-api:live is 1, not 2".into(),
        correctable_since: Some(at(since)),
    });
}

/// r1 serves in dev and prod, and drift is corrected.
fn serving() -> Simulation {
    let mut sim = Simulation::new();
    sim.overview.correct = true;
    sim.release(1);
    sim.deliver_everywhere();
    sim
}

fn assigned(sim: &mut Simulation, stage: &str, account: &str) -> Run {
    let target = sim.target(stage, &stage_target(account));
    target.assigned_run.clone().expect("an order")
}

/// Plans at that time, and assigns the runs.
fn plan_at(sim: &mut Simulation, seconds: i64) -> Plan {
    let next = super::super::plan(&sim.overview, &NoGates, at(seconds));
    for (stage, stage_target, run) in &next.runs {
        sim.target(stage, stage_target).assigned_run = Some(run.clone());
    }
    next
}

/// The correction has succeeded, and there is no drift any longer.
fn corrected(sim: &mut Simulation, seconds: i64) {
    for account in ["prod-a", "prod-b"] {
        sim.report("prod", account, Step::Succeeded, None);
        let target = sim.target("prod", &stage_target(account));
        target.drift = None;
        let run = target.run.as_mut().expect("a run");
        run.finished_at = Some(Time(at(seconds)));
    }
}

#[test]
fn drift_is_corrected_at_once() {
    let mut sim = serving();
    drift(&mut sim, "prod-b", 600);
    let before = assigned(&mut sim, "prod", "prod-b");
    let dev = assigned(&mut sim, "dev", "dev");
    plan_at(&mut sim, 601);
    let now = assigned(&mut sim, "prod", "prod-b");
    let expected = Run {
        attempt: before.attempt + 1,
        sequence: before.sequence + 1,
        correction: 1,
        immediate: true,
        plan_digest: None,
        ..before
    };
    assert_eq!(now, expected);
    assert_eq!(assigned(&mut sim, "dev", "dev"), dev, "dev has no drift");
    assert!(plan_at(&mut sim, 602).runs.is_empty(), "assigned once");
    corrected(&mut sim, 603);
    let next = sim.plan();
    assert_eq!(next.outcome.reason(), Reason::Delivered);
}

#[test]
fn report_only_drift_is_not_corrected() {
    let mut sim = serving();
    sim.overview.correct = false;
    drift(&mut sim, "prod-a", 600);
    let next = plan_at(&mut sim, 601);
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
        "drift does not change the outcome"
    );
}

#[test]
fn no_correction_while_paused_suspended_or_uncorrectable() {
    for hold in [
        |sim: &mut Simulation| sim.overview.paused = true,
        |sim: &mut Simulation| sim.overview.suspended = true,
        |sim: &mut Simulation| {
            let drift = &mut sim.target("prod", &stage_target("prod-a")).drift;
            drift.as_mut().expect("drift").correctable_since = None;
        },
    ] {
        let mut sim = serving();
        drift(&mut sim, "prod-a", 600);
        hold(&mut sim);
        assert!(plan_at(&mut sim, 601).runs.is_empty());
    }
}

#[test]
fn correction_waits_for_a_run_in_progress() {
    let mut sim = serving();
    sim.release(2);
    sim.plan();
    drift(&mut sim, "dev", 600);
    sim.report("dev", "dev", Step::Promote, None);
    assert!(plan_at(&mut sim, 601).runs.is_empty());
    sim.report("dev", "dev", Step::Held, Some("check smoke failed"));
    assert!(plan_at(&mut sim, 602).runs.is_empty());
}

#[test]
fn newer_release_comes_before_a_correction() {
    let mut sim = serving();
    drift(&mut sim, "dev", 600);
    sim.release(2);
    plan_at(&mut sim, 601);
    let assigned = assigned(&mut sim, "dev", "dev");
    assert_eq!((assigned.release.revision, assigned.correction), (2, 0));
}

#[test]
fn recurring_drift_is_corrected_at_growing_intervals() {
    let mut sim = serving();
    let mut now = 600;
    for (made, wait) in [(1, 300), (2, 600), (3, 1200)] {
        drift(&mut sim, "prod-a", now);
        plan_at(&mut sim, now);
        assert_eq!(assigned(&mut sim, "prod", "prod-a").correction, made);
        corrected(&mut sim, now);
        plan_at(&mut sim, now);
        drift(&mut sim, "prod-a", now + 10);
        let early = plan_at(&mut sim, now + wait - 1);
        assert!(early.runs.is_empty(), "{made}: {:?}", early.runs);
        assert_eq!(early.correction_at, Some(at(now + wait)));
        let message = early.drift.expect("a report").message;
        let parts = [format!("corrected {made} times in a row"), "prod".into()];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        now += wait;
    }
    // Drift after a day is new drift.
    let day = now + 86_400;
    drift(&mut sim, "prod-a", day);
    plan_at(&mut sim, day);
    assert_eq!(assigned(&mut sim, "prod", "prod-a").correction, 1);
}

#[test]
fn failed_correction_is_reported_and_not_repeated() {
    let mut sim = serving();
    drift(&mut sim, "prod-a", 600);
    plan_at(&mut sim, 600);
    sim.report(
        "prod",
        "prod-a",
        Step::RolledBack,
        Some("check smoke failed"),
    );
    sim.report("prod", "prod-b", Step::Succeeded, None);
    let next = sim.plan();
    assert!(matches!(next.outcome, Outcome::Waiting { .. }), "{next:?}");
    sim.report("prod", "prod-b", Step::RolledBack, None);
    let next = sim.plan();
    assert_eq!(next.outcome.reason(), Reason::RolledBack);
    let message = next.outcome.message();
    assert!(
        message.contains("could not be corrected") && message.contains("check smoke failed"),
        "{message}"
    );
    let later = SignedDuration::try_from(Duration::from_hours(48)).expect("short");
    let later = super::super::plan(&sim.overview, &NoGates, at(600) + later);
    assert!(later.runs.is_empty(), "{:?}", later.runs);
}

#[test]
fn a_rollback_does_not_wait_for_a_correction() {
    let mut sim = serving();
    sim.release(2);
    sim.deliver_everywhere();
    drift(&mut sim, "prod-a", 600);
    plan_at(&mut sim, 600);
    sim.report("prod", "prod-a", Step::Prepare, None);
    let from = assigned(&mut sim, "prod", "prod-a").release;
    sim.overview.commands.rollback = Some(RollbackStatus { from, to: None });
    plan_at(&mut sim, 601);
    let assigned = assigned(&mut sim, "prod", "prod-a");
    assert_eq!(
        (assigned.release.revision, assigned.goal),
        (1, Goal::Deliver)
    );
}
