//! Deletion of a Deployment: first its Targets, then itself.

use std::time::Duration;

use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{controller::DeploymentController, failure::Failure, family::Family, status::ending};
use crate::{
    api::v1alpha1::{Deployment, Target, annotation, condition, finalizer},
    controllers::target,
    domain::{
        outcome::{self, Outcome},
        reason::Reason,
    },
};

/// The finalizer that `kubectl delete --cascade=orphan` sets.
const ORPHAN: &str = "orphan";

impl DeploymentController {
    /// Deletes the Targets, waits until they are gone, then removes the finalizer.
    pub(super) async fn remove(&self, deployment: &Deployment) -> Outcome {
        if !deployment
            .finalizers()
            .iter()
            .any(|name| name == finalizer::DEPLOYMENT)
        {
            self.sources.forget(deployment);
            self.readings.forget(deployment);
            self.context.stores.deployments.forget(deployment);
            return gone();
        }
        match self.remove_targets(deployment).await {
            Ok(outcome) => outcome,
            Err(Failure::Api(kube::Error::Api(error))) if error.is_not_found() => gone(),
            Err(failure) => failure.into(),
        }
    }

    async fn remove_targets(&self, deployment: &Deployment) -> Result<Outcome, Failure> {
        let family = self.family(deployment);
        // With `--cascade=orphan`, the Targets and their resources in AWS stay as they are.
        let orphaned = deployment.finalizers().iter().any(|name| name == ORPHAN);
        if orphaned || family.targets.is_empty() {
            let others: Vec<_> = deployment
                .finalizers()
                .iter()
                .filter(|name| *name != finalizer::DEPLOYMENT)
                .collect();
            self.patch_metadata(deployment, json!({"finalizers": others}))
                .await?;
            self.sources.forget(deployment);
            self.readings.forget(deployment);
            self.context.stores.deployments.forget(deployment);
            return Ok(gone());
        }
        self.sync_target_settings(deployment, &family).await?;
        self.pass_on_commands(deployment, &family).await?;
        for target in family
            .targets
            .iter()
            .filter(|target| target.metadata.deletion_timestamp.is_none())
        {
            self.delete_target(deployment, target).await?;
        }
        let outcome = waiting(&family);
        self.publish(deployment, ending(deployment, &outcome), &outcome)
            .await?;
        Ok(outcome)
    }

    /// Passes commands on the Deployment to its Targets.
    async fn pass_on_commands(
        &self,
        deployment: &Deployment,
        family: &Family,
    ) -> Result<(), Failure> {
        let api = self.api::<Target>(deployment);
        for command in [annotation::ABANDON, annotation::RECONCILE] {
            let Some(value) = deployment.annotations().get(command) else {
                continue;
            };
            let patch = Patch::Merge(json!({"metadata": {"annotations": {(command): value}}}));
            for target in &family.targets {
                if target.annotations().get(command) == Some(value) {
                    continue;
                }
                let patched = api
                    .patch(&target.name_any(), &PatchParams::default(), &patch)
                    .await?;
                self.context.stores.targets.note(patched);
            }
        }
        Ok(())
    }
}

fn gone() -> Outcome {
    Outcome::Done {
        reason: Reason::Removed,
        message: "The Deployment is deleted".to_owned(),
    }
}

/// Turns `Done` into `Paused` while a Target that left the spec waits for its deletion to be allowed.
pub fn with_deletions(outcome: Outcome, family: &Family) -> Outcome {
    let Outcome::Done { reason, message } = outcome else {
        return outcome;
    };
    let waits = family.targets.iter().find_map(|it| target::waits_for(it));
    match waits {
        Some(why) => Outcome::Paused {
            reason: Reason::DeletionWaits,
            message: format!("{message}; {why}"),
        },
        None => Outcome::Done { reason, message },
    }
}

/// The outcome while the deletion waits for Targets.
fn waiting(family: &Family) -> Outcome {
    let stalled = family.targets.iter().find_map(|target| {
        let conditions = &target.status.as_ref()?.conditions;
        let stalled = outcome::find(conditions, condition::STALLED)
            .filter(|stalled| stalled.status == "True")?;
        target.metadata.deletion_timestamp.as_ref()?;
        (stalled.observed_generation == target.metadata.generation)
            .then(|| (target.name_any(), stalled.message.clone()))
    });
    match stalled {
        Some((name, message)) => {
            Outcome::stalled(Reason::DeletionStalled, format!("Target {name}: {message}"))
        }
        None => Outcome::Waiting {
            reason: Reason::Deleting,
            message: format!(
                "Waiting for the deletion of {} Targets",
                family.targets.len()
            ),
            after: Duration::from_secs(30),
        },
    }
}
