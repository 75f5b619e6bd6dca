//! One-time commands: annotations with a token as value, each token handled once.
//!
//! # Guarantees
//! - What a rollback takes back is on record before the first order, so that a crash can't make it take
//!   back one Release more.
//! - The other commands can be followed twice without harm: they speak of what is moving, and what they
//!   started no longer is.

use kube::ResourceExt as _;

use super::{DeploymentController, Failure, Family, overview};
use crate::{
    api::v1alpha1::{Deployment, DeploymentStatus, annotation},
    controllers::events::EventType,
    domain::rollout::{Back, Commands, Plan},
};

/// The commands that were given and not handled yet, and the rollback under way. `retry` is whether a
/// failed Release is to be tried again.
pub fn given(deployment: &Deployment, retry: bool) -> Commands {
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

/// Whether no further step may be taken.
pub fn paused(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let pause = status.last_handled_pause.as_ref();
    let resume = status.last_handled_resume.as_ref();
    // Where both are new nobody knows which came last: standing still is the safer reading.
    is_new(deployment, annotation::PAUSE, pause)
        || (status.paused && !is_new(deployment, annotation::RESUME, resume))
}

/// Writes down what was handled.
pub fn note_handled(deployment: &Deployment, plan: &Plan, status: &mut DeploymentStatus) {
    let value = |name: &str| deployment.annotations().get(name).cloned();
    status.paused = paused(deployment);
    status.last_handled_retry = value(annotation::RETRY);
    status.last_handled_reconcile = value(annotation::RECONCILE);
    status.last_handled_abort = value(annotation::ABORT);
    status.last_handled_promote = value(annotation::PROMOTE);
    status.last_handled_pause = value(annotation::PAUSE);
    status.last_handled_resume = value(annotation::RESUME);
    status.rollback = status.rollback.take().filter(|_| plan.taking_back);
}

fn is_new(deployment: &Deployment, name: &str, handled: Option<&String>) -> bool {
    let value = deployment.annotations().get(name);
    value.is_some() && value != handled
}

impl DeploymentController {
    /// Whether a failed Release is to be tried again: what failed last is, and the artifacts of a
    /// newer pipeline are later than any Release.
    pub(super) fn retries_a_release(&self, deployment: &Deployment) -> bool {
        let status = deployment.status.as_ref();
        let handled = status.and_then(|status| status.last_handled_retry.as_ref());
        is_new(deployment, annotation::RETRY, handled) && !self.sources.has_taken_retry(deployment)
    }

    /// Puts on record what a new rollback takes back, or why there is nothing to take back.
    pub(super) async fn begin_rollback(
        &self,
        deployment: Deployment,
        family: &Family,
    ) -> Result<Deployment, Failure> {
        let mut status = deployment.status.clone().unwrap_or_default();
        let handled = status.last_handled_rollback.as_ref();
        let Some(value) = deployment.annotations().get(annotation::ROLLBACK) else {
            return Ok(deployment);
        };
        if handled == Some(value) {
            return Ok(deployment);
        }
        let (kind, message) = match Back::of(&overview(&deployment, family, false), value) {
            Ok(back) => {
                let to = back.to.as_deref().unwrap_or("the last good Release");
                let message = format!("Taking back {} to {to}", back.from.name);
                status.rollback = Some(back);
                (EventType::Normal, message)
            }
            Err(why) => {
                let message = format!("{}: {why}", annotation::ROLLBACK);
                (EventType::Warning, message)
            }
        };
        status.last_handled_rollback = Some(value.clone());
        status.last_command = Some(message.clone());
        let written = self.write_status(&deployment, status).await?;
        let about = kube::Resource::object_ref(&written, &());
        self.context
            .events
            .publish(about, kind, "Rollback", &message);
        Ok(written)
    }
}
