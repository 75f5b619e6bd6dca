//! Releases with which something is wrong in one of their stages.

use super::*;
use crate::domain::preflight::Problem;

pub(super) fn wrong(story: &mut Play, revision: i64, stages: &[&str]) {
    let problem = |stage: &&str| Problem {
        stage: (*stage).to_owned(),
        field: "spec.components[api].lambda.functionName".into(),
        message: "it is too long".into(),
    };
    let problems = stages.iter().map(problem).collect();
    let uid = format!("uid-{revision}");
    story.overview.preflights.0.insert(uid, problems);
}

fn said(plan: &Plan) -> (Reason, &str) {
    (plan.outcome.reason(), plan.outcome.message())
}

#[test]
fn a_problem_of_a_later_stage_keeps_a_release_from_the_first() {
    let mut story = Play::new();
    story.release(1);
    wrong(&mut story, 1, &["prod"]);
    let plan = story.plan();
    assert!(story.orders().is_empty(), "{:?}", story.orders());
    assert!(plan.outcomes.is_empty(), "it has not failed");
    let why = "r1: prod: spec.components[api].lambda.functionName: it is too long";
    assert_eq!(said(&plan), (Reason::PreflightFailed, why));
    assert!(matches!(plan.outcome, Outcome::Stalled { .. }));

    story.overview.preflights = Preflights::default();
    story.plan();
    assert_eq!(story.orders(), orders(&[("dev/dev", "r1 Deliver 1")]));
}

#[test]
fn a_problem_of_a_stage_that_has_the_release_keeps_it_from_no_later_one() {
    let mut story = Play::new();
    story.release(1);
    story.plan();
    story.report("dev", "dev", Step::Succeeded, None);
    wrong(&mut story, 1, &["dev"]);
    story.plan();
    assert_eq!(story.orders().len(), 3);
}

#[test]
fn a_problem_that_appears_later_keeps_a_release_from_what_is_left() {
    let mut story = Play::new();
    story.release(1);
    story.plan();
    wrong(&mut story, 1, &["prod"]);
    let plan = story.plan();
    assert_eq!(plan.outcome.reason(), Reason::Progressing, "dev goes on");
    story.report("dev", "dev", Step::Succeeded, None);
    let plan = story.plan();
    assert_eq!(story.orders().len(), 1);
    assert_eq!(plan.outcome.reason(), Reason::PreflightFailed);
}

#[test]
fn what_serves_goes_on_and_the_release_before_is_not_superseded() {
    let mut story = Play::new();
    story.release(1);
    story.plan();
    story.release(2);
    wrong(&mut story, 2, &["dev", "prod"]);
    story.report("dev", "dev", Step::Succeeded, None);
    story.plan();
    story.report("prod", "prod-a", Step::Succeeded, None);
    story.report("prod", "prod-b", Step::Succeeded, None);
    let plan = story.plan();
    assert_eq!(plan.live, "dev=r1 prod=r1");
    assert_eq!(plan.outcome.reason(), Reason::PreflightFailed);
    assert!(plan.availability.is_available);
}

#[test]
fn what_failed_before_is_no_news_where_the_successor_is_wrong() {
    let mut story = Play::new();
    story.release(1);
    story.plan();
    story.report("dev", "dev", Step::Failed, Some("no"));
    assert_eq!(story.plan().outcome.reason(), Reason::DeliveryFailed);
    story.release(2);
    wrong(&mut story, 2, &["prod"]);
    let plan = story.plan();
    assert_eq!(plan.outcome.reason(), Reason::PreflightFailed);
    // One that failed itself goes nowhere anyway.
    wrong(&mut story, 1, &["prod"]);
    story
        .overview
        .releases
        .retain(|one| one.reference.revision == 1);
    assert_eq!(story.plan().outcome.reason(), Reason::DeliveryFailed);
}

#[test]
fn what_has_served_stays_within_reach() {
    let mut story = Play::new();
    for revision in [1, 2] {
        story.release(revision);
        story.plan();
        story.report("dev", "dev", Step::Succeeded, None);
        story.plan();
        story.report("prod", "prod-a", Step::Succeeded, None);
        story.report("prod", "prod-b", Step::Succeeded, None);
        story.plan();
    }
    wrong(&mut story, 1, &["dev", "prod"]);
    wrong(&mut story, 2, &["dev", "prod"]);
    assert_eq!(story.plan().outcome.reason(), Reason::Delivered);
    story.overview.pin = Some("r1".into());
    story.plan();
    let order = story.target("dev", &place("dev")).order.clone();
    assert_eq!(order.map(|order| order.release.revision), Some(1));
}

#[test]
fn a_pin_says_what_is_wrong_with_it() {
    let mut story = Play::new();
    story.release(1);
    story.release(2);
    wrong(&mut story, 1, &["prod"]);
    story.overview.pin = Some("r1".into());
    let plan = story.plan();
    assert_eq!(plan.outcome.reason(), Reason::PreflightFailed);
    assert!(story.orders().is_empty());
}
