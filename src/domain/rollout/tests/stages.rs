//! Stages that are removed or renamed, and what is said to serve.

use super::{commands::two_delivered, *};
use crate::domain::reason::Reason;

/// The Deployment has dev only, and so has the Release of that revision.
fn without_prod(story: &mut Play, revision: i64) {
    story.overview.stages = vec!["dev".into()];
    story.release(revision);
    let release = story.overview.releases.last_mut().expect("it was released");
    release.stages.truncate(1);
}

#[test]
fn a_removed_stage_takes_its_targets_with_it_once_the_release_without_it_serves_everywhere() {
    let mut story = two_delivered();
    without_prod(&mut story, 3);
    assert_eq!(story.plan().removed_targets, [], "r3 does not serve yet");
    story.report("dev", "dev", Step::RolledBack, Some("alarm"));
    assert_eq!(story.plan().removed_targets, [], "r3 failed");
    story.overview.commands.retry = true;
    story.plan();
    story.report("dev", "dev", Step::Succeeded, None);
    let leavers = [place("prod-a"), place("prod-b")].map(|place| ("prod".to_owned(), place));
    let plan = story.plan();
    assert_eq!(plan.removed_targets, leavers);
    assert_eq!(plan.outcome.reason(), Reason::Delivered);
}

#[test]
fn the_drift_of_a_removed_stage_is_not_told() {
    let mut story = two_delivered();
    story.target("prod", &place("prod-a")).drift = Some(DriftView {
        status: "True".into(),
        reason: Reason::Drifted,
        message: "function checkout: code".into(),
        correctable_since: None,
    });
    assert_eq!(story.plan().drift.map(|drift| drift.status), Some("True"));
    without_prod(&mut story, 3);
    assert_eq!(story.plan().drift, None);
}

#[test]
fn a_renamed_stage_goes_on_from_what_serves_there() {
    let mut story = two_delivered();
    story.overview.stages = vec!["dev".into(), "live".into()];
    for target in &mut story.overview.targets {
        if target.stage == "prod" {
            target.stage = "live".into();
        }
    }
    let plan = story.plan();
    assert_eq!(
        plan.live, "dev=r2 live=r2",
        "nothing is lost until the next Release"
    );
    assert_eq!((plan.runs.len(), plan.removed_targets.len()), (0, 0));
    let names = |story: &Play| -> Vec<String> {
        let outcomes = story.overview.releases[1].outcomes.iter();
        outcomes.map(|outcome| outcome.stage.clone()).collect()
    };
    assert_eq!(names(&story), ["dev", "prod"], "r2 never had that stage");

    story.release(3);
    let release = story.overview.releases.last_mut().expect("it was released");
    release.stages[1].name = "live".into();
    story.plan();
    story.report("dev", "dev", Step::Succeeded, None);
    story.plan();
    assert_eq!(story.orders()["live/prod-a"], "r3 Deliver 1");
    story.report("live", "prod-a", Step::Succeeded, None);
    story.report("live", "prod-b", Step::Succeeded, None);
    assert_eq!(story.plan().live, "dev=r3 live=r3");
    let back = Back::of(&story.overview, "checkout", "x").expect("dev goes back");
    assert!(
        back.to(&story.overview, "live").is_none(),
        "no Release has served there before"
    );
}

#[test]
fn availability_says_where_nothing_serves() {
    let mut story = Play::new();
    story.release(1);
    let plan = story.plan();
    assert!(!plan.availability.is_available);
    assert_eq!(plan.availability.message, "nothing serves in dev, prod");
    story.report("dev", "dev", Step::Succeeded, None);
    let plan = story.plan();
    assert!(
        plan.availability.is_available,
        "prod has its first delivery"
    );
    assert_eq!(plan.availability.message, "dev=r1; nothing serves in prod");
    story.report("prod", "prod-a", Step::RolledBack, Some("alarm"));
    story.report("prod", "prod-b", Step::RolledBack, Some(FOLLOWED));
    let plan = story.plan();
    assert!(!plan.availability.is_available, "its first delivery failed");
    assert_eq!(plan.availability.message, "dev=r1; nothing serves in prod");
}

#[test]
fn delivered_means_that_the_newest_serves_everywhere() {
    let mut story = two_delivered();
    assert_eq!(story.plan().undelivered, None);
    story.release(3);
    let missing = story.plan().undelivered;
    assert_eq!(missing.as_deref(), Some("r3 does not serve in dev, prod"));
    story.report("dev", "dev", Step::Succeeded, None);
    let missing = story.plan().undelivered;
    assert_eq!(missing.as_deref(), Some("r3 does not serve in prod"));
    let none = Play::new().plan().undelivered;
    assert_eq!(none.as_deref(), Some("No Release to deliver"));
}
