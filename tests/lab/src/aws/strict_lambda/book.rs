//! What the proxy remembers of functions because the emulator does not: what was changed or
//! published when, and who is writing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

/// How long a function's changes take to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Settle {
    /// A creation or an update is in progress for this long, and never for less than the emulator's
    /// half a second.
    pub update: Duration,
    /// A newly published version is Pending for this long.
    pub version: Duration,
}

impl Settle {
    /// Nothing settles until [`Cloud::settle_now`](crate::aws::Cloud::settle_now) says so.
    pub const NEVER: Self = Self {
        update: Duration::MAX,
        version: Duration::MAX,
    };
}

impl Default for Settle {
    fn default() -> Self {
        Self {
            update: Duration::ZERO,
            version: Duration::from_millis(300),
        }
    }
}

/// A function's place and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::aws) struct FunctionKey {
    pub(in crate::aws) account: String,
    pub(in crate::aws) region: String,
    pub(in crate::aws) name: String,
}

/// When something settles; never, if there is no such moment.
#[derive(Clone, Copy, Debug)]
struct Due(Option<Instant>);

impl Due {
    fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    fn is_ahead(self) -> bool {
        self.0.is_none_or(|due| Instant::now() < due)
    }
}

/// A change that may not have settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws) enum Change {
    Creation,
    Update,
}

#[derive(Debug, Default)]
struct Page {
    change: Option<(Change, Due)>,
    published: HashMap<String, Due>,
    writer: Arc<tokio::sync::Mutex<()>>,
}

impl Page {
    fn settle(&mut self) {
        self.change = None;
        self.published.clear();
    }
}

#[derive(Debug, Default)]
struct Pages {
    settle: Settle,
    settle_of: HashMap<String, Settle>,
    functions: HashMap<FunctionKey, Page>,
}

impl Pages {
    fn settle_of(&self, function: &FunctionKey) -> Settle {
        self.settle_of
            .get(&function.name)
            .copied()
            .unwrap_or(self.settle)
    }

    fn page(&mut self, function: &FunctionKey) -> &mut Page {
        self.functions.entry(function.clone()).or_default()
    }
}

/// The memory of one cloud.
#[derive(Debug, Default)]
pub(in crate::aws) struct Book(Mutex<Pages>);

impl Book {
    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For all functions that have no time of their own.
    pub(in crate::aws) fn set_settle(&self, settle: Settle) {
        self.lock().settle = settle;
    }

    /// For functions of this name, whatever their account and region.
    pub(in crate::aws) fn set_settle_of(&self, name: &str, settle: Settle) {
        self.lock().settle_of.insert(name.to_owned(), settle);
    }

    /// Settles whatever functions of this name have under way.
    pub(in crate::aws) fn settle_now(&self, name: &str) {
        for (key, page) in &mut self.lock().functions {
            if key.name == name {
                page.settle();
            }
        }
    }

    pub(in crate::aws) fn change(&self, function: &FunctionKey, change: Change) {
        let mut pages = self.lock();
        let due = Due::after(pages.settle_of(function).update);
        pages.page(function).change = Some((change, due));
    }

    pub(in crate::aws) fn publish(&self, function: &FunctionKey, version: &str) {
        let mut pages = self.lock();
        let due = Due::after(pages.settle_of(function).version);
        pages
            .page(function)
            .published
            .insert(version.to_owned(), due);
    }

    /// The change that is to be shown as in progress, whatever the emulator says.
    pub(in crate::aws) fn in_progress(&self, function: &FunctionKey) -> Option<Change> {
        let pages = self.lock();
        let (change, due) = pages.functions.get(function)?.change?;
        due.is_ahead().then_some(change)
    }

    pub(in crate::aws) fn is_pending(&self, function: &FunctionKey, version: &str) -> bool {
        let pages = self.lock();
        let page = pages.functions.get(function);
        let due = page.and_then(|page| page.published.get(version));
        due.is_some_and(|due| due.is_ahead())
    }

    pub(in crate::aws) fn forget(&self, function: &FunctionKey) {
        self.lock().page(function).settle();
    }

    /// Held from a write's checks to its answer: otherwise two writes at once pass the same checks.
    pub(in crate::aws) async fn writing(&self, function: &FunctionKey) -> OwnedMutexGuard<()> {
        let writer = Arc::clone(&self.lock().page(function).writer);
        writer.lock_owned().await
    }
}
