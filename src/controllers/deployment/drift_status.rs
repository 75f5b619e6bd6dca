//! Drift of a Deployment: how its Targets check for it, its condition, and its Events.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource as _, ResourceExt as _};

use super::{controller::DeploymentController, family::Family};
use crate::{
    api::v1alpha1::{
        Deployment, DeploymentStatus, DriftPolicy, TargetDrift, TargetStatus, annotation, condition,
    },
    controllers::events::EventType,
    domain::{
        outcome::{self, Stamp, shorten},
        promotion::{DriftView, Plan},
        reason::Reason,
    },
};

/// The drift settings of the Targets.
pub fn target_drift(deployment: &Deployment) -> TargetDrift {
    let drift = &deployment.spec.drift;
    let asked = deployment.annotations().get(annotation::RECONCILE);
    let checks = drift.policy != DriftPolicy::Ignore;
    TargetDrift {
        interval: drift.interval.clone(),
        policy: drift.policy,
        request: asked.filter(|_| checks).map(|value| shorten(value, 255)),
    }
}

/// The result of the last drift check of a Target.
pub fn view(status: &TargetStatus) -> Option<DriftView> {
    let drifted = outcome::find(&status.conditions, condition::DRIFTED)?;
    let found = status.drift.as_ref().filter(|_| drifted.status == "True");
    let correctable = found.filter(|found| found.obstacle.is_none());
    Some(DriftView {
        status: drifted.status.clone(),
        reason: reason_of(drifted),
        message: drifted.message.clone(),
        correctable_since: correctable.and_then(|found| found.since.as_ref().map(|at| at.0)),
    })
}

/// The reason that the Target gives, or the default one for the status if another version of Sluice wrote a
/// reason that this one does not know.
fn reason_of(drifted: &Condition) -> Reason {
    let default = match drifted.status.as_str() {
        "True" => Reason::Drifted,
        "False" => Reason::InSync,
        _ => Reason::OutcomeUnknown,
    };
    Reason::parse(&drifted.reason).unwrap_or(default)
}

/// Sets the Drifted condition from what the Targets found.
pub fn write_condition(status: &mut DeploymentStatus, deployment: &Deployment, plan: &Plan) {
    let Some(report) = &plan.drift else {
        status
            .conditions
            .retain(|one| one.type_ != condition::DRIFTED);
        return;
    };
    let stamp = Stamp {
        reason: report.reason,
        message: &report.message,
        generation: deployment.metadata.generation,
        now: Timestamp::now(),
    };
    outcome::set(
        &mut status.conditions,
        condition::DRIFTED,
        report.status,
        &stamp,
    );
}

impl DeploymentController {
    /// Publishes an Event when drift begins or ends.
    pub(super) fn announce_drift(
        &self,
        deployment: &Deployment,
        before: &DeploymentStatus,
        after: &DeploymentStatus,
    ) {
        let of = |status: &DeploymentStatus| {
            let drifted = outcome::find(&status.conditions, condition::DRIFTED)?;
            Some((drifted.status.clone(), drifted.message.clone()))
        };
        let (then, now) = (of(before), of(after));
        let status = |it: &Option<(String, String)>| it.as_ref().map(|(status, _)| status.clone());
        if status(&then) == status(&now) {
            return;
        }
        let (kind, reason, message) = match (then, now) {
            (_, Some((status, message))) if status == "True" => {
                (EventType::Warning, Reason::Drifted, message)
            }
            (Some(_), Some((status, message))) if status == "False" => {
                (EventType::Normal, Reason::InSync, message)
            }
            _ => return,
        };
        let about = deployment.object_ref(&());
        self.context.events.publish(about, kind, reason, &message);
    }

    /// Publishes one Event per stage before drift is corrected.
    pub(super) fn announce_corrections(
        &self,
        deployment: &Deployment,
        family: &Family,
        plan: &Plan,
    ) {
        let mut announced = BTreeSet::new();
        for (stage, _, run) in &plan.runs {
            let is_assigned = family.targets.iter().any(|target| {
                let current = target.spec.run.as_ref();
                target.spec.stage == *stage
                    && current.is_some_and(|current| current.sequence == run.sequence)
            });
            if run.correction == 0 || is_assigned || !announced.insert(stage) {
                continue;
            }
            let message = format!(
                "{stage}: delivering {} again, because the live state was modified externally",
                run.release.name
            );
            let about = deployment.object_ref(&());
            let events = &self.context.events;
            events.publish(about, EventType::Normal, Reason::Correcting, &message);
        }
    }
}
