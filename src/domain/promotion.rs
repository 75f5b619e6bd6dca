//! Promotion: which Release goes to which stage next, over all Targets of a Deployment.
//!
//! # Expected flow
//! The controller passes the recorded state ([`Overview`]) and gets back what to write ([`Plan`]):
//! outcomes of Releases first, then runs for Targets. The same state always gives the same plan, so a
//! crash between two writes loses nothing.
//!
//! # Guarantees
//! - A stage gets a Release only after the previous stage succeeded with it.
//! - A stage in progress finishes or is restored before it gets another Release.
//! - When one target of a stage fails, all other targets of the stage are restored.
//! - A stage does not get a Release that failed there again, except by a retry.
//! - A stage does not get a Release whose preflight failed for this or a later stage.

mod answers;
mod command;
mod decisive;
mod drift;
mod gate;
mod outcome;
mod overview;
mod plan;
mod preflight;
mod rename;
mod rollback;
mod stage;
mod state;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

#[cfg(test)]
use self::gate::NoGates;
pub use self::{
    answers::Answered,
    command::{Command, Commands},
    decisive::decisive,
    drift::DriftReport,
    gate::{
        Answer, Ask, Asks, Entry, Evaluated, Gatekeeper, Judged, REJECTED, Unread, stage_digest,
    },
    overview::{DriftView, Overview, Preflights, ReleaseView, SpecRelease, TargetView},
    plan::{Availability, Plan},
    rename::{Renamed, renamed},
    stage::FOLLOWED,
    state::failure_reason,
};
use self::{stage::StageView, state::State};
use super::outcome::Outcome;
use crate::{
    api::v1alpha1::{
        ReleaseRef, RollbackStatus, StageOutcome, StageStatus, StageTarget, annotation,
    },
    domain::reason::Reason,
};

/// What to write next.
pub fn plan(overview: &Overview, gates: &dyn Gatekeeper, now: Timestamp) -> Plan {
    let mut plan = Plan {
        outcomes: Vec::new(),
        runs: Vec::new(),
        passes_gate: false,
        judgements: BTreeMap::new(),
        unread: BTreeSet::new(),
        is_rolling_back: false,
        plan_requests: Vec::new(),
        removed_targets: Vec::new(),
        stages: Vec::new(),
        outcome: Outcome::Done {
            reason: Reason::Idle,
            message: String::new(),
        },
        availability: Availability::default(),
        undelivered: None,
        answers: Vec::new(),
        live: String::new(),
        drift: None,
        correction_at: None,
        gate_opens_at: None,
    };
    let mut views = Vec::new();
    for name in &overview.stages {
        let mut stage = StageView::of(overview, name);
        if let Some(outcome) = stage.new_outcome(overview, now) {
            plan.outcomes.push(outcome);
        }
        let before = stage.serving().cloned();
        stage.next(overview, gates, &plan.outcomes, now);
        plan.outcomes.extend(stage.rejection(overview, now));
        if let Some(at) = &stage.at_gate {
            let wanted = stage.wanted_plans.iter();
            plan.plan_requests.extend(
                wanted.map(|stage_target| (name.clone(), stage_target.clone(), at.release.clone())),
            );
        }
        plan.passes_gate |= stage.passage.is_some();
        plan.unread.extend(std::mem::take(&mut stage.unread));
        for judged in std::mem::take(&mut stage.judged) {
            // An Approval reports the judgement of the stage that it names.
            if judged.names_stage || !plan.judgements.contains_key(&judged.approval) {
                plan.judgements.insert(judged.approval, judged.judgement);
            }
        }
        let rollback = overview.commands.rollback.as_ref();
        plan.is_rolling_back |=
            rollback.is_some_and(|rollback| stage.is_rollback_in_progress(rollback));
        if let (Some(rollback), Some(bad)) = (&overview.commands.rollback, before)
            && rollback.from == bad
            && stage.current_release() != Some(&bad)
        {
            plan.outcomes
                .push(rolled_back_outcome(overview, &stage, &bad, now));
        }
        let removed = stage.targets_to_remove();
        plan.removed_targets.extend(
            removed
                .into_iter()
                .map(|stage_target| (name.clone(), stage_target)),
        );
        let runs = stage.runs_to_assign(overview.paused);
        let mut report = stage.report(overview, now);
        // Once every Target has its run, the Targets record the decision.
        report.decided = report.decided.filter(|_| !runs.is_empty());
        plan.stages.push(report);
        let runs = runs.into_iter();
        plan.runs
            .extend(runs.map(|(stage_target, run)| (name.clone(), stage_target, run)));
        views.push(stage);
    }
    plan.removed_targets
        .extend(targets_of_removed_stages(overview, &views));
    plan.answers = answers::answers(&overview.commands, &views);
    let live = |stage: &StageStatus| {
        stage
            .live_revision
            .map(|revision| format!("{}=r{revision}", stage.name))
    };
    plan.live = plan
        .stages
        .iter()
        .filter_map(live)
        .collect::<Vec<_>>()
        .join(" ");
    plan.availability = availability(&views, &plan.live);
    plan.undelivered = undelivered(overview, &views);
    plan.drift = drift::report(overview, &views);
    plan.correction_at = views.iter().filter_map(|view| view.correction_at).min();
    let gates = views.iter().filter_map(|view| view.at_gate.as_ref());
    plan.gate_opens_at = gates.filter_map(|at| at.until).min();
    plan.outcome = outcome::of(overview, &views, &plan, now);
    plan
}

/// The Targets of stages that were removed from the Deployment, once every remaining stage serves a Release
/// without the removed stage.
fn targets_of_removed_stages(
    overview: &Overview,
    views: &[StageView<'_>],
) -> Vec<(String, StageTarget)> {
    let serves_without = |view: &StageView<'_>, stage: &str| {
        let serving = view.serving().map(|serving| &serving.uid);
        let mut releases = overview.releases.iter();
        let release = releases.find(|release| Some(&release.reference.uid) == serving);
        release.is_some_and(|release| release.stages.iter().all(|one| one.name != stage))
    };
    let removed = overview.targets.iter().filter(|target| {
        !overview.stages.contains(&target.stage)
            && views.iter().all(|view| serves_without(view, &target.stage))
    });
    removed
        .map(|target| (target.stage.clone(), target.stage_target.clone()))
        .collect()
}

fn availability(views: &[StageView<'_>], live: &str) -> Availability {
    let broken = views
        .iter()
        .find(|view| view.state == State::RollbackFailed);
    let empty = || views.iter().filter(|view| !view.has_live_release());
    let failed = empty().any(|view| view.state.has_failed());
    let is_available = broken.is_none() && !failed && empty().count() < views.len();
    let mut parts: Vec<String> = Vec::new();
    parts.extend((!live.is_empty()).then(|| live.to_owned()));
    parts.extend(broken.map(|view| format!("{} could not be restored", view.name)));
    let names: Vec<&str> = empty().map(|view| view.name).collect();
    parts.extend((!names.is_empty()).then(|| format!("no Release serves in {}", names.join(", "))));
    Availability {
        is_available,
        message: parts.join("; "),
    }
}

/// Why the wanted Release, the newest or the pinned one, does not serve in every stage yet.
fn undelivered(overview: &Overview, views: &[StageView<'_>]) -> Option<String> {
    let wanted = match &overview.pin {
        Some(pin) => {
            let mut releases = overview.releases.iter();
            releases.find(|release| release.reference.name == *pin)
        }
        None => overview.newest(),
    };
    let Some(wanted) = wanted else {
        return Some("No Release to deliver".to_owned());
    };
    let missing = views
        .iter()
        .filter(|view| view.serving() != Some(&wanted.reference));
    let missing: Vec<&str> = missing.map(|view| view.name).collect();
    let name = &wanted.reference.name;
    if !missing.is_empty() {
        return Some(format!("{name} does not serve in {}", missing.join(", ")));
    }
    let no_release = "The current spec has no Release yet";
    (overview.spec_release == SpecRelease::Missing).then(|| no_release.to_owned())
}

/// The revisions that a stage waits for, gets next, or would roll back to. They are kept regardless of the
/// history limit.
pub fn needed(overview: &Overview) -> BTreeSet<i64> {
    let mut needed = BTreeSet::new();
    for name in &overview.stages {
        let view = StageView::of(overview, name);
        let next = view.candidate(overview, &[]);
        needed.extend(next.map(|release| release.reference.revision));
        if let Some(given) = view.current_release() {
            let rollback = RollbackStatus {
                from: given.clone(),
                to: None,
            };
            let last_good = rollback.to(overview, name);
            needed.extend(last_good.map(|release| release.reference.revision));
            needed.insert(given.revision);
        }
    }
    for stage in &overview.reported {
        needed.extend(stage.waiting.iter().map(|at| at.release.revision));
        needed.extend(stage.passage.iter().map(|at| at.release.revision));
        needed.extend(stage.decided.iter().map(|at| at.release.revision));
    }
    let named = [
        overview.pin.as_ref(),
        overview
            .commands
            .rollback
            .as_ref()
            .and_then(|rollback| rollback.to.as_ref()),
    ];
    for release in &overview.releases {
        if named.contains(&Some(&release.reference.name)) {
            needed.insert(release.reference.revision);
        }
    }
    for target in &overview.targets {
        needed.extend(
            target
                .assigned_run
                .iter()
                .map(|assigned| assigned.release.revision),
        );
        needed.extend(target.live.iter().map(|live| live.revision));
        needed.extend(target.plan.iter().map(|(release, _)| release.revision));
        if let Some(run) = &target.run {
            needed.insert(run.release.revision);
            let before = run.snapshot.as_ref().and_then(|it| it.release.as_ref());
            needed.extend(before.map(|before| before.revision));
        }
    }
    needed
}

/// The outcome of a Release that served in a stage and was rolled back by command.
fn rolled_back_outcome(
    overview: &Overview,
    stage: &StageView<'_>,
    bad: &ReleaseRef,
    now: Timestamp,
) -> (ReleaseRef, StageOutcome) {
    let outcomes = overview
        .releases
        .iter()
        .filter(|release| release.reference.uid == bad.uid)
        .flat_map(|release| &release.outcomes);
    let attempt = outcomes
        .filter(|outcome| outcome.stage == stage.name)
        .map(|outcome| outcome.attempt)
        .max();
    let to = stage.current_release().map_or(0, |to| to.revision);
    let outcome = StageOutcome {
        stage: stage.name.to_owned(),
        outcome: State::RolledBack.as_str().to_owned(),
        served: true,
        attempt: attempt.unwrap_or(1),
        message: Some(format!(
            "it was rolled back to r{to} by {}",
            annotation::ROLLBACK
        )),
        finished_at: Time(now),
    };
    (bad.clone(), outcome)
}
