//! What each Target tried to remove last, and when it is tried again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;

use crate::api::v1alpha1::Target;

/// What could not be removed is tried again after this.
const AGAIN: Duration = Duration::from_hours(1);

/// What each Target tried to remove last, as far as this process knows.
#[derive(Default)]
pub struct Collections(Mutex<HashMap<String, Tried>>);

struct Tried {
    at: Instant,
    /// What came since is tried at once.
    garbage: BTreeSet<String>,
}

impl Collections {
    /// Whether what there is to remove is to be tried, again or for the first time.
    pub fn are_due(&self, target: &Target, garbage: &BTreeSet<String>) -> bool {
        let entries = self.entries();
        let last = entries.get(&target.uid().unwrap_or_default());
        let due = |last: &Tried| last.at.elapsed() > AGAIN || !garbage.is_subset(&last.garbage);
        !garbage.is_empty() && last.is_none_or(due)
    }

    /// It was tried just now.
    pub fn tried(&self, target: &Target, garbage: BTreeSet<String>) {
        let at = Instant::now();
        let tried = Tried { at, garbage };
        let key = target.uid().unwrap_or_default();
        self.entries().insert(key, tried);
    }

    /// The Target is gone.
    pub fn forget(&self, target: &Target) {
        self.entries().remove(&target.uid().unwrap_or_default());
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, Tried>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
