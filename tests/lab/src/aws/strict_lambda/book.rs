//! What the proxy remembers of functions because the emulator does not: which versions are new, and
//! who is writing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OwnedMutexGuard;

/// A function's place and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::aws) struct FunctionKey {
    pub(in crate::aws) account: String,
    pub(in crate::aws) region: String,
    pub(in crate::aws) name: String,
}

#[derive(Debug)]
struct Pages {
    settle: Duration,
    published: HashMap<FunctionKey, HashMap<String, Instant>>,
    writers: HashMap<FunctionKey, Arc<tokio::sync::Mutex<()>>>,
}

/// The memory of one cloud.
#[derive(Debug)]
pub(in crate::aws) struct Book(Mutex<Pages>);

impl Book {
    pub(in crate::aws) fn new(settle: Duration) -> Self {
        Self(Mutex::new(Pages {
            settle,
            published: HashMap::new(),
            writers: HashMap::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a new version is Pending, from now on.
    pub(in crate::aws) fn set_settle(&self, settle: Duration) {
        self.lock().settle = settle;
    }

    pub(in crate::aws) fn publish(&self, function: &FunctionKey, version: &str) {
        let mut pages = self.lock();
        let versions = pages.published.entry(function.clone()).or_default();
        versions.insert(version.to_owned(), Instant::now());
    }

    pub(in crate::aws) fn is_pending(&self, function: &FunctionKey, version: &str) -> bool {
        let pages = self.lock();
        let since = pages
            .published
            .get(function)
            .and_then(|versions| versions.get(version));
        since.is_some_and(|since| since.elapsed() < pages.settle)
    }

    pub(in crate::aws) fn forget(&self, function: &FunctionKey) {
        self.lock().published.remove(function);
    }

    /// Held from a write's checks to its answer: otherwise two writes at once pass the same checks.
    pub(in crate::aws) async fn writing(&self, function: &FunctionKey) -> OwnedMutexGuard<()> {
        let writer = Arc::clone(self.lock().writers.entry(function.clone()).or_default());
        writer.lock_owned().await
    }
}
