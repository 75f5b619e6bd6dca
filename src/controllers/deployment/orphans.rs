//! Adoption of the Releases and Targets that a former Deployment of the same name left when it was deleted
//! with `--cascade=orphan`.
//!
//! As everywhere in Kubernetes, matching objects without an owner are adopted: deliveries continue where they
//! stopped, and revisions count on. Likewise, the Targets of a renamed stage continue under its new name.

use kube::{
    Resource, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde_json::json;

use super::{
    controller::DeploymentController,
    failure::Failure,
    family::{Family, owner_reference},
};
use crate::{
    api::v1alpha1::{Deployment, StageTarget, Target, label},
    domain::promotion,
};

impl DeploymentController {
    /// Adopts Releases and Targets that carry the name of the Deployment and have no owner.
    pub(super) async fn adopt_orphans(&self, deployment: &Deployment) -> Result<(), Failure> {
        let name = deployment.name_any();
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
            labelled == Some(&name) && meta.deletion_timestamp.is_none() && !owned
        };
        let Family { releases, targets } = self.named(deployment);
        let stores = &self.context.stores;
        for release in releases.iter().filter(|it| orphaned(&it.metadata)) {
            let patched = self.adopt(deployment, &**release).await?;
            stores.releases.note(patched);
        }
        for target in targets.iter().filter(|it| orphaned(&it.metadata)) {
            let patched = self.adopt(deployment, &**target).await?;
            stores.targets.note(patched);
        }
        Ok(())
    }

    /// Moves the Targets of a renamed stage to its new name.
    pub(super) async fn follow_renames(&self, deployment: &Deployment) -> Result<(), Failure> {
        let family = self.family(deployment);
        let stage_target = |target: &Target| StageTarget {
            account: target.spec.account.clone(),
            region: target.spec.region.clone(),
        };
        let targets: Vec<_> = family
            .targets
            .iter()
            .map(|target| (target.spec.stage.clone(), stage_target(target)))
            .collect();
        for renamed in promotion::renamed(&deployment.spec.stages, &targets) {
            let of = |target: &&std::sync::Arc<Target>| {
                let spec = &target.spec;
                spec.stage == renamed.from
                    && stage_target(target) == renamed.stage_target
                    && target.metadata.deletion_timestamp.is_none()
            };
            let Some(target) = family.targets.iter().find(of) else {
                continue;
            };
            // Earlier Releases know the stage by its former name.
            let run = target.spec.run.as_ref();
            let release = run.and_then(|run| {
                let mut releases = family.releases.iter();
                releases.find(|release| release.uid().as_ref() == Some(&run.release.uid))
            });
            let stages = release.iter().flat_map(|it| &it.spec.template.stages);
            let is_known = stages.into_iter().any(|stage| stage.name == renamed.from);
            let former = match &target.spec.former_stage {
                Some(former) if !is_known => former,
                _ => &renamed.from,
            };
            let patch = json!({
                "metadata": {"labels": {(label::STAGE): renamed.to}},
                "spec": {"stage": renamed.to, "formerStage": former},
            });
            self.patch_target(deployment, target, patch).await?;
        }
        Ok(())
    }

    async fn adopt<K>(&self, deployment: &Deployment, orphan: &K) -> Result<K, Failure>
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
