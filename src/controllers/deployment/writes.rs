//! Writes to a Deployment: its finalizer and other metadata, and its status.

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{artifacts, controller::DeploymentController, failure::Failure};
use crate::{
    api::v1alpha1::{Deployment, DeploymentStatus, finalizer},
    controllers::status::publish_status,
    domain::outcome::Outcome,
};

impl DeploymentController {
    /// Writes the status at the end of a reconcile, if it changed.
    pub(super) async fn publish(
        &self,
        deployment: &Deployment,
        status: DeploymentStatus,
        outcome: &Outcome,
    ) -> Result<(), Failure> {
        // A short transfer is over before its progress is worth a status write.
        if deployment.status.as_ref() == Some(&status) || artifacts::is_brief_transfer(outcome) {
            return Ok(());
        }
        self.write_status(deployment, status, Some(outcome)).await?;
        Ok(())
    }

    /// Writes the status and publishes Events for what is new in it, however the rest of the reconcile ends.
    /// `outcome` is what its conditions say, if they were rewritten.
    pub(super) async fn write_status(
        &self,
        deployment: &Deployment,
        status: DeploymentStatus,
        outcome: Option<&Outcome>,
    ) -> Result<Deployment, Failure> {
        let api = self.api::<Deployment>(deployment);
        let before = deployment.status.clone().unwrap_or_default();
        let version = deployment.resource_version();
        let written = publish_status(&api, deployment, version, &before, &status).await?;
        self.context.stores.deployments.note(written.clone());
        self.announce(&written, &before, outcome);
        Ok(written)
    }

    /// Adds the finalizer before anything is created that a deletion has to remove.
    pub(super) async fn add_finalizer(
        &self,
        deployment: &Deployment,
    ) -> Result<Deployment, Failure> {
        if deployment
            .finalizers()
            .iter()
            .any(|name| name == finalizer::DEPLOYMENT)
        {
            return Ok(deployment.clone());
        }
        let mut finalizers = deployment.finalizers().to_vec();
        finalizers.push(finalizer::DEPLOYMENT.to_owned());
        let held = self
            .patch_metadata(deployment, json!({"finalizers": finalizers}))
            .await?;
        Ok(held)
    }

    pub(super) async fn patch_metadata(
        &self,
        deployment: &Deployment,
        mut metadata: Value,
    ) -> Result<Deployment, Failure> {
        metadata["resourceVersion"] = deployment.resource_version().into();
        let patch = Patch::Merge(json!({"metadata": metadata}));
        let patched = self
            .api::<Deployment>(deployment)
            .patch(&deployment.name_any(), &PatchParams::default(), &patch)
            .await?;
        self.context.stores.deployments.note(patched.clone());
        Ok(patched)
    }

    pub(super) fn api<K>(&self, deployment: &Deployment) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(
            self.context.client.clone(),
            &deployment.namespace().unwrap_or_default(),
        )
    }
}
