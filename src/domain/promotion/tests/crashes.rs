//! Each command is carried out once, wherever the controller crashes or a write fails.

use super::{
    gates::{before_the_gate, closed, open, planned},
    *,
};
use crate::domain::reason::Reason;

/// Crashes the controller after its decision is recorded and before any run is assigned. The next one reads
/// the recorded decision, without the command.
fn crash_before_runs(sim: &mut Simulation) -> Plan {
    let plan = super::super::plan(&sim.overview, &NoGates, NOW);
    assert!(plan.has_decided(), "{:?}", plan.stages);
    assert!(!plan.runs.is_empty());
    sim.overview.reported.clone_from(&plan.stages);
    sim.overview.commands = Commands::default();
    let after = super::super::plan(&sim.overview, &NoGates, NOW);
    assert_eq!(
        after.runs, plan.runs,
        "the runs follow from the recorded decision"
    );
    plan
}

/// Assigns only these runs.
fn assign(sim: &mut Simulation, runs: &[(String, StageTarget, Run)]) {
    for (stage, stage_target, run) in runs {
        sim.target(stage, stage_target).assigned_run = Some(run.clone());
    }
}

/// r3 is in dev, at this step.
fn third_at(step: Step) -> Simulation {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", step, Some("alarm"));
    sim.plan();
    sim
}

/// r3 is held on both targets of prod.
fn held_in_prod() -> Simulation {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    sim.plan();
    sim.report("prod", "prod-a", Step::Held, Some("alarm"));
    sim.report("prod", "prod-b", Step::Held, Some("alarm"));
    sim.plan();
    sim
}

#[test]
fn a_retry_survives_a_crash_and_is_carried_out_once() {
    let mut sim = third_at(Step::RolledBack);
    sim.overview.commands.retry = true;
    crash_before_runs(&mut sim);
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r3 Deliver 2");
    sim.report("dev", "dev", Step::RolledBack, Some("alarm"));
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r3 Deliver 2", "no third attempt");
}

#[test]
fn promote_of_a_held_stage_survives_a_crash_and_runs_once() {
    let mut sim = held_in_prod();
    sim.overview.commands.promote = true;
    crash_before_runs(&mut sim);
    sim.plan();
    for account in ["prod-a", "prod-b"] {
        let assigned = sim
            .target("prod", &stage_target(account))
            .assigned_run
            .clone();
        let assigned = assigned.expect("an order");
        assert_eq!(
            (assigned.attempt, assigned.immediate),
            (2, true),
            "{account}"
        );
    }
    sim.report("prod", "prod-a", Step::Held, Some("alarm"));
    sim.report("prod", "prod-b", Step::Held, Some("alarm"));
    assert_eq!(
        sim.plan().outcome.reason(),
        Reason::Held,
        "it is not promoted again"
    );
    assert_eq!(sim.runs()["prod/prod-a"], "r3 Deliver 2");
}

#[test]
fn promote_of_a_run_in_progress_survives_a_crash() {
    let mut sim = third_at(Step::Promote);
    sim.overview.commands.promote = true;
    crash_before_runs(&mut sim);
    sim.plan();
    let assigned = sim.target("dev", &stage_target("dev")).assigned_run.clone();
    assert!(assigned.is_some_and(|assigned| assigned.immediate && assigned.attempt == 1));
    let plan = sim.plan();
    assert!(plan.stages.iter().all(|stage| stage.decided.is_none()));
}

#[test]
fn an_abort_survives_a_crash() {
    let mut sim = third_at(Step::Promote);
    sim.overview.commands.abort = true;
    crash_before_runs(&mut sim);
    let plan = sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r3 Restore 1");
    assert_eq!(plan.outcome.reason(), Reason::RollingBack);
    let reason = sim.target("dev", &stage_target("dev")).assigned_run.clone();
    let reason = reason.and_then(|assigned| assigned.reason);
    assert_eq!(
        reason.as_deref(),
        Some("it was aborted by sluice.dev/abort")
    );
}

#[test]
fn a_retry_of_a_failed_rollback_survives_a_crash() {
    let mut sim = third_at(Step::RollbackFailed);
    sim.overview.commands.retry = true;
    crash_before_runs(&mut sim);
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r3 Restore 2");
}

#[test]
fn run_whose_write_failed_is_assigned_later() {
    let mut sim = held_in_prod();
    sim.overview.commands.promote = true;
    let plan = super::super::plan(&sim.overview, &NoGates, NOW);
    sim.overview.reported.clone_from(&plan.stages);
    sim.overview.commands = Commands::default();
    assign(&mut sim, &plan.runs[..1]);
    sim.report("prod", "prod-a", Step::Promote, None);
    let plan = super::super::plan(&sim.overview, &NoGates, NOW);
    let [(_, at, run)] = &plan.runs[..] else {
        panic!("{:?}", plan.runs);
    };
    assert_eq!(*at, stage_target("prod-b"));
    assert_eq!((run.attempt, run.immediate), (2, true));
}

#[test]
fn stale_decision_never_turns_a_restore_into_a_delivery() {
    let mut sim = third_at(Step::Promote);
    sim.overview.commands.promote = true;
    let promoted = super::super::plan(&sim.overview, &NoGates, NOW);
    assign(&mut sim, &promoted.runs);
    sim.overview.commands = Commands {
        abort: true,
        ..Commands::default()
    };
    let aborted = super::super::plan(&sim.overview, &NoGates, NOW);
    assign(&mut sim, &aborted.runs);
    // A controller with a read from before the abort.
    sim.overview.reported.clone_from(&promoted.stages);
    sim.overview.commands = Commands::default();
    let plan = super::super::plan(&sim.overview, &NoGates, NOW);
    assert_eq!(plan.runs, []);
    assert_eq!(plan.outcome.reason(), Reason::RollingBack);
}

#[test]
fn successful_retry_does_not_report_the_former_failure() {
    let mut sim = Simulation::new();
    sim.overview.stages = vec!["dev".into()];
    sim.release(1);
    sim.overview.releases[0].stages.truncate(1);
    sim.plan();
    sim.report("dev", "dev", Step::RolledBack, Some("check smoke failed"));
    sim.plan();
    sim.overview.commands.retry = true;
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    // The reconcile that observes the success, before the Release records it.
    let plan = super::super::plan(&sim.overview, &NoGates, NOW);
    assert_eq!(plan.outcomes.len(), 1);
    assert_eq!(
        plan.outcome.reason(),
        Reason::Delivered,
        "{}",
        plan.outcome.message()
    );
    assert_eq!(plan.undelivered, None);
}

#[test]
fn first_failure_is_of_the_current_attempt() {
    let mut sim = delivered_to_dev();
    sim.plan();
    sim.report("prod", "prod-a", Step::RolledBack, Some("alarm one"));
    sim.report("prod", "prod-b", Step::RolledBack, Some(FOLLOWED));
    sim.plan();
    sim.overview.commands.retry = true;
    sim.plan();
    sim.report("prod", "prod-b", Step::RolledBack, Some("alarm two"));
    let plan = sim.plan();
    let message = plan.outcome.message();
    assert!(
        message.contains("alarm two") && !message.contains("alarm one"),
        "{message}"
    );
}

#[test]
fn promote_keeps_approved_plans_through_a_crash() {
    let (mut sim, _) = before_the_gate(&closed());
    planned(&mut sim, 1, ["aa", "bb"]);
    sim.plan_with(&open("one"));
    for account in ["prod-a", "prod-b"] {
        sim.report("prod", account, Step::Held, Some("alarm"));
    }
    sim.plan();
    sim.overview.commands.promote = true;
    let plan = crash_before_runs(&mut sim);
    let approved = stage_digest(&[
        (stage_target("prod-a"), "aa".to_owned()),
        (stage_target("prod-b"), "bb".to_owned()),
    ]);
    let digests = plan.runs.iter().map(|(.., run)| {
        let stage = run.stage_digest.as_deref().unwrap_or_default();
        (run.plan_digest.as_deref().unwrap_or_default(), stage)
    });
    let digests: Vec<_> = digests.collect();
    assert_eq!(digests, [("aa", &*approved), ("bb", &*approved)]);
}
