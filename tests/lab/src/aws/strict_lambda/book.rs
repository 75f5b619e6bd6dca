//! What the proxy remembers of functions because the emulator does not: what was changed or
//! published when, and who is writing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

/// How long a function's changes take to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// A creation or an update is in progress for this long, and never for less than the emulator's
    /// half a second.
    pub update: Duration,
    /// A newly published version is Pending for this long, and an alias with provisioned concurrency
    /// that moved to another version is served by the former one. Provisioned concurrency and event source
    /// mappings take as long.
    pub version: Duration,
    /// Both end in Failed with this reason code, such as `InvalidRuntime`.
    pub failure: Option<&'static str>,
}

impl Settle {
    /// Nothing settles until [`Cloud::settle_now`](crate::aws::Cloud::settle_now) says so.
    pub const NEVER: Self = Self {
        update: Duration::MAX,
        version: Duration::MAX,
        failure: None,
    };
}

impl Default for Settle {
    fn default() -> Self {
        Self {
            update: Duration::ZERO,
            version: Duration::from_millis(300),
            failure: None,
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

/// Where something that was begun stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws) enum Standing {
    Unsettled,
    /// With the reason code.
    Failed(&'static str),
    Settled,
}

/// When and how something settles; never, if there is no such moment.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Option<Instant>,
    failure: Option<&'static str>,
}

impl Due {
    fn after(duration: Duration, failure: Option<&'static str>) -> Self {
        Self {
            at: Instant::now().checked_add(duration),
            failure,
        }
    }

    fn standing(self) -> Standing {
        if self.at.is_none_or(|at| Instant::now() < at) {
            return Standing::Unsettled;
        }
        self.failure.map_or(Standing::Settled, Standing::Failed)
    }
}

/// A change that may not have settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws) enum Change {
    Creation,
    Update,
}

/// An event source mapping that is being changed.
#[derive(Clone, Debug)]
struct Mapping {
    /// Lambda's word for that, such as `Creating`.
    state: &'static str,
    due: Due,
    /// What it was, where it is being deleted.
    deleted: Option<Value>,
}

#[derive(Debug, Default)]
struct Page {
    change: Option<(Change, Due)>,
    published: HashMap<String, Due>,
    /// The version that an alias is being moved away from.
    left: HashMap<String, (String, Due)>,
    /// Provisioned concurrency by version or alias.
    provisioned: HashMap<String, Due>,
    /// Event source mappings by their id.
    mappings: HashMap<String, Mapping>,
    writer: Arc<tokio::sync::Mutex<()>>,
}

impl Page {
    fn settle(&mut self) {
        let now = Some(Instant::now());
        if let Some((_, due)) = &mut self.change {
            due.at = now;
        }
        let left = self.left.values_mut().map(|(_, due)| due);
        let provisioned = self.provisioned.values_mut();
        let mappings = self.mappings.values_mut().map(|mapping| &mut mapping.due);
        let all = self.published.values_mut().chain(left);
        for due in all.chain(provisioned).chain(mappings) {
            due.at = now;
        }
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
        let settle = pages.settle_of(function);
        let due = Due::after(settle.update, settle.failure);
        pages.page(function).change = Some((change, due));
    }

    pub(in crate::aws) fn publish(&self, function: &FunctionKey, version: &str) {
        let mut pages = self.lock();
        let settle = pages.settle_of(function);
        let due = Due::after(settle.version, settle.failure);
        pages
            .page(function)
            .published
            .insert(version.to_owned(), due);
    }

    /// The last change and where it stands, whatever the emulator says.
    pub(in crate::aws) fn last_change(&self, function: &FunctionKey) -> Option<(Change, Standing)> {
        let pages = self.lock();
        let (change, due) = pages.functions.get(function)?.change?;
        Some((change, due.standing()))
    }

    /// Where a version stands; one that the book does not know has settled.
    pub(in crate::aws) fn version(&self, function: &FunctionKey, version: &str) -> Standing {
        let pages = self.lock();
        let page = pages.functions.get(function);
        let due = page.and_then(|page| page.published.get(version));
        due.map_or(Standing::Settled, |due| due.standing())
    }

    pub(in crate::aws) fn leave(&self, function: &FunctionKey, alias: &str, version: &str) {
        let mut pages = self.lock();
        let settle = pages.settle_of(function);
        let due = Due::after(settle.version, settle.failure);
        let left = &mut pages.page(function).left;
        left.insert(alias.to_owned(), (version.to_owned(), due));
    }

    pub(in crate::aws) fn provision(&self, function: &FunctionKey, qualifier: &str) {
        let mut pages = self.lock();
        let settle = pages.settle_of(function);
        let due = Due::after(settle.version, settle.failure);
        let provisioned = &mut pages.page(function).provisioned;
        provisioned.insert(qualifier.to_owned(), due);
    }

    /// Where the provisioned concurrency of a version or alias stands.
    pub(in crate::aws) fn provisioned(&self, function: &FunctionKey, qualifier: &str) -> Standing {
        let pages = self.lock();
        let page = pages.functions.get(function);
        let due = page.and_then(|page| page.provisioned.get(qualifier));
        due.map_or(Standing::Settled, |due| due.standing())
    }

    /// A mapping is being changed, or `deleted`.
    pub(in crate::aws) fn change_mapping(
        &self,
        function: &FunctionKey,
        id: &str,
        state: &'static str,
        deleted: Option<Value>,
    ) {
        let mut pages = self.lock();
        let settle = pages.settle_of(function);
        let due = Due::after(settle.version, None);
        let mapping = Mapping {
            state,
            due,
            deleted,
        };
        let mappings = &mut pages.page(function).mappings;
        mappings.insert(id.to_owned(), mapping);
    }

    /// What is being done to a mapping, in Lambda's word.
    pub(in crate::aws) fn mapping(&self, id: &str) -> Option<&'static str> {
        let pages = self.lock();
        let mut pages = pages.functions.values();
        let mapping = pages.find_map(|page| page.mappings.get(id))?;
        (mapping.due.standing() == Standing::Unsettled).then_some(mapping.state)
    }

    /// The mappings that are being deleted, in this account and region.
    pub(in crate::aws) fn deleted_mappings(&self, place: &FunctionKey) -> Vec<Value> {
        let pages = self.lock();
        let here = pages
            .functions
            .iter()
            .filter(|(key, _)| key.account == place.account && key.region == place.region);
        let mappings = here.flat_map(|(_, page)| page.mappings.values());
        mappings
            .filter(|mapping| mapping.due.standing() == Standing::Unsettled)
            .filter_map(|mapping| mapping.deleted.clone())
            .collect()
    }

    /// The version that an alias was moved away from and still has.
    pub(in crate::aws) fn left(&self, function: &FunctionKey, alias: &str) -> Option<String> {
        let pages = self.lock();
        let (version, due) = pages.functions.get(function)?.left.get(alias)?;
        (due.standing() != Standing::Settled).then(|| version.clone())
    }

    pub(in crate::aws) fn forget(&self, function: &FunctionKey) {
        let mut pages = self.lock();
        let page = pages.page(function);
        page.change = None;
        page.published.clear();
        page.left.clear();
        page.provisioned.clear();
    }

    /// Held from a write's checks to its answer: otherwise two writes at once pass the same checks.
    pub(in crate::aws) async fn writing(&self, function: &FunctionKey) -> OwnedMutexGuard<()> {
        let writer = Arc::clone(&self.lock().page(function).writer);
        writer.lock_owned().await
    }
}
