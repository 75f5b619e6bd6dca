//! Progress that a Deployment reports of its Targets, and newer Releases that wait.

use super::*;
use crate::api::v1alpha1::{Canary, CanaryStep, Rollout, TrafficStatus};

fn third_in_progress(step: Step) -> Simulation {
    let mut sim = two_releases_delivered();
    sim.release(3);
    let stage = &mut sim.overview.releases[2].stages[0];
    stage.rollout = Some(Rollout {
        canary: Some(Canary {
            steps: vec![CanaryStep {
                weight: 10,
                bake: "90s".into(),
            }],
        }),
        ..Rollout::default()
    });
    sim.plan();
    sim.report("dev", "dev", step, None);
    sim
}

#[test]
fn bake_is_reported_with_weight_and_time() {
    let mut sim = third_in_progress(Step::Promote);
    let target = sim.target("dev", &stage_target("dev"));
    target.run.as_mut().expect("a run").traffic = Some(TrafficStatus {
        step: 0,
        weight: 10,
        previous_weight: None,
        baked_seconds: 36,
        evaluations: 4,
        evaluated_at: None,
        pending: Some("alarm checkout-errors has INSUFFICIENT_DATA".into()),
    });
    let plan = sim.plan();
    assert_eq!(
        plan.outcome.message(),
        "dev: delivering r3: 10 %, baked 36 s of 90 s; alarm checkout-errors has INSUFFICIENT_DATA"
    );
    assert_eq!(plan.stages[0].weight, Some(10));
}

#[test]
fn wait_of_a_target_is_reported() {
    let mut sim = third_in_progress(Step::Prepare);
    let why = "function checkout-api: role lambda-exce can't be assumed by Lambda";
    sim.target("dev", &stage_target("dev")).waits_for = Some(why.into());
    let plan = sim.plan();
    let message = plan.outcome.message();
    assert_eq!(message, format!("dev: delivering r3: {why}"));
    assert_eq!(plan.stages[0].message.as_deref(), Some(why));
}

#[test]
fn newer_release_replaces_a_stuck_run_without_traffic() {
    let mut sim = third_in_progress(Step::Prepare);
    let target = sim.target("dev", &stage_target("dev"));
    target.waits_for = Some("role lambda-exce can't be assumed".into());
    target.needs_a_change = true;
    sim.plan();
    assert_eq!(
        sim.runs()["dev/dev"],
        "r3 Deliver 1",
        "no newer Release yet"
    );
    sim.release(4);
    let plan = sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r3 Restore 1");
    let message = plan.outcome.message();
    assert!(message.contains("r4 replaces it"), "{message}");
    sim.target("dev", &stage_target("dev")).waits_for = None;
    sim.report("dev", "dev", Step::RolledBack, Some("r4 replaces it"));
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r4 Deliver 1");
}

#[test]
fn newer_release_waits_and_the_message_names_abort() {
    for (step, needs_a_change) in [(Step::Prepare, false), (Step::Promote, true)] {
        let mut sim = third_in_progress(step);
        let target = sim.target("dev", &stage_target("dev"));
        target.waits_for = Some("check homepage can't be judged".into());
        target.needs_a_change = needs_a_change;
        sim.release(4);
        let plan = sim.plan();
        assert_eq!(sim.runs()["dev/dev"], "r3 Deliver 1");
        let message = plan.outcome.message();
        assert!(
            message.contains("r4 comes after it: set sluice.dev/abort"),
            "{message}"
        );
    }
}
