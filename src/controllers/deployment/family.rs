//! What belongs to one Deployment.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;

use crate::api::v1alpha1::{Deployment, Release, Target};

/// Everything that belongs to one Deployment.
pub struct Family {
    pub releases: Vec<Arc<Release>>,
    pub targets: Vec<Arc<Target>>,
}

/// The Deployment, as the owner of what belongs to it.
pub fn owner_reference(deployment: &Deployment) -> Option<OwnerReference> {
    deployment.controller_owner_ref(&())
}
