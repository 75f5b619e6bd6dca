//! Which Release goes where next: the order of stages over all Targets of a Deployment.
//!
//! # Expected flow
//! The shell gives everything that is on record ([`Overview`]) and gets back what to write ([`Plan`]):
//! outcomes of Releases first, then orders to Targets. Asking again with the same record gives the
//! same plan, so a crash between two writes loses nothing.
//!
//! # Guarantees
//! - A stage gets a Release only after the stage before it succeeded with the same one.
//! - A stage that moves finishes or is put back before it gets another Release.
//! - When one target of a stage fails, all others of the stage are put back.
//! - A Release that failed in a stage is not given to it again, unless a retry is asked for.
//! - A stage does not get a Release with which something is wrong there or in a later stage.

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
    command::{Back, Command, Commands},
    decisive::decisive,
    drift::DriftReport,
    gate::{Answer, Ask, Asks, Entry, Evaluated, Gatekeeper, Judged, Unread, stage_digest},
    overview::{DriftView, Overview, Preflights, ReleaseView, TargetView},
    plan::{Availability, Plan},
    rename::{Renamed, renamed},
    stage::FOLLOWED,
};
use self::{stage::StageView, state::State};
use super::outcome::Outcome;
use crate::{
    api::v1alpha1::{ReleaseRef, StageOutcome, StageStatus, StageTarget, annotation},
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
            plan.plan_requests
                .extend(wanted.map(|place| (name.clone(), place.clone(), at.release.clone())));
        }
        plan.passes_gate |= stage.passage.is_some();
        plan.unread.extend(std::mem::take(&mut stage.unread));
        for judged in std::mem::take(&mut stage.judged) {
            // The judgement of the stage that the Approval names is the one that its author reads.
            if judged.names_stage || !plan.judgements.contains_key(&judged.approval) {
                plan.judgements.insert(judged.approval, judged.judgement);
            }
        }
        let back = overview.commands.rollback.as_ref();
        plan.is_rolling_back |= back.is_some_and(|back| stage.is_taking_back(back));
        if let (Some(back), Some(bad)) = (&overview.commands.rollback, before)
            && back.from == bad
            && stage.given() != Some(&bad)
        {
            plan.outcomes.push(taken_back(overview, &stage, &bad, now));
        }
        let leavers = stage.leavers();
        plan.removed_targets
            .extend(leavers.into_iter().map(|place| (name.clone(), place)));
        let orders = stage.orders(overview.paused);
        let mut report = stage.report(overview, now);
        // Once every Target has its order, that is the record.
        report.decided = report.decided.filter(|_| !orders.is_empty());
        plan.stages.push(report);
        let orders = orders.into_iter();
        plan.runs
            .extend(orders.map(|(place, run)| (name.clone(), place, run)));
        views.push(stage);
    }
    plan.removed_targets.extend(strays(overview, &views));
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

/// The Targets of stages that the Deployment no longer has, once a Release without the stage serves in every
/// stage that there is.
fn strays(overview: &Overview, views: &[StageView<'_>]) -> Vec<(String, StageTarget)> {
    let serves_without = |view: &StageView<'_>, stage: &str| {
        let serving = view.serving().map(|serving| &serving.uid);
        let mut releases = overview.releases.iter();
        let release = releases.find(|release| Some(&release.reference.uid) == serving);
        release.is_some_and(|release| release.stages.iter().all(|one| one.name != stage))
    };
    let strays = overview.targets.iter().filter(|target| {
        !overview.stages.contains(&target.stage)
            && views.iter().all(|view| serves_without(view, &target.stage))
    });
    strays
        .map(|target| (target.stage.clone(), target.place.clone()))
        .collect()
}

fn availability(views: &[StageView<'_>], live: &str) -> Availability {
    let broken = views
        .iter()
        .find(|view| view.state == State::RollbackFailed);
    let empty = || views.iter().filter(|view| !view.serves_something());
    let failed = empty().any(|view| view.state.has_failed());
    let is_available = broken.is_none() && !failed && empty().count() < views.len();
    let mut words: Vec<String> = Vec::new();
    words.extend((!live.is_empty()).then(|| live.to_owned()));
    words.extend(broken.map(|view| format!("{} could not be restored", view.name)));
    let names: Vec<&str> = empty().map(|view| view.name).collect();
    words.extend((!names.is_empty()).then(|| format!("nothing serves in {}", names.join(", "))));
    Availability {
        is_available,
        message: words.join("; "),
    }
}

/// What keeps the Release that is wanted, the newest or the one that is pinned, from serving everywhere.
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
    let no_release = "What the spec asks for now has no Release yet";
    (!overview.is_spec_released).then(|| no_release.to_owned())
}

/// The revisions that a stage waits for, will be given next, or would roll back to: they are kept whatever
/// the history limit says.
pub fn needed(overview: &Overview) -> BTreeSet<i64> {
    let mut needed = BTreeSet::new();
    for name in &overview.stages {
        let view = StageView::of(overview, name);
        let next = view.candidate(overview, &[]);
        needed.extend(next.map(|release| release.reference.revision));
        if let Some(given) = view.given() {
            let back = Back {
                from: given.clone(),
                to: None,
            };
            let good = back.to(overview, name);
            needed.extend(good.map(|release| release.reference.revision));
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
            .and_then(|back| back.to.as_ref()),
    ];
    for release in &overview.releases {
        if named.contains(&Some(&release.reference.name)) {
            needed.insert(release.reference.revision);
        }
    }
    for target in &overview.targets {
        needed.extend(target.order.iter().map(|order| order.release.revision));
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

/// What becomes of a Release that served in a stage and is taken back by command.
fn taken_back(
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
    let to = stage.given().map_or(0, |to| to.revision);
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
