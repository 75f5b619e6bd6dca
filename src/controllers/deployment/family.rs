//! The Releases and Targets of one Deployment.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _, api::ObjectMeta};

use super::controller::DeploymentController;
use crate::api::v1alpha1::{Deployment, Release, Target};

/// The Releases and Targets of one Deployment.
pub struct Family {
    pub releases: Vec<Arc<Release>>,
    pub targets: Vec<Arc<Target>>,
}

/// The owner reference to a Deployment.
pub fn owner_reference(deployment: &Deployment) -> Option<OwnerReference> {
    deployment.controller_owner_ref(&())
}

impl DeploymentController {
    /// The Releases and Targets that the Deployment owns.
    pub(super) fn family(&self, deployment: &Deployment) -> Family {
        let uid = deployment.uid();
        let owned = |meta: &ObjectMeta| {
            let mut owners = meta.owner_references.iter().flatten();
            owners.any(|owner| Some(&owner.uid) == uid.as_ref())
        };
        let Family {
            mut releases,
            mut targets,
        } = self.named(deployment);
        releases.retain(|release| owned(&release.metadata));
        targets.retain(|target| owned(&target.metadata));
        Family { releases, targets }
    }

    /// The Releases and Targets that refer to a Deployment of this name, by label or owner.
    pub(super) fn named(&self, deployment: &Deployment) -> Family {
        let (namespace, name) = (deployment.namespace(), deployment.name_any());
        let stores = &self.context.stores;
        Family {
            releases: stores.releases.belonging_to(namespace.as_deref(), &name),
            targets: stores.targets.belonging_to(namespace.as_deref(), &name),
        }
    }
}
