//! Builds the status of a Deployment.

use jiff::Timestamp;

use super::drift_status;
use crate::{
    api::v1alpha1::{Deployment, DeploymentStatus, condition},
    domain::{
        outcome::{self, Outcome, Stamp},
        promotion::Plan,
        reason::Reason,
    },
};

/// The present status with the outcome of the reconcile; all other fields are kept.
pub fn ending(deployment: &Deployment, outcome: &Outcome) -> DeploymentStatus {
    let generation = deployment.metadata.generation;
    let mut status = deployment.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    status.summary = Some(outcome::line(outcome.message()));
    outcome.write_conditions(&mut status.conditions, generation, Timestamp::now());
    status
}

/// The status with the outcome of the reconcile and the plan.
pub fn status(deployment: &Deployment, plan: &Plan, outcome: &Outcome) -> DeploymentStatus {
    let mut status = ending(deployment, outcome);
    status.stages.clone_from(&plan.stages);
    status.live = (!plan.live.is_empty()).then(|| plan.live.clone());
    let availability = &plan.availability;
    let (available, reason) = if availability.is_available {
        ("True", Reason::Serving)
    } else {
        ("False", Reason::NoLiveRelease)
    };
    let message = availability.message.as_str();
    let stamp = Stamp {
        reason,
        message,
        generation: deployment.metadata.generation,
        now: Timestamp::now(),
    };
    outcome::set(
        &mut status.conditions,
        condition::AVAILABLE,
        available,
        &stamp,
    );
    write_delivered(&mut status, deployment, plan, outcome);
    drift_status::write_condition(&mut status, deployment, plan);
    status
}

/// Sets the Delivered condition: whether the wanted Release serves everywhere.
fn write_delivered(
    status: &mut DeploymentStatus,
    deployment: &Deployment,
    plan: &Plan,
    outcome: &Outcome,
) {
    let (delivered, reason, message) = match &plan.undelivered {
        None => ("True", Reason::Delivered, plan.live.clone()),
        Some(missing) => ("False", outcome.reason(), missing.clone()),
    };
    let stamp = Stamp {
        reason,
        message: &message,
        generation: deployment.metadata.generation,
        now: Timestamp::now(),
    };
    outcome::set(
        &mut status.conditions,
        condition::DELIVERED,
        delivered,
        &stamp,
    );
}
