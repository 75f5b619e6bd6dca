//! Removed and renamed stages, and the reports of live Releases.

use super::*;
use crate::domain::reason::Reason;

/// Removes prod from the Deployment, and releases that revision without it.
fn without_prod(sim: &mut Simulation, revision: i64) {
    sim.overview.stages = vec!["dev".into()];
    sim.release(revision);
    let release = sim.overview.releases.last_mut().expect("it was released");
    release.stages.truncate(1);
}

#[test]
fn removed_stage_keeps_targets_until_its_removal_is_live() {
    let mut sim = two_releases_delivered();
    without_prod(&mut sim, 3);
    assert_eq!(sim.plan().removed_targets, [], "r3 does not serve yet");
    sim.report("dev", "dev", Step::RolledBack, Some("alarm"));
    assert_eq!(sim.plan().removed_targets, [], "r3 failed");
    sim.overview.commands.retry = true;
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    let removed = [stage_target("prod-a"), stage_target("prod-b")]
        .map(|stage_target| ("prod".to_owned(), stage_target));
    let plan = sim.plan();
    assert_eq!(plan.removed_targets, removed);
    assert_eq!(plan.outcome.reason(), Reason::Delivered);
}

#[test]
fn drift_of_a_removed_stage_is_not_reported() {
    let mut sim = two_releases_delivered();
    sim.target("prod", &stage_target("prod-a")).drift = Some(DriftView {
        status: "True".into(),
        reason: Reason::Drifted,
        message: "function checkout: code".into(),
        correctable_since: None,
    });
    assert_eq!(sim.plan().drift.map(|drift| drift.status), Some("True"));
    without_prod(&mut sim, 3);
    assert_eq!(sim.plan().drift, None);
}

#[test]
fn renamed_stage_continues_with_its_live_release() {
    let mut sim = two_releases_delivered();
    sim.overview.stages = vec!["dev".into(), "live".into()];
    for target in &mut sim.overview.targets {
        if target.stage == "prod" {
            target.stage = "live".into();
        }
    }
    let plan = sim.plan();
    assert_eq!(
        plan.live, "dev=r2 live=r2",
        "r2 keeps serving until the next Release"
    );
    assert_eq!((plan.runs.len(), plan.removed_targets.len()), (0, 0));
    let names = |sim: &Simulation| -> Vec<String> {
        let outcomes = sim.overview.releases[1].outcomes.iter();
        outcomes.map(|outcome| outcome.stage.clone()).collect()
    };
    assert_eq!(names(&sim), ["dev", "prod"], "r2 has no outcome in live");

    sim.release(3);
    let release = sim.overview.releases.last_mut().expect("it was released");
    release.stages[1].name = "live".into();
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    sim.plan();
    assert_eq!(sim.runs()["live/prod-a"], "r3 Deliver 1");
    sim.report("live", "prod-a", Step::Succeeded, None);
    sim.report("live", "prod-b", Step::Succeeded, None);
    assert_eq!(sim.plan().live, "dev=r3 live=r3");
    let rollback = RollbackStatus::of(&sim.overview, "checkout", "x").expect("dev rolls back");
    assert!(
        rollback.to(&sim.overview, "live").is_none(),
        "no Release has served there before"
    );
}

#[test]
fn availability_names_stages_without_a_live_release() {
    let mut sim = Simulation::new();
    sim.release(1);
    let plan = sim.plan();
    assert!(!plan.availability.is_available);
    assert_eq!(plan.availability.message, "no Release serves in dev, prod");
    sim.report("dev", "dev", Step::Succeeded, None);
    let plan = sim.plan();
    assert!(
        plan.availability.is_available,
        "prod has its first delivery"
    );
    assert_eq!(
        plan.availability.message,
        "dev=r1; no Release serves in prod"
    );
    sim.report("prod", "prod-a", Step::RolledBack, Some("alarm"));
    sim.report("prod", "prod-b", Step::RolledBack, Some(FOLLOWED));
    let plan = sim.plan();
    assert!(!plan.availability.is_available, "its first delivery failed");
    assert_eq!(
        plan.availability.message,
        "dev=r1; no Release serves in prod"
    );
}

#[test]
fn delivered_means_the_newest_release_serves_everywhere() {
    let mut sim = two_releases_delivered();
    assert_eq!(sim.plan().undelivered, None);
    sim.release(3);
    let missing = sim.plan().undelivered;
    assert_eq!(missing.as_deref(), Some("r3 does not serve in dev, prod"));
    sim.report("dev", "dev", Step::Succeeded, None);
    let missing = sim.plan().undelivered;
    assert_eq!(missing.as_deref(), Some("r3 does not serve in prod"));
    let none = Simulation::new().plan().undelivered;
    assert_eq!(none.as_deref(), Some("No Release to deliver"));
}
