//! Releases whose preflight fails for one of their stages.

use super::*;
use crate::domain::preflight::Problem;

pub(super) fn wrong(sim: &mut Simulation, revision: i64, stages: &[&str]) {
    let problem = |stage: &&str| Problem {
        stage: (*stage).to_owned(),
        field: "spec.components[api].lambda.functionName".into(),
        message: "it is too long".into(),
    };
    let problems = stages.iter().map(problem).collect();
    let uid = format!("uid-{revision}");
    sim.overview.preflights.0.insert(uid, problems);
}

fn outcome(plan: &Plan) -> (Reason, &str) {
    (plan.outcome.reason(), plan.outcome.message())
}

#[test]
fn problem_of_a_later_stage_blocks_the_first_stage() {
    let mut sim = Simulation::new();
    sim.release(1);
    wrong(&mut sim, 1, &["prod"]);
    let plan = sim.plan();
    assert!(sim.runs().is_empty(), "{:?}", sim.runs());
    assert!(plan.outcomes.is_empty(), "r1 has no outcome");
    let why = "r1: prod: spec.components[api].lambda.functionName: it is too long";
    assert_eq!(outcome(&plan), (Reason::PreflightFailed, why));
    assert!(matches!(plan.outcome, Outcome::Stalled { .. }));

    sim.overview.preflights = Preflights::default();
    sim.plan();
    assert_eq!(sim.runs(), runs(&[("dev/dev", "r1 Deliver 1")]));
}

#[test]
fn problem_of_an_earlier_stage_does_not_block_later_stages() {
    let mut sim = delivered_to_dev();
    wrong(&mut sim, 1, &["dev"]);
    sim.plan();
    assert_eq!(sim.runs().len(), 3);
}

#[test]
fn new_problem_blocks_the_remaining_stages() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    wrong(&mut sim, 1, &["prod"]);
    let plan = sim.plan();
    assert_eq!(plan.outcome.reason(), Reason::Progressing, "dev continues");
    sim.report("dev", "dev", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(sim.runs().len(), 1);
    assert_eq!(plan.outcome.reason(), Reason::PreflightFailed);
}

#[test]
fn failed_preflight_does_not_supersede_the_release_before() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.release(2);
    wrong(&mut sim, 2, &["dev", "prod"]);
    sim.report("dev", "dev", Step::Succeeded, None);
    sim.plan();
    sim.report("prod", "prod-a", Step::Succeeded, None);
    sim.report("prod", "prod-b", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(plan.live, "dev=r1 prod=r1");
    assert_eq!(plan.outcome.reason(), Reason::PreflightFailed);
    assert!(plan.availability.is_available);
}

#[test]
fn failed_preflight_is_reported_over_an_earlier_failure() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::Failed, Some("no"));
    assert_eq!(sim.plan().outcome.reason(), Reason::DeliveryFailed);
    sim.release(2);
    wrong(&mut sim, 2, &["prod"]);
    let plan = sim.plan();
    assert_eq!(plan.outcome.reason(), Reason::PreflightFailed);
    // A Release that failed itself is not delivered anyway.
    wrong(&mut sim, 1, &["prod"]);
    sim.overview
        .releases
        .retain(|one| one.reference.revision == 1);
    assert_eq!(sim.plan().outcome.reason(), Reason::DeliveryFailed);
}

#[test]
fn release_that_has_served_can_be_pinned_despite_problems() {
    let mut sim = two_releases_delivered();
    wrong(&mut sim, 1, &["dev", "prod"]);
    wrong(&mut sim, 2, &["dev", "prod"]);
    assert_eq!(sim.plan().outcome.reason(), Reason::Delivered);
    sim.overview.pin = Some("r1".into());
    sim.plan();
    let assigned = sim.target("dev", &stage_target("dev")).assigned_run.clone();
    assert_eq!(assigned.map(|assigned| assigned.release.revision), Some(1));
}

#[test]
fn preflight_of_a_pinned_release_is_reported() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.release(2);
    wrong(&mut sim, 1, &["prod"]);
    sim.overview.pin = Some("r1".into());
    let plan = sim.plan();
    assert_eq!(plan.outcome.reason(), Reason::PreflightFailed);
    assert!(sim.runs().is_empty());
}
