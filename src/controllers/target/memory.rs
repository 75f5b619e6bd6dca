//! What this process remembers of Targets between passes. Losing it costs reads, nothing else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::Target,
    domain::machine::{self, Known},
};

/// How long a predecessor's last call may still be on its way: what it left is looked at twice, this
/// far apart, before anything is changed.
const SETTLE: Duration = Duration::from_secs(2);

/// One entry per Target that is being worked on.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, Entry>>);

#[derive(Default)]
struct Entry {
    /// The Target as this process last wrote it: the cache may lag behind.
    written: Option<Arc<Target>>,
    run: Option<(String, i64)>,
    known: Known,
}

impl Memory {
    /// The cached Target, or what this process wrote if that is newer.
    pub fn newest(&self, cached: &Arc<Target>) -> Arc<Target> {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&key(cached)) else { return Arc::clone(cached) };
        match &entry.written {
            Some(written) if version(written) > version(cached) => Arc::clone(written),
            _ => {
                entry.written = None;
                Arc::clone(cached)
            }
        }
    }

    /// Remembers the Target as the API server has it now.
    pub fn wrote(&self, target: &Target) {
        self.entries().entry(key(target)).or_default().written = Some(Arc::new(target.clone()));
    }

    /// What is known of the Target's run. A run that somebody else began is taken over with care.
    pub fn known(&self, target: &Target) -> Known {
        let mut entries = self.entries();
        let entry = entries.entry(key(target)).or_default();
        if entry.run == run(target) && entry.run.is_some() {
            return std::mem::take(&mut entry.known);
        }
        let begun = target.status.as_ref().and_then(|status| status.run.as_ref());
        let taken_over = begun.is_some_and(|run| !machine::ended(run));
        Known { hold_until: taken_over.then(|| Timestamp::now() + SETTLE), ..Known::default() }
    }

    /// Keeps it for the next pass.
    pub fn keep(&self, target: &Target, known: Known) {
        let mut entries = self.entries();
        let entry = entries.entry(key(target)).or_default();
        entry.run = run(target);
        entry.known = known;
    }

    /// The run is over.
    pub fn forget_run(&self, target: &Target) {
        let mut entries = self.entries();
        if entries.get(&key(target)).is_some_and(|entry| entry.written.is_none()) {
            entries.remove(&key(target));
        }
    }

    /// The Target is gone.
    pub fn forget(&self, target: &Target) {
        self.entries().remove(&key(target));
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(target: &Target) -> String {
    target.uid().unwrap_or_default()
}

fn run(target: &Target) -> Option<(String, i64)> {
    target.spec.run.as_ref().map(|run| (run.release.uid.clone(), run.attempt))
}

/// Resource versions of one kind can be compared as numbers (KEP-5504); an unreadable one is oldest.
fn version(target: &Target) -> u128 {
    target.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}
