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

mod command;
mod drift;
mod gate;
mod outcome;
mod preflight;
mod stage;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::stage::{StageView, State};
pub use self::{
    command::{Back, Commands},
    drift::{DriftReport, DriftView},
    gate::{Answer, Ask, Gatekeeper, NoGates, stage_digest},
    preflight::Preflights,
    stage::FOLLOWED,
};
use super::outcome::Outcome;
use crate::api::v1alpha1::{
    ReleaseRef, Run, RunStatus, Stage, StageOutcome, StageStatus, StageTarget, Superseding,
    annotation,
};

/// Everything on record.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The names of the stages as the Deployment has them now, in order.
    pub stages: Vec<String>,
    /// The Releases that exist.
    pub releases: Vec<ReleaseView>,
    /// The Targets that exist.
    pub targets: Vec<TargetView>,
    /// The stages as last reported, for the times in them.
    pub reported: Vec<StageStatus>,
    /// Start nothing new.
    pub suspended: bool,
    /// Take no further step forward.
    pub paused: bool,
    /// What happens to a Release that waits at a gate when a newer one has come as far.
    pub superseding: Superseding,
    /// The name of the only Release that may be given to a stage.
    pub pin: Option<String>,
    /// Whether what somebody changed in AWS is put right.
    pub correct: bool,
    /// What was asked for.
    pub commands: Commands,
    /// What is wrong with Releases that no stage has yet.
    pub preflights: Preflights,
}

/// A Release.
#[derive(Clone, Debug)]
pub struct ReleaseView {
    /// Which.
    pub reference: ReleaseRef,
    /// The stages of its template.
    pub stages: Vec<Stage>,
    /// What became of it.
    pub outcomes: Vec<StageOutcome>,
}

/// A Target.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Its stage.
    pub stage: String,
    /// Its account and region.
    pub place: StageTarget,
    /// Its order.
    pub order: Option<Run>,
    /// How far the last order is carried out.
    pub run: Option<RunStatus>,
    /// What serves.
    pub live: Option<ReleaseRef>,
    /// Why it can't go on, where it says so.
    pub stalled: Option<(String, String)>,
    /// What it is doing.
    pub summary: Option<String>,
    /// The Release of which it said what it would change, and the digest of that.
    pub plan: Option<(ReleaseRef, String)>,
    /// Whether it has something that its Release no longer has.
    pub dropped: bool,
    /// Whether AWS still is as it left it, where somebody looked.
    pub drift: Option<DriftView>,
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Outcomes to add to Releases, before any order is given.
    pub outcomes: Vec<(ReleaseRef, StageOutcome)>,
    /// Orders to Targets, which may not exist yet.
    pub orders: Vec<(String, StageTarget, Run)>,
    /// Whether a gate was passed: that has to be on record before the orders are given.
    pub passed: bool,
    /// Whether the rollback by command is still under way.
    pub taking_back: bool,
    /// Plans that Targets, which may not exist yet, are asked for.
    pub plans: Vec<(String, StageTarget, ReleaseRef)>,
    /// Targets that no Release names any more.
    pub leavers: Vec<(String, StageTarget)>,
    /// Each stage's state.
    pub stages: Vec<StageStatus>,
    /// How the delivery stands.
    pub outcome: Outcome,
    /// Whether a good Release serves.
    pub available: bool,
    /// `dev=r3 prod=r2`.
    pub live: String,
    /// Whether AWS still is as it was left, where somebody looked.
    pub drift: Option<DriftReport>,
    /// When there is something to correct, at the latest.
    pub correction_at: Option<Timestamp>,
}

/// What to write next.
pub fn plan(overview: &Overview, gates: &dyn Gatekeeper, now: Timestamp) -> Plan {
    let mut plan = Plan {
        outcomes: Vec::new(),
        orders: Vec::new(),
        passed: false,
        taking_back: false,
        plans: Vec::new(),
        leavers: Vec::new(),
        stages: Vec::new(),
        outcome: Outcome::Done {
            reason: "Idle",
            message: String::new(),
        },
        available: false,
        live: String::new(),
        drift: None,
        correction_at: None,
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
            plan.plans
                .extend(wanted.map(|place| (name.clone(), place.clone(), at.release.clone())));
        }
        plan.passed |= stage.passage.is_some();
        let back = overview.commands.rollback.as_ref();
        plan.taking_back |= back.is_some_and(|back| stage.is_taking_back(back));
        if let (Some(back), Some(bad)) = (&overview.commands.rollback, before)
            && back.from == bad
            && stage.given() != Some(&bad)
        {
            plan.outcomes.push(taken_back(overview, &stage, &bad, now));
        }
        let leavers = stage.leavers();
        plan.leavers
            .extend(leavers.into_iter().map(|place| (name.clone(), place)));
        plan.orders.extend(
            stage
                .orders(overview.paused)
                .into_iter()
                .map(|(place, run)| (name.clone(), place, run)),
        );
        plan.stages.push(stage.report(overview, now));
        views.push(stage);
    }
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
    let broken = plan
        .stages
        .iter()
        .any(|stage| stage.state == State::RollbackFailed.as_str());
    plan.available = !broken
        && plan
            .stages
            .iter()
            .any(|stage| stage.live_revision.is_some());
    plan.drift = drift::report(overview, &views);
    plan.correction_at = views.iter().filter_map(|view| view.correction_at).min();
    plan.outcome = outcome::of(overview, &views, &plan.stages);
    plan
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
            "it was taken back to r{to} by {}",
            annotation::ROLLBACK
        )),
        finished_at: Time(now),
    };
    (bad.clone(), outcome)
}
