//! State of functions that the emulator lacks: when they were changed or published, and a lock for writers.

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
    /// A creation or an update is in progress for this long, but at least for the emulator's half a second.
    pub update: Duration,
    /// A newly published version is Pending for this long, and an alias with provisioned concurrency that
    /// moved to another version is served by the former one. Provisioned concurrency and event source
    /// mappings take as long.
    pub version: Duration,
    /// Both end in Failed with this reason code, such as `InvalidRuntime`.
    pub failure: Option<&'static str>,
}

impl Settle {
    /// Nothing settles until [`Cloud::settle_now`](crate::aws::Cloud::settle_now) is called.
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

/// A function's account, region and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::aws) struct FunctionKey {
    pub(in crate::aws) account: String,
    pub(in crate::aws) region: String,
    pub(in crate::aws) name: String,
}

/// The progress of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws) enum Progress {
    Unsettled,
    /// With Lambda's reason code.
    Failed(&'static str),
    Settled,
}

/// When and how a change settles; never if `at` is `None`.
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

    fn progress(self) -> Progress {
        if self.at.is_none_or(|at| Instant::now() < at) {
            return Progress::Unsettled;
        }
        self.failure.map_or(Progress::Settled, Progress::Failed)
    }
}

/// A change that may be in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws) enum Change {
    Creation,
    Update,
}

/// An event source mapping that is being changed.
#[derive(Clone, Debug)]
struct Mapping {
    /// Lambda's state for the change, such as `Creating`.
    state: &'static str,
    due: Due,
    /// The mapping as it was, if it is being deleted.
    deleted: Option<Value>,
}

#[derive(Debug, Default)]
struct FunctionState {
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

impl FunctionState {
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
struct FunctionStates {
    settle: Settle,
    settle_of: HashMap<String, Settle>,
    functions: HashMap<FunctionKey, FunctionState>,
}

impl FunctionStates {
    fn settle_of(&self, function: &FunctionKey) -> Settle {
        self.settle_of
            .get(&function.name)
            .copied()
            .unwrap_or(self.settle)
    }

    fn function_state(&mut self, function: &FunctionKey) -> &mut FunctionState {
        self.functions.entry(function.clone()).or_default()
    }
}

/// The functions of one [`Cloud`](crate::aws::Cloud).
#[derive(Debug, Default)]
pub(in crate::aws) struct FunctionTracker(Mutex<FunctionStates>);

impl FunctionTracker {
    fn lock(&self) -> MutexGuard<'_, FunctionStates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the time for all functions without a time of their own.
    pub(in crate::aws) fn set_settle(&self, settle: Settle) {
        self.lock().settle = settle;
    }

    /// Sets the time for functions of this name, whatever their account and region.
    pub(in crate::aws) fn set_settle_of(&self, name: &str, settle: Settle) {
        self.lock().settle_of.insert(name.to_owned(), settle);
    }

    /// Settles all pending changes of functions of this name.
    pub(in crate::aws) fn settle_now(&self, name: &str) {
        for (key, function_state) in &mut self.lock().functions {
            if key.name == name {
                function_state.settle();
            }
        }
    }

    pub(in crate::aws) fn change(&self, function: &FunctionKey, change: Change) {
        let mut states = self.lock();
        let settle = states.settle_of(function);
        let due = Due::after(settle.update, settle.failure);
        states.function_state(function).change = Some((change, due));
    }

    pub(in crate::aws) fn publish(&self, function: &FunctionKey, version: &str) {
        let mut states = self.lock();
        let settle = states.settle_of(function);
        let due = Due::after(settle.version, settle.failure);
        states
            .function_state(function)
            .published
            .insert(version.to_owned(), due);
    }

    /// The last change and its progress, whatever the emulator says.
    pub(in crate::aws) fn last_change(&self, function: &FunctionKey) -> Option<(Change, Progress)> {
        let states = self.lock();
        let (change, due) = states.functions.get(function)?.change?;
        Some((change, due.progress()))
    }

    /// The progress of a version; an unknown version has settled.
    pub(in crate::aws) fn version(&self, function: &FunctionKey, version: &str) -> Progress {
        let states = self.lock();
        let function_state = states.functions.get(function);
        let due = function_state.and_then(|function_state| function_state.published.get(version));
        due.map_or(Progress::Settled, |due| due.progress())
    }

    pub(in crate::aws) fn leave(&self, function: &FunctionKey, alias: &str, version: &str) {
        let mut states = self.lock();
        let settle = states.settle_of(function);
        let due = Due::after(settle.version, settle.failure);
        let left = &mut states.function_state(function).left;
        left.insert(alias.to_owned(), (version.to_owned(), due));
    }

    pub(in crate::aws) fn provision(&self, function: &FunctionKey, qualifier: &str) {
        let mut states = self.lock();
        let settle = states.settle_of(function);
        let due = Due::after(settle.version, settle.failure);
        let provisioned = &mut states.function_state(function).provisioned;
        provisioned.insert(qualifier.to_owned(), due);
    }

    /// The progress of the provisioned concurrency of a version or alias.
    pub(in crate::aws) fn provisioned(&self, function: &FunctionKey, qualifier: &str) -> Progress {
        let states = self.lock();
        let function_state = states.functions.get(function);
        let due =
            function_state.and_then(|function_state| function_state.provisioned.get(qualifier));
        due.map_or(Progress::Settled, |due| due.progress())
    }

    /// Records a change of a mapping; for a deletion, with the mapping as it was.
    pub(in crate::aws) fn change_mapping(
        &self,
        function: &FunctionKey,
        id: &str,
        state: &'static str,
        deleted: Option<Value>,
    ) {
        let mut states = self.lock();
        let settle = states.settle_of(function);
        let due = Due::after(settle.version, None);
        let mapping = Mapping {
            state,
            due,
            deleted,
        };
        let mappings = &mut states.function_state(function).mappings;
        mappings.insert(id.to_owned(), mapping);
    }

    /// Lambda's state for a mapping that is being changed.
    pub(in crate::aws) fn mapping(&self, id: &str) -> Option<&'static str> {
        let states = self.lock();
        let mut states = states.functions.values();
        let mapping = states.find_map(|function_state| function_state.mappings.get(id))?;
        (mapping.due.progress() == Progress::Unsettled).then_some(mapping.state)
    }

    /// The mappings that are being deleted, in this account and region.
    pub(in crate::aws) fn deleted_mappings(&self, scope: &FunctionKey) -> Vec<Value> {
        let states = self.lock();
        let here = states
            .functions
            .iter()
            .filter(|(key, _)| key.account == scope.account && key.region == scope.region);
        let mappings = here.flat_map(|(_, function_state)| function_state.mappings.values());
        mappings
            .filter(|mapping| mapping.due.progress() == Progress::Unsettled)
            .filter_map(|mapping| mapping.deleted.clone())
            .collect()
    }

    /// The version that an alias is being moved away from and that still serves.
    pub(in crate::aws) fn left(&self, function: &FunctionKey, alias: &str) -> Option<String> {
        let states = self.lock();
        let (version, due) = states.functions.get(function)?.left.get(alias)?;
        (due.progress() != Progress::Settled).then(|| version.clone())
    }

    pub(in crate::aws) fn forget(&self, function: &FunctionKey) {
        let mut states = self.lock();
        let function_state = states.function_state(function);
        function_state.change = None;
        function_state.published.clear();
        function_state.left.clear();
        function_state.provisioned.clear();
    }

    /// The function's write lock, held from a write's checks to its response: otherwise concurrent writes
    /// pass the same checks.
    pub(in crate::aws) async fn writing(&self, function: &FunctionKey) -> OwnedMutexGuard<()> {
        let writer = Arc::clone(&self.lock().function_state(function).writer);
        writer.lock_owned().await
    }
}
