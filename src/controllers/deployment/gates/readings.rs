//! GitLab readings for gates, kept in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::Deployment,
    domain::pipeline::{self, FreezePeriod},
};

/// The GitLab readings for gates, by Deployment.
#[derive(Default)]
pub struct Readings(Mutex<HashMap<String, Reading>>);

/// The GitLab reading for the gates of one Deployment.
#[derive(Clone)]
pub struct Reading {
    /// The openings that it is for: a new one needs a reading made after it opened.
    pub(super) about: String,
    pub(super) at: Instant,
    pub(super) jobs: BTreeMap<i64, Vec<pipeline::Job>>,
    pub(super) bots: BTreeMap<i64, bool>,
    pub(super) freezes: Result<Vec<FreezePeriod>, String>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            about: String::new(),
            at: Instant::now(),
            jobs: BTreeMap::new(),
            bots: BTreeMap::new(),
            freezes: Err("GitLab was not asked yet".to_owned()),
        }
    }
}

impl Readings {
    pub(super) fn get(&self, key: &str) -> Option<Reading> {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.get(key).cloned()
    }

    pub(super) fn keep(&self, key: &str, reading: Reading) {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.insert(key.to_owned(), reading);
    }

    /// Drops the reading of a deleted Deployment.
    pub fn forget(&self, deployment: &Deployment) {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.remove(&deployment.uid().unwrap_or_default());
    }
}
