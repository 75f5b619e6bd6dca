//! Promotion through stages, simulated with Targets that carry out their runs.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::{
    api::v1alpha1::{
        DeletionPolicy, Goal, OnTargetFailure, ReleaseSource, Run, RunStatus, Stage, Superseding,
    },
    domain::engine::{JOURNAL_VERSION, Step},
};

mod commands;
mod corrections;
mod crashes;
mod entry;
mod gates;
mod history;
mod leaders;
mod preflights;
mod progress;
mod rename;
mod stages;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A simulated Deployment with its Releases and Targets, on which plans are carried out.
#[derive(Clone, Debug)]
struct Simulation {
    overview: Overview,
}

fn stage_target(account: &str) -> StageTarget {
    StageTarget {
        account: account.into(),
        region: "eu-west-1".into(),
    }
}

fn stage(name: &str, accounts: &[&str]) -> Stage {
    Stage {
        name: name.into(),
        targets: accounts
            .iter()
            .map(|account| stage_target(account))
            .collect(),
        ..Stage::default()
    }
}

impl Simulation {
    fn new() -> Self {
        let overview = Overview {
            stages: vec!["dev".into(), "prod".into()],
            releases: Vec::new(),
            targets: Vec::new(),
            reported: Vec::new(),
            suspended: false,
            paused: false,
            superseding: Superseding::Newest,
            pin: None,
            correct: false,
            deletion_policy: DeletionPolicy::Delete,
            commands: Commands::default(),
            preflights: Preflights::default(),
            spec_release: SpecRelease::Exists,
        };
        Self { overview }
    }

    fn release(&mut self, revision: i64) {
        self.overview.releases.push(ReleaseView {
            reference: ReleaseRef {
                name: format!("r{revision}"),
                uid: format!("uid-{revision}"),
                revision,
            },
            source: ReleaseSource::default(),
            stages: vec![stage("dev", &["dev"]), stage("prod", &["prod-a", "prod-b"])],
            outcomes: Vec::new(),
        });
    }

    /// Plans until nothing is left to write, and returns the last plan.
    fn plan(&mut self) -> Plan {
        self.plan_with(&NoGates)
    }

    fn plan_with(&mut self, gates: &dyn Gatekeeper) -> Plan {
        for _ in 0..10 {
            let plan = super::plan(&self.overview, gates, NOW);
            self.overview.reported.clone_from(&plan.stages);
            let rollback = self.overview.commands.rollback.take();
            self.overview.commands = Commands {
                rollback: rollback.filter(|_| plan.is_rolling_back),
                ..Commands::default()
            };
            if plan.outcomes.is_empty() && plan.runs.is_empty() {
                return plan;
            }
            for (reference, outcome) in plan.outcomes {
                let release = self
                    .overview
                    .releases
                    .iter_mut()
                    .find(|one| one.reference.uid == reference.uid);
                let outcomes = &mut release.expect("a known Release").outcomes;
                outcomes.retain(|one| one.stage != outcome.stage);
                outcomes.push(outcome);
            }
            for (stage, stage_target, run) in plan.runs {
                self.target(&stage, &stage_target).assigned_run = Some(run);
            }
        }
        panic!("the plan never settles");
    }

    /// Every run succeeds, in dev and then in prod.
    fn deliver_everywhere(&mut self) {
        self.deliver_everywhere_past(&NoGates);
    }

    fn deliver_everywhere_past(&mut self, gates: &dyn Gatekeeper) {
        self.plan_with(gates);
        self.report("dev", "dev", Step::Succeeded, None);
        self.plan_with(gates);
        self.report("prod", "prod-a", Step::Succeeded, None);
        self.report("prod", "prod-b", Step::Succeeded, None);
        self.plan_with(gates);
    }

    fn target(&mut self, stage: &str, stage_target: &StageTarget) -> &mut TargetView {
        let targets = &mut self.overview.targets;
        let at = targets
            .iter()
            .position(|target| target.stage == stage && &target.stage_target == stage_target);
        let at = at.unwrap_or_else(|| {
            targets.push(TargetView {
                stage: stage.into(),
                stage_target: stage_target.clone(),
                assigned_run: None,
                run: None,
                live: None,
                stalled: None,
                waits_for: None,
                needs_a_change: false,
                plan: None,
                plan_deletes: false,
                plan_summary: None,
                needs_prune: false,
                drift: None,
            });
            targets.len() - 1
        });
        &mut targets[at]
    }

    /// The Target reports this step of its run.
    fn report(&mut self, stage: &str, account: &str, step: Step, message: Option<&str>) {
        let target = self.target(stage, &stage_target(account));
        let assigned = target.assigned_run.clone().expect("a run");
        target.run = Some(RunStatus {
            release: assigned.release.clone(),
            attempt: assigned.attempt,
            journal_version: JOURNAL_VERSION,
            step: step.as_str().into(),
            held_at: None,
            metric_checks_skipped: false,
            level: 0,
            traffic: None,
            message: message.map(Into::into),
            started_at: Time(NOW),
            progressed_at: Time(NOW),
            finished_at: Some(Time(NOW)),
            snapshot: None,
            intents: Vec::new(),
            components: Vec::new(),
            restored: Vec::new(),
            differences: Vec::new(),
        });
        if step == Step::Succeeded {
            target.live = Some(assigned.release);
        }
    }

    fn runs(&self) -> BTreeMap<String, String> {
        let assigned = |target: &TargetView| {
            let assigned = target.assigned_run.as_ref()?;
            let text = format!(
                "r{} {:?} {}",
                assigned.release.revision, assigned.goal, assigned.attempt
            );
            Some((
                format!("{}/{}", target.stage, target.stage_target.account),
                text,
            ))
        };
        self.overview.targets.iter().filter_map(assigned).collect()
    }
}

fn runs(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected
        .iter()
        .map(|(at, what)| ((*at).to_owned(), (*what).to_owned()))
        .collect()
}

/// r1 serves in dev.
fn delivered_to_dev() -> Simulation {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    sim
}

/// r1 and r2 were delivered everywhere, r2 last.
fn two_releases_delivered() -> Simulation {
    let mut sim = Simulation::new();
    for revision in 1..=2 {
        sim.release(revision);
        sim.deliver_everywhere();
    }
    sim
}

#[test]
fn a_release_goes_from_stage_to_stage() {
    let mut sim = Simulation::new();
    assert_eq!(sim.plan().outcome.reason(), Reason::Idle);
    sim.release(1);
    let plan = sim.plan();
    assert_eq!(sim.runs(), runs(&[("dev/dev", "r1 Deliver 1")]));
    assert_eq!(
        (plan.outcome.reason(), plan.availability.is_available),
        (Reason::Progressing, false)
    );
    sim.report("dev", "dev", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(plan.live, "dev=r1");
    assert!(plan.availability.is_available);
    assert_eq!(sim.runs().len(), 3, "both prod targets at once");
    sim.report("prod", "prod-a", Step::Succeeded, None);
    assert_eq!(sim.plan().outcome.reason(), Reason::Progressing);
    sim.report("prod", "prod-b", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(plan.live, "dev=r1 prod=r1");
    assert_eq!(plan.outcome.reason(), Reason::Delivered);
}

#[test]
fn a_failure_in_dev_never_reaches_prod() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::RolledBack, Some("check smoke failed"));
    let plan = sim.plan();
    assert_eq!(sim.runs(), runs(&[("dev/dev", "r1 Deliver 1")]));
    assert_eq!(plan.outcome.reason(), Reason::RolledBack);
    assert_eq!(
        plan.outcome.message(),
        "dev: r1 was rolled back, no Release serves: check smoke failed"
    );
    sim.release(2);
    sim.plan();
    assert_eq!(
        sim.runs(),
        runs(&[("dev/dev", "r2 Deliver 1")]),
        "a newer Release is delivered"
    );
}

#[test]
fn stalled_restore_of_a_target_is_reported() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::Restore, Some("alarm"));
    assert_eq!(sim.plan().outcome.reason(), Reason::RollingBack);
    let target = sim.target("dev", &stage_target("dev"));
    target.stalled = Some(("NotGranted".into(), "Account dev has no grant".into()));
    let plan = sim.plan();
    assert_eq!(plan.outcome.reason(), Reason::TargetStalled);
    assert!(plan.outcome.message().contains("has no grant"));
}

#[test]
fn one_failed_target_restores_its_stage() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    sim.plan();
    sim.report("prod", "prod-a", Step::Succeeded, None);
    sim.report("prod", "prod-b", Step::RolledBack, Some("alarm"));
    let plan = sim.plan();
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Restore 1");
    assert_eq!(
        sim.runs()["prod/prod-b"],
        "r1 Deliver 1",
        "it was restored by itself"
    );
    assert_eq!(plan.outcome.reason(), Reason::RollingBack);
    assert!(
        sim.overview.releases[0]
            .outcomes
            .iter()
            .all(|outcome| outcome.stage == "dev"),
        "no outcome in prod yet"
    );
    sim.report("prod", "prod-a", Step::RolledBack, Some(FOLLOWED));
    let plan = sim.plan();
    assert_eq!(plan.outcome.reason(), Reason::RolledBack);
    assert!(
        plan.outcome.message().contains("prod-b/eu-west-1: alarm"),
        "{}",
        plan.outcome.message()
    );
    let outcome = sim.overview.releases[0]
        .outcomes
        .iter()
        .find(|outcome| outcome.stage == "prod");
    assert_eq!(
        outcome.map(|outcome| outcome.outcome.as_str()),
        Some("RolledBack")
    );
}

#[test]
fn stage_in_progress_gets_no_other_release() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::Prepare, None);
    sim.release(2);
    sim.release(3);
    sim.plan();
    assert_eq!(sim.runs(), runs(&[("dev/dev", "r1 Deliver 1")]));
    sim.report("dev", "dev", Step::Succeeded, None);
    sim.plan();
    assert_eq!(
        sim.runs()["dev/dev"],
        "r3 Deliver 1",
        "the newest, not the next"
    );
    assert_eq!(
        sim.runs()["prod/prod-a"],
        "r1 Deliver 1",
        "stages may carry different Releases"
    );
}

#[test]
fn newer_release_replaces_a_run_that_has_not_begun() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    let target = sim.target("dev", &stage_target("dev"));
    target.stalled = Some(("AccountNotFound".into(), "There is no Account dev".into()));
    let plan = sim.plan();
    assert_eq!(
        (plan.outcome.reason(), plan.outcome.message()),
        (Reason::TargetStalled, "dev: There is no Account dev")
    );
    sim.release(2);
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r2 Deliver 1");
}

#[test]
fn retry_is_another_attempt_of_the_failed_release() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::RolledBack, Some("check smoke failed"));
    sim.plan();
    sim.overview.commands.retry = true;
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r1 Deliver 2");
    sim.report("dev", "dev", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(plan.live, "dev=r1");
    assert_eq!(
        sim.runs()["prod/prod-a"],
        "r1 Deliver 1",
        "the success of the second attempt counts"
    );
}

#[test]
fn failed_restore_blocks_until_a_retry() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::RollbackFailed, Some("denied"));
    let plan = sim.plan();
    assert_eq!(
        (plan.outcome.reason(), plan.availability.is_available),
        (Reason::RollbackFailed, false)
    );
    sim.release(2);
    sim.plan();
    assert_eq!(
        sim.runs()["dev/dev"],
        "r1 Deliver 1",
        "nothing new starts after a failed restore"
    );
    sim.overview.commands.retry = true;
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r1 Restore 2");
}

#[test]
fn suspended_deployment_finishes_runs_and_starts_none() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.overview.suspended = true;
    sim.release(2);
    sim.report("dev", "dev", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(sim.runs(), runs(&[("dev/dev", "r1 Deliver 1")]));
    assert_eq!(plan.outcome.reason(), Reason::Suspended);
    sim.overview.suspended = false;
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r2 Deliver 1");
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Deliver 1");
}
