//! What preflights worked out, kept for as long as nothing changes that it rests on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::Deployment,
    domain::{digest::Sha256, preflight::Problem},
};

/// What was worked out, by the Deployment's uid and the Release's.
#[derive(Default)]
pub struct Cache(Mutex<HashMap<String, Kept>>);

/// By the Release's uid: what it rests on, and what came of it.
pub type Kept = HashMap<String, (Sha256, Arc<Vec<Problem>>)>;

impl Cache {
    /// Forgets a Deployment.
    pub fn forget(&self, deployment: &Deployment) {
        let uid = deployment.uid().unwrap_or_default();
        self.kept().remove(&uid);
    }

    pub(super) fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
