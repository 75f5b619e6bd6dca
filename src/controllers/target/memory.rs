//! What this process remembers of Targets between passes. Losing it costs reads, nothing else.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::{Run, Target},
    domain::engine::{self, Clocks, Known},
};

/// How long the last call of a previous leader may still be in flight. Sluice observes twice, this far apart,
/// before it changes anything.
const SETTLE: Duration = Duration::from_secs(2);

/// One entry per Target with unfinished work.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, Entry>>);

#[derive(Default)]
struct Entry {
    run: Option<(String, i64)>,
    known: Known,
}

impl Memory {
    /// What is known of this run of the Target. A run that another process began is held for [`SETTLE`]
    /// first.
    pub fn known(&self, target: &Target, run: Option<&Run>) -> Known {
        let mut entries = self.entries();
        let entry = entries.entry(key(target)).or_default();
        if entry.run == run.map(identity) && entry.run.is_some() {
            return std::mem::take(&mut entry.known);
        }
        let begun = target
            .status
            .as_ref()
            .and_then(|status| status.run.as_ref());
        let is_inherited = begun.is_some_and(|run| !engine::ended(run));
        Known {
            clocks: Clocks {
                hold_until: is_inherited.then(|| Timestamp::now() + SETTLE),
                ..Clocks::default()
            },
            ..Known::default()
        }
    }

    /// Keeps the knowledge for the next pass.
    pub fn keep(&self, target: &Target, run: Option<&Run>, known: Known) {
        let mut entries = self.entries();
        let entry = entries.entry(key(target)).or_default();
        entry.run = run.map(identity);
        entry.known = known;
    }

    /// Forgets a Target whose run has ended, or that is deleted.
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

fn identity(run: &Run) -> (String, i64) {
    (run.release.uid.clone(), run.attempt)
}
