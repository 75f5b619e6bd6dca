//! The results of preflights, valid while their inputs are unchanged.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::Deployment,
    domain::{digest::Sha256, preflight::Problem},
};

/// The results, by the UIDs of the Deployment and the Release.
#[derive(Default)]
pub struct Cache(Mutex<HashMap<String, Kept>>);

/// By the Release's UID: the digest of the inputs, and the problems found.
pub type Kept = HashMap<String, (Sha256, Arc<Vec<Problem>>)>;

impl Cache {
    /// Drops the results of a deleted Deployment.
    pub fn forget(&self, deployment: &Deployment) {
        let uid = deployment.uid().unwrap_or_default();
        self.kept().remove(&uid);
    }

    pub(super) fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
