//! One-time commands: annotations with a token as value, each token handled once.
//!
//! # Guarantees
//! - The decision of a command is recorded together with its token before a run is assigned: a crash neither
//!   loses nor repeats the command, and a failure elsewhere does not block it.
//! - Each command is answered: with what it does, or why it does nothing.

use kube::ResourceExt as _;

use super::{
    announce::NewEvent, controller::DeploymentController, failure::Failure, status::status,
};
use crate::{
    api::v1alpha1::{Deployment, DeploymentStatus, annotation},
    controllers::events::EventType,
    domain::{
        outcome::{Outcome, shorten},
        promotion::{Command, Commands, Plan},
        reason::Reason,
    },
};

/// The maximum number of unknown annotations in the status.
const MAX_UNKNOWN: usize = 16;

/// The commands that are not handled yet, and the rollback under way. `retry` says whether to retry a failed
/// Release.
pub fn pending(deployment: &Deployment, retry: bool) -> Commands {
    let status = deployment.status.clone().unwrap_or_default();
    Commands {
        retry,
        abort: is_new(
            deployment,
            annotation::ABORT,
            status.last_handled_abort.as_ref(),
        ),
        promote: is_new(
            deployment,
            annotation::PROMOTE,
            status.last_handled_promote.as_ref(),
        ),
        rollback: status.rollback,
    }
}

/// Whether the Deployment is paused.
pub fn paused(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let pause = status.last_handled_pause.as_ref();
    let resume = status.last_handled_resume.as_ref();
    // If both are new, their order is unknown, and to stay paused is safe.
    is_new(deployment, annotation::PAUSE, pause)
        || (status.paused && !is_new(deployment, annotation::RESUME, resume))
}

/// Records the tokens of the handled commands.
fn note_handled(deployment: &Deployment, status: &mut DeploymentStatus) {
    let value = |name: &str| deployment.annotations().get(name).cloned();
    status.paused = paused(deployment);
    status.last_handled_retry = value(annotation::RETRY);
    status.last_handled_reconcile = value(annotation::RECONCILE);
    status.last_handled_abort = value(annotation::ABORT);
    status.last_handled_promote = value(annotation::PROMOTE);
    status.last_handled_pause = value(annotation::PAUSE);
    status.last_handled_resume = value(annotation::RESUME);
    status.unknown_annotations = unknown(deployment);
}

/// Clears the recorded decisions: every Target has its run, which is the record now.
pub fn clear_decisions(plan: &Plan, status: &mut DeploymentStatus) {
    for stage in &mut status.stages {
        stage.decided = None;
    }
    status.rollback = status.rollback.take().filter(|_| plan.is_rolling_back);
}

/// The annotations with the prefix of Sluice that it does not know.
fn unknown(deployment: &Deployment) -> Vec<String> {
    let names = deployment.annotations().keys();
    names
        .filter(|name| name.starts_with(annotation::PREFIX))
        .filter(|name| !annotation::KNOWN.contains(&name.as_str()))
        .map(|name| shorten(name, 317))
        .take(MAX_UNKNOWN)
        .collect()
}

/// The Events that answer new commands. `retried` says whether a retry was for artifacts.
fn answers(deployment: &Deployment, plan: &Plan, retried: bool) -> Vec<NewEvent> {
    let status = deployment.status.clone().unwrap_or_default();
    let mut events = Vec::new();
    let new = |name: &str, handled: &Option<String>| is_new(deployment, name, handled.as_ref());
    for answer in &plan.answers {
        let (reason, handled) = match answer.command {
            Command::Retry => (Reason::Retry, &status.last_handled_retry),
            Command::Abort => (Reason::Abort, &status.last_handled_abort),
            Command::Promote => (Reason::Promote, &status.last_handled_promote),
        };
        // An earlier status write has answered it.
        if !new(answer.command.annotation(), handled) {
            continue;
        }
        let kind = if answer.idle {
            EventType::Warning
        } else {
            EventType::Normal
        };
        let message = format!("{}: {}", answer.command.annotation(), answer.message);
        events.push((kind, reason, message));
    }
    if retried && new(annotation::RETRY, &status.last_handled_retry) {
        let message = format!("{}: Sluice fetches the artifacts again", annotation::RETRY);
        events.push((EventType::Normal, Reason::Retry, message));
    }
    if new(annotation::PAUSE, &status.last_handled_pause) {
        let message = format!("{}: no stage takes a further step", annotation::PAUSE);
        events.push((EventType::Normal, Reason::Pause, message));
    }
    if new(annotation::RESUME, &status.last_handled_resume) {
        let name = annotation::RESUME;
        events.push(match (status.paused, paused(deployment)) {
            (_, true) => {
                let message = format!(
                    "{name} does nothing: {} is new as well and takes precedence",
                    annotation::PAUSE
                );
                (EventType::Warning, Reason::Resume, message)
            }
            (true, false) => (
                EventType::Normal,
                Reason::Resume,
                format!("{name}: the delivery continues"),
            ),
            (false, false) => {
                let message = format!("{name} does nothing: the Deployment is not paused");
                (EventType::Warning, Reason::Resume, message)
            }
        });
    }
    let known = annotation::KNOWN.join(", ");
    let unknown = unknown(deployment).into_iter();
    events.extend(
        unknown
            .filter(|name| !status.unknown_annotations.contains(name))
            .map(|name| {
                let message = format!(
                    "{name} does nothing: the annotation is unknown. Known annotations: {known}"
                );
                (EventType::Warning, Reason::UnknownAnnotation, message)
            }),
    );
    events
}

fn is_new(deployment: &Deployment, name: &str, handled: Option<&String>) -> bool {
    let value = deployment.annotations().get(name);
    value.is_some() && value != handled
}

impl DeploymentController {
    /// Whether to retry a failed Release. A retry is for the latest failure, and the artifacts of a newer
    /// pipeline are later than any Release.
    pub(super) fn retries_release(&self, deployment: &Deployment) -> bool {
        let status = deployment.status.as_ref();
        let handled = status.and_then(|status| status.last_handled_retry.as_ref());
        is_new(deployment, annotation::RETRY, handled)
            && !self.sources.retry_was_for_artifacts(deployment)
    }

    /// Records used gate openings and handled commands before any Target is assigned a run that follows from
    /// them.
    pub(super) async fn record_decisions(
        &self,
        deployment: Deployment,
        plan: &Plan,
    ) -> Result<Deployment, Failure> {
        if !plan.has_decided() {
            return Ok(deployment);
        }
        let status = status(&deployment, plan, &plan.outcome);
        self.answer_commands(deployment, plan, status, &plan.outcome)
            .await
    }

    /// Writes the status with the commands handled, then publishes the answers.
    pub(super) async fn answer_commands(
        &self,
        deployment: Deployment,
        plan: &Plan,
        mut status: DeploymentStatus,
        outcome: &Outcome,
    ) -> Result<Deployment, Failure> {
        let retried = self.sources.retry_was_for_artifacts(&deployment);
        let events = answers(&deployment, plan, retried);
        if !events.is_empty() {
            let messages: Vec<&str> = events
                .iter()
                .map(|(.., message)| message.as_str())
                .collect();
            status.last_command = Some(shorten(&messages.join("; "), 1024));
        }
        note_handled(&deployment, &mut status);
        if deployment.status.as_ref() == Some(&status) {
            return Ok(deployment);
        }
        let written = self
            .write_status(&deployment, status, Some(outcome))
            .await?;
        self.publish_events(&written, events);
        Ok(written)
    }
}
