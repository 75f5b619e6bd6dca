//! The outcome of a delivery as a whole, taken from the stage that most needs attention.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    overview::Overview,
    plan::Plan,
    preflight,
    stage::StageView,
    state::{State, failure_reason},
};
use crate::{
    api::v1alpha1::{StageStatus, annotation},
    domain::{names, outcome::Outcome, reason::Reason},
};

/// The interval of rechecks. Events trigger most reconciles; this covers missed ones.
const RECHECK_INTERVAL: Duration = Duration::from_mins(1);

/// The shortest interval between reports of a stage's progress, which do not trigger a reconcile themselves.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The stage states that determine the outcome of the whole, most urgent first.
const URGENT: [State; 6] = [
    State::RollbackFailed,
    State::RollingBack,
    State::Held,
    State::Progressing,
    State::RolledBack,
    State::Failed,
];

/// The outcome of the delivery; `plan` is complete except for the outcome.
pub fn of(overview: &Overview, views: &[StageView<'_>], plan: &Plan, now: Timestamp) -> Outcome {
    let urgent = URGENT.iter().find_map(|state| {
        let mut stages = views.iter().zip(&plan.stages);
        stages.find(|(view, _)| view.state == *state && !has_to_pass_again(view))
    });
    // A failed preflight of the next Release matters more than the last failure.
    let ended = |state| matches!(state, State::RolledBack | State::Failed);
    let is_settled = urgent.is_none_or(|(view, _)| ended(view.state));
    if !overview.suspended
        && is_settled
        && let Some(stalled) = preflight::stalled(overview, views)
    {
        return stalled;
    }
    match urgent {
        Some((view, report)) => of_stage(overview, view, report, now),
        None => settled(overview, views, plan),
    }
}

/// Whether an assigned run that has not begun has to pass the gate again. Then the gate determines the
/// outcome.
fn has_to_pass_again(view: &StageView<'_>) -> bool {
    view.state == State::Progressing && view.at_gate.is_some()
}

fn of_stage(
    overview: &Overview,
    view: &StageView<'_>,
    report: &StageStatus,
    now: Timestamp,
) -> Outcome {
    let revision = report.revision.unwrap_or_default();
    let serving = match report.live_revision {
        Some(revision) => format!("r{revision} serves"),
        None => "no Release serves".to_owned(),
    };
    let why = view.message.as_deref().unwrap_or("see its Targets");
    let line = |what: &str| format!("{}: r{revision} {what}: {why}", view.name);
    // The longer a stage takes, the less often its progress is reported.
    let taken = report.since.as_ref().map(|since| now - since.0);
    let taken = taken.and_then(|taken| Duration::try_from(taken).ok());
    let moving = |reason, message| Outcome::Waiting {
        reason,
        message,
        after: taken
            .unwrap_or_default()
            .clamp(REPORT_INTERVAL, RECHECK_INTERVAL),
    };
    match view.state {
        State::RollbackFailed => {
            Outcome::stalled(Reason::RollbackFailed, line("could not be rolled back"))
        }
        State::RollingBack => match view.stalled_restore() {
            Some((_, message)) => {
                Outcome::stalled(Reason::TargetStalled, format!("{}: {message}", view.name))
            }
            None => moving(Reason::RollingBack, line("is being rolled back")),
        },
        State::Held => {
            let (promote, abort) = (annotation::PROMOTE, annotation::ABORT);
            let what = format!(
                "is held; set {promote} to continue, or {abort} to restore the former state"
            );
            Outcome::stalled(Reason::Held, line(&what))
        }
        State::RolledBack => Outcome::stalled(
            Reason::RolledBack,
            line(&format!("was rolled back, {serving}")),
        ),
        State::Failed => Outcome::stalled(
            Reason::DeliveryFailed,
            line(&format!("was not delivered, {serving}")),
        ),
        _ if overview.paused => {
            let (resume, abort) = (annotation::RESUME, annotation::ABORT);
            moving(
                Reason::Paused,
                format!(
                    "{}: r{revision} is paused; set {resume} to continue, or {abort} to restore the former state",
                    view.name
                ),
            )
        }
        _ => match view.stalled() {
            Some((_, message)) => {
                let newer_revision = newer_revision(view, revision);
                let message = format!("{}: {message}{newer_revision}", view.name);
                Outcome::stalled(Reason::TargetStalled, message)
            }
            None => moving(Reason::Progressing, progressing(view, revision)),
        },
    }
}

fn progressing(view: &StageView<'_>, revision: i64) -> String {
    let what = match &view.message {
        Some(message) => format!("{}: delivering r{revision}: {message}", view.name),
        None => format!("{}: delivering r{revision}", view.name),
    };
    format!("{what}{}", newer_revision(view, revision))
}

/// Which newer Release waits for the stage to finish, and how to end the wait.
fn newer_revision(view: &StageView<'_>, revision: i64) -> String {
    view.newer_revision.map_or(String::new(), |newer| {
        let abort = annotation::ABORT;
        format!(
            "; r{newer} comes after it: set {abort} to restore the state before r{revision} now"
        )
    })
}

/// The outcome when no stage is in progress or failed last.
fn settled(overview: &Overview, views: &[StageView<'_>], plan: &Plan) -> Outcome {
    if overview.suspended {
        return Outcome::Paused {
            reason: Reason::Suspended,
            message: "Suspended: set spec.suspend to false to continue".to_owned(),
        };
    }
    if let Some((view, (_, _, why))) = views
        .iter()
        .find_map(|view| Some((view, view.rejected.as_ref()?)))
    {
        return Outcome::stalled(Reason::Rejected, format!("{}: {why}", view.name));
    }
    let at_gates = || {
        let views = views.iter();
        views.filter_map(|view| Some((view, view.at_gate.as_ref()?)))
    };
    // What users have to correct comes before what they have to approve.
    let refused = at_gates().find(|(_, at)| at.refused);
    if let Some((view, at)) = refused.or_else(|| at_gates().next()) {
        let message = format!("{}: {}", view.name, at.message);
        if at.refused {
            return Outcome::stalled(at.reason, message);
        }
        return match at.digest {
            None if at.reason == Reason::TargetStalled => Outcome::stalled(at.reason, message),
            Some(_) => Outcome::Paused {
                reason: at.reason,
                message,
            },
            None => Outcome::Waiting {
                reason: at.reason,
                message,
                after: RECHECK_INTERVAL,
            },
        };
    }
    if let Some(pin) = &overview.pin {
        return pinned(overview, views, pin);
    }
    let Some(newest) = overview.newest() else {
        return Outcome::done(Reason::Idle, "No Release exists yet");
    };
    let revision = newest.reference.revision;
    // The latest attempt in a stage counts, including the outcomes that this plan adds.
    let ended = |view: &StageView<'_>| {
        let fresh = plan.outcomes.iter();
        let fresh = fresh.filter(|(release, _)| release.uid == newest.reference.uid);
        let known = newest.outcomes.iter();
        known
            .chain(fresh.map(|(_, outcome)| outcome))
            .filter(|outcome| outcome.stage == view.name)
            .max_by_key(|outcome| outcome.attempt)
            .filter(|outcome| outcome.outcome != State::Succeeded.as_str())
            .cloned()
    };
    match views.iter().find_map(ended) {
        // Rejected, rolled back by command after it had served, or superseded by a pin since.
        Some(ended) => {
            let why = ended.message.as_deref().unwrap_or("see the Release");
            let reason = failure_reason(&ended.outcome);
            let message = format!(
                "{}: r{revision}: {why}; {}",
                ended.stage, plan.availability.message
            );
            Outcome::stalled(reason, message)
        }
        None if plan.undelivered.is_none() => Outcome::done(
            Reason::Delivered,
            format!("r{revision} serves in every stage"),
        ),
        None => Outcome::done(
            Reason::Idle,
            format!("No stage is in progress: {}", plan.availability.message),
        ),
    }
}

/// The outcome when no stage is in progress and a Release is pinned.
fn pinned(overview: &Overview, views: &[StageView<'_>], pin: &str) -> Outcome {
    let releases = &overview.releases;
    if !releases.iter().any(|release| release.reference.name == pin) {
        let names = releases.iter().map(|it| it.reference.name.as_str());
        let near = names::but(pin, names);
        let message = format!(
            "spec.pin: there is no Release {pin}{near}: kubectl get srel lists those that are kept"
        );
        return Outcome::stalled(Reason::NotFound, message);
    }
    let serves = |view: &&StageView<'_>| view.serving().is_some_and(|it| it.name == pin);
    match views.iter().find(|view| !serves(view)) {
        Some(view) => {
            let message = format!(
                "spec.pin: {pin} can't be delivered to {}: it failed there or in an earlier stage, or does not \
                 have that stage; pin a Release that succeeded there",
                view.name
            );
            Outcome::stalled(Reason::InvalidSpec, message)
        }
        None => Outcome::done(Reason::Pinned, format!("{pin} is pinned by spec.pin")),
    }
}
