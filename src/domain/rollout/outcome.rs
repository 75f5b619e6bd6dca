//! How a delivery stands as a whole: the stage that most needs somebody's eye speaks for it.

use std::time::Duration;

use super::{
    Overview,
    gate::{REJECTED, TARGET_STALLED},
    stage::{StageView, State},
};
use crate::{
    api::v1alpha1::{StageStatus, annotation},
    domain::outcome::Outcome,
};

/// Targets wake their Deployment; this is only for what is missed.
const WATCHED: Duration = Duration::from_mins(1);

/// The states that speak for the whole, the most urgent first.
const URGENT: [State; 6] = [
    State::RollbackFailed,
    State::RollingBack,
    State::Held,
    State::Progressing,
    State::RolledBack,
    State::Failed,
];

/// How the delivery stands.
pub fn of(overview: &Overview, views: &[StageView<'_>], reports: &[StageStatus]) -> Outcome {
    let urgent = URGENT.iter().find_map(|state| {
        let mut stages = views.iter().zip(reports);
        stages.find(|(view, _)| view.state == *state)
    });
    match urgent {
        Some((view, report)) => of_stage(overview, view, report),
        None => at_rest(overview, views),
    }
}

fn of_stage(overview: &Overview, view: &StageView<'_>, report: &StageStatus) -> Outcome {
    let revision = report.revision.unwrap_or_default();
    let serving = match report.live_revision {
        Some(revision) => format!("r{revision} serves"),
        None => "nothing serves".to_owned(),
    };
    let why = view.message.as_deref().unwrap_or("see its Targets");
    let line = |what: &str| format!("{}: r{revision} {what}: {why}", view.name);
    let moving = |reason, message| Outcome::Waiting {
        reason,
        message,
        after: WATCHED,
    };
    match view.state {
        State::RollbackFailed => {
            Outcome::stalled("RollbackFailed", line("could not be taken back"))
        }
        State::RollingBack => moving("RollingBack", line("is being taken back")),
        State::Held => {
            let (promote, abort) = (annotation::PROMOTE, annotation::ABORT);
            let what = format!("is held; set {promote} to go on, or {abort} to put it back");
            Outcome::stalled("Held", line(&what))
        }
        State::RolledBack => {
            Outcome::stalled("RolledBack", line(&format!("was taken back, {serving}")))
        }
        State::Failed => Outcome::stalled(
            "DeliveryFailed",
            line(&format!("was not delivered, {serving}")),
        ),
        _ if overview.paused => {
            let (resume, abort) = (annotation::RESUME, annotation::ABORT);
            moving(
                "Paused",
                format!(
                    "{}: r{revision} is paused; set {resume} to go on, or {abort} to put it back",
                    view.name
                ),
            )
        }
        _ => match view.stalled() {
            Some((_, message)) => {
                Outcome::stalled(TARGET_STALLED, format!("{}: {message}", view.name))
            }
            None => moving(
                "Progressing",
                format!("{}: delivering r{revision}", view.name),
            ),
        },
    }
}

/// Nothing moves and nothing failed last.
fn at_rest(overview: &Overview, views: &[StageView<'_>]) -> Outcome {
    if overview.suspended {
        return Outcome::Paused {
            reason: "Suspended",
            message: "Suspended: set spec.suspend to false to go on".to_owned(),
        };
    }
    if let Some((view, (_, _, why))) = views
        .iter()
        .find_map(|view| Some((view, view.rejected.as_ref()?)))
    {
        return Outcome::stalled(REJECTED, format!("{}: {why}", view.name));
    }
    if let Some((view, at)) = views
        .iter()
        .find_map(|view| Some((view, view.at_gate.as_ref()?)))
    {
        let message = format!("{}: {}", view.name, at.message);
        return match at.digest {
            None if at.reason == TARGET_STALLED => Outcome::stalled(at.reason, message),
            Some(_) => Outcome::Paused {
                reason: at.reason,
                message,
            },
            None => Outcome::Waiting {
                reason: at.reason,
                message,
                after: WATCHED,
            },
        };
    }
    if let Some(pin) = &overview.pin {
        return pinned(overview, views, pin);
    }
    let newest = overview
        .releases
        .iter()
        .max_by_key(|release| release.reference.revision);
    let Some(newest) = newest else {
        return Outcome::done("Idle", "Nothing was released yet");
    };
    let revision = newest.reference.revision;
    let failed = newest
        .outcomes
        .iter()
        .find(|outcome| outcome.outcome != State::Succeeded.as_str());
    match failed {
        // Taken back by hand, after it had served.
        Some(back) => {
            let why = back.message.as_deref().unwrap_or("see the Release");
            let reason = match back.outcome.as_str() {
                REJECTED => REJECTED,
                _ => "RolledBack",
            };
            Outcome::stalled(reason, format!("{}: r{revision}: {why}", back.stage))
        }
        None => Outcome::done("Delivered", format!("r{revision} serves in every stage")),
    }
}

/// Nothing moves, and nothing but that Release may.
fn pinned(overview: &Overview, views: &[StageView<'_>], pin: &str) -> Outcome {
    let releases = &overview.releases;
    if !releases.iter().any(|release| release.reference.name == pin) {
        let message = format!(
            "spec.pin: there is no Release {pin}: kubectl get srel lists those that are kept"
        );
        return Outcome::stalled("NotFound", message);
    }
    let serves = |view: &&StageView<'_>| view.serving().is_some_and(|it| it.name == pin);
    match views.iter().find(|view| !serves(view)) {
        Some(view) => {
            let message = format!(
                "spec.pin: {pin} can't be given to {}: it failed there or in a stage before, or does not \
                 have that stage; name one that was good",
                view.name
            );
            Outcome::stalled("InvalidSpec", message)
        }
        None => Outcome::done("Pinned", format!("{pin} is held by spec.pin")),
    }
}
