//! The last garbage collection of each Target, and when the next one is due.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;

use crate::api::v1alpha1::Target;

/// Garbage that could not be removed is retried after this.
const RETRY: Duration = Duration::from_hours(1);

/// The last garbage collection of each Target that this process attempted.
#[derive(Default)]
pub struct CollectionAttempts(Mutex<HashMap<String, Attempt>>);

struct Attempt {
    at: Instant,
    /// What the attempt covered. Newer garbage is removed at once.
    garbage: BTreeSet<String>,
}

impl CollectionAttempts {
    /// Whether the garbage is due for a first or another attempt.
    pub fn are_due(&self, target: &Target, garbage: &BTreeSet<String>) -> bool {
        let entries = self.entries();
        let last = entries.get(&target.uid().unwrap_or_default());
        let due = |last: &Attempt| last.at.elapsed() > RETRY || !garbage.is_subset(&last.garbage);
        !garbage.is_empty() && last.is_none_or(due)
    }

    /// Records an attempt made just now.
    pub fn record(&self, target: &Target, garbage: BTreeSet<String>) {
        let at = Instant::now();
        let tried = Attempt { at, garbage };
        let key = target.uid().unwrap_or_default();
        self.entries().insert(key, tried);
    }

    /// Forgets a deleted Target.
    pub fn forget(&self, target: &Target) {
        self.entries().remove(&target.uid().unwrap_or_default());
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
