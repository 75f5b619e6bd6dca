//! What Targets find changed in AWS: asked for, told of the Deployment as a whole, and corrected.

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
        reason::Reason,
        rollout::{DriftView, Plan},
    },
};

/// How the Targets look.
pub fn wanted(deployment: &Deployment) -> TargetDrift {
    let drift = &deployment.spec.drift;
    let asked = deployment.annotations().get(annotation::RECONCILE);
    let looks = drift.policy != DriftPolicy::Ignore;
    TargetDrift {
        interval: drift.interval.clone(),
        policy: drift.policy,
        look: asked.filter(|_| looks).map(|value| shorten(value, 255)),
    }
}

/// What a Target found when it looked last.
pub fn view(status: &TargetStatus) -> Option<DriftView> {
    let drifted = outcome::find(&status.conditions, condition::DRIFTED)?;
    let found = status.drift.as_ref().filter(|_| drifted.status == "True");
    let correctable = found.filter(|found| found.obstacle.is_none());
    Some(DriftView {
        status: drifted.status.clone(),
        reason: why(drifted),
        message: drifted.message.clone(),
        correctable_since: correctable.and_then(|found| found.since.as_ref().map(|at| at.0)),
    })
}

/// The reason that a Target gives; that of the status, where another version of Sluice gave one of its own.
fn why(drifted: &Condition) -> Reason {
    let plain = match drifted.status.as_str() {
        "True" => Reason::Drifted,
        "False" => Reason::InSync,
        _ => Reason::OutcomeUnknown,
    };
    Reason::parse(&drifted.reason).unwrap_or(plain)
}

/// Says what the Targets found.
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
    /// An Event where the Targets have begun or ended to find something.
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
        let word = |said: &Option<(String, String)>| said.as_ref().map(|(word, _)| word.clone());
        if word(&then) == word(&now) {
            return;
        }
        let (kind, reason, message) = match (then, now) {
            (_, Some((word, message))) if word == "True" => {
                (EventType::Warning, Reason::Drifted, message)
            }
            (Some(_), Some((word, message))) if word == "False" => {
                (EventType::Normal, Reason::InSync, message)
            }
            _ => return,
        };
        let about = deployment.object_ref(&());
        self.context.events.publish(about, kind, reason, &message);
    }

    /// An Event before what somebody changed is corrected.
    pub(super) fn announce_corrections(
        &self,
        deployment: &Deployment,
        family: &Family,
        plan: &Plan,
    ) {
        let mut told = BTreeSet::new();
        for (stage, _, run) in &plan.runs {
            let known = family.targets.iter().any(|target| {
                let order = target.spec.run.as_ref();
                target.spec.stage == *stage
                    && order.is_some_and(|order| order.sequence == run.sequence)
            });
            if run.correction == 0 || known || !told.insert(stage) {
                continue;
            }
            let message = format!(
                "{stage}: delivering {} again, because what serves there was modified externally",
                run.release.name
            );
            let about = deployment.object_ref(&());
            let events = &self.context.events;
            events.publish(about, EventType::Normal, Reason::Correcting, &message);
        }
    }
}
