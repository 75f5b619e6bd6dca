//! What a former Deployment of the same name left when it was deleted with `--cascade=orphan`.
//!
//! As everywhere in Kubernetes, whoever matches and has no owner is taken up: deliveries go on where
//! they stood, and revisions count on.

use kube::{
    Resource, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde_json::json;

use super::{DeploymentController, Failure, owner_reference};
use crate::api::v1alpha1::{Deployment, Release, Target, label};

impl DeploymentController {
    /// Makes Releases and Targets that carry the Deployment's name and have no owner its own.
    pub(super) async fn take_up_orphans(&self, deployment: &Deployment) -> Result<(), Failure> {
        let (name, namespace) = (deployment.name_any(), deployment.namespace());
        let orphaned = |meta: &ObjectMeta| {
            let labelled = meta
                .labels
                .as_ref()
                .and_then(|it| it.get(label::DEPLOYMENT));
            let owned = meta
                .owner_references
                .iter()
                .flatten()
                .any(|owner| owner.controller == Some(true));
            labelled == Some(&name)
                && meta.namespace == namespace
                && meta.deletion_timestamp.is_none()
                && !owned
        };
        let stores = &self.context.stores;
        let releases = stores
            .releases
            .state_filter(|release: &Release| orphaned(&release.metadata));
        for release in self
            .releases
            .overlay(&releases, |it| orphaned(&it.metadata))
        {
            let patched = self.take_up(deployment, &*release).await?;
            self.releases.note(patched);
        }
        let targets = stores
            .targets
            .state_filter(|target: &Target| orphaned(&target.metadata));
        for target in self.targets.overlay(&targets, |it| orphaned(&it.metadata)) {
            let patched = self.take_up(deployment, &*target).await?;
            self.targets.note(patched);
        }
        Ok(())
    }

    async fn take_up<K>(&self, deployment: &Deployment, orphan: &K) -> Result<K, Failure>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let patch = json!({"metadata": {
            "resourceVersion": orphan.resource_version(),
            "ownerReferences": owner_reference(deployment).map(|owner| vec![owner]),
        }});
        let api = self.api::<K>(deployment);
        let name = orphan.name_any();
        let patched = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(patched)
    }
}
