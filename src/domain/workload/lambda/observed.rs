//! Observations of functions, and what this process remembers of them during a run.
//!
//! Observations stay from one pass of a run to the next: a pass in which one of a hundred reads failed
//! repeats that one, not all.
//!
//! # Guarantees
//! - Each pass reads again the resources that AWS is still working on and those that were not found; so it
//!   does after a failed call on a resource, because that drops its observations at once.
//! - No observation is older than [`FRESH`], counted from the read, or from the write that returned it. So
//!   external modifications are detected by then, or earlier, because writes carry a RevisionId; and before
//!   a run succeeds, because every alias that was not observed recently is read once more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    action::{Action, Reply},
    function::{Alias, CodeLocation, Function, FunctionState, LastUpdate, ProvisionedConcurrency},
};
use crate::domain::{
    digest::Sha256,
    workload::{
        kind,
        protocol::{IsAwsWorking, ReplyOutcome},
    },
};

/// The maximum age of an observation. Reading a thousand aliases takes a bit more than a minute.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// The maximum age of an alias's observation when a run succeeds.
const CONFIRMED: SignedDuration = SignedDuration::from_mins(1);

/// The time for Lambda to reactivate a version before it is invoked again.
const WAKE_INTERVAL: SignedDuration = SignedDuration::from_secs(30);

/// A read for a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// `$LATEST`.
    Function {
        /// The function.
        name: String,
    },
    /// A version.
    Version {
        /// The function.
        name: String,
        /// The version number.
        version: String,
    },
    /// An alias.
    Alias {
        /// The function.
        name: String,
        /// The alias.
        alias: String,
    },
    /// The provisioned concurrency of an alias.
    Provisioned {
        /// The function.
        name: String,
        /// The alias.
        alias: String,
    },
    /// The callers that name neither a version nor an alias.
    Unqualified {
        /// The function.
        name: String,
    },
}

impl Read {
    /// The function that it concerns.
    pub fn function(&self) -> &str {
        match self {
            Self::Function { name }
            | Self::Version { name, .. }
            | Self::Alias { name, .. }
            | Self::Provisioned { name, .. }
            | Self::Unqualified { name } => name,
        }
    }
}

/// The result of a [`Read`].
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// `$LATEST` of a function; `None` if it was not found.
    Function(String, Option<Box<Function>>),
    /// A version by function and number; `None` if it was not found.
    Version(String, String, Option<Box<Function>>),
    /// An alias by function and name; `None` if it was not found.
    Alias(String, String, Option<Alias>),
    /// The provisioned concurrency of the function's alias.
    Provisioned(String, Option<ProvisionedConcurrency>),
    /// Descriptions of the callers that name neither a version nor an alias.
    Unqualified(String, Vec<String>),
}

/// Observations of functions, and what this process remembers of them during a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// `$LATEST` by function; `None` if it was not found.
    pub functions: BTreeMap<String, Option<Function>>,
    /// Versions by function and number.
    pub versions: BTreeMap<(String, String), Option<Function>>,
    /// Aliases by function (a Target has one alias per function).
    pub aliases: BTreeMap<String, Option<Alias>>,
    /// Provisioned concurrency of aliases, by function.
    pub provisioned: BTreeMap<String, Option<ProvisionedConcurrency>>,
    /// Descriptions of the callers that name neither a version nor an alias, by function.
    pub unqualified: BTreeMap<String, Vec<String>>,
    /// The last observed functions and aliases, including those that decisions no longer use.
    pub last: LastObserved,
    /// Packages in the Target's artifact bucket, by digest.
    pub packages: BTreeMap<Sha256, CodeLocation>,
    /// Versions that the run published, by component.
    pub published: BTreeMap<String, String>,
    /// How often in a row a resource was not found, by function, or `function:alias` for aliases.
    pub missing: BTreeMap<String, u32>,
    /// When each item was observed.
    at: BTreeMap<Item, Timestamp>,
    /// Functions that this phase of the run has updated, with the RevisionId before the update.
    updated: BTreeMap<String, String>,
    /// When a version was last invoked to reactivate it, by function and number.
    woken: BTreeMap<(String, String), Timestamp>,
}

/// The last observations, for reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastObserved {
    /// Functions by name.
    pub functions: BTreeMap<String, Option<Function>>,
    /// Aliases by function.
    pub aliases: BTreeMap<String, Option<Alias>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Function(String),
    Version(String, String),
    Alias(String),
    Unqualified(String),
}

impl Observed {
    /// Whether the absence of a resource is confirmed. AWS sometimes answers with an earlier state, and a
    /// stale "not found" must cause neither a creation nor, in Restore, a deletion: it counts once another
    /// pass reads the same.
    pub fn is_absence_confirmed(&self, what: &str) -> bool {
        self.missing.get(what).is_some_and(|times| *times > 1)
    }

    /// Whether the alias was last observed more than a minute before `began`.
    pub fn is_alias_stale(&self, function: &str, began: Option<Timestamp>) -> bool {
        let at = self.at.get(&Item::Alias(function.to_owned()));
        let age = at.zip(began);
        age.is_some_and(|(at, began)| began.duration_since(*at) > CONFIRMED)
    }

    /// Whether `$LATEST` with this RevisionId results from an update of this phase.
    pub fn has_updated(&self, function: &str, revision_id: &str) -> bool {
        let before = self.updated.get(function);
        before.is_some_and(|before| before != revision_id)
    }

    /// Whether the version was invoked to reactivate it shortly before `now`.
    pub fn is_waking(&self, function: &str, version: &str, now: Option<Timestamp>) -> bool {
        let key = (function.to_owned(), version.to_owned());
        let invoked = self.woken.get(&key).zip(now);
        invoked.is_some_and(|(at, now)| *at <= now && now.duration_since(*at) < WAKE_INTERVAL)
    }

    fn found_function(&mut self, name: String, function: Option<Function>, now: Timestamp) {
        self.count_absence(name.clone(), function.is_some());
        self.at.insert(Item::Function(name.clone()), now);
        self.last.functions.insert(name.clone(), function.clone());
        self.functions.insert(name, function);
    }

    fn found_version(
        &mut self,
        name: String,
        version: String,
        found: Option<Function>,
        now: Timestamp,
    ) {
        let item = Item::Version(name.clone(), version.clone());
        self.at.insert(item, now);
        self.versions.insert((name, version), found);
    }

    fn found_alias(&mut self, name: String, alias: &str, found: Option<Alias>, now: Timestamp) {
        self.count_absence(format!("{name}:{alias}"), found.is_some());
        self.at.insert(Item::Alias(name.clone()), now);
        self.last.aliases.insert(name.clone(), found.clone());
        self.aliases.insert(name, found);
    }

    fn count_absence(&mut self, what: String, is_found: bool) {
        if is_found {
            self.missing.remove(&what);
        } else {
            *self.missing.entry(what).or_default() += 1;
        }
    }

    /// Drops all observations of a function, including the last ones: the next read counts, not the reply.
    fn forget_all_of(&mut self, name: &str) {
        self.last.functions.remove(name);
        self.last.aliases.remove(name);
        kind::Observed::forget(self, name);
    }
}

impl kind::Observed for Observed {
    type Found = Found;
    type Action = Action;
    type Reply = Reply;

    fn begin_pass(&mut self, now: Timestamp) {
        self.at.retain(|_, at| {
            let age = now.duration_since(*at);
            !age.is_negative() && age < FRESH
        });
        let at = &self.at;
        let is = |item: &Item| at.contains_key(item);
        self.functions
            .retain(|name, _| is(&Item::Function(name.clone())));
        self.versions
            .retain(|(name, version), _| is(&Item::Version(name.clone(), version.clone())));
        self.aliases
            .retain(|name, _| is(&Item::Alias(name.clone())));
        self.provisioned
            .retain(|name, _| is(&Item::Alias(name.clone())));
        self.unqualified
            .retain(|name, _| is(&Item::Unqualified(name.clone())));
        self.last.functions.clone_from(&self.functions);
        self.last.aliases.clone_from(&self.aliases);
    }

    fn end_pass(&mut self) {
        // Lambda changes the weights of aliases with provisioned concurrency by itself.
        for (name, provisioned) in std::mem::take(&mut self.provisioned) {
            if provisioned.is_some() {
                self.aliases.remove(&name);
            }
        }
        self.functions
            .retain(|_, function| is_settled(function.as_ref()));
        self.versions
            .retain(|_, version| is_settled(version.as_ref()));
        self.aliases.retain(|_, alias| alias.is_some());
    }

    fn forget_reads(&mut self) {
        self.functions.clear();
        self.versions.clear();
        self.aliases.clear();
        self.provisioned.clear();
        self.unqualified.clear();
        self.at.clear();
    }

    fn begin_restore(&mut self) {
        self.updated.clear();
        self.functions.clear();
        self.aliases.clear();
        self.provisioned.clear();
    }

    fn found(&mut self, found: Found, now: Timestamp) -> IsAwsWorking {
        match found {
            Found::Function(name, function) => {
                let is_aws_working = function.as_ref().is_some_and(|it| it.is_settling());
                self.found_function(name, function.map(|it| *it), now);
                is_aws_working
            }
            Found::Version(name, version, found) => {
                let is_aws_working = found.as_ref().is_some_and(|it| it.is_settling());
                self.found_version(name, version, found.map(|it| *it), now);
                is_aws_working
            }
            Found::Alias(name, alias, found) => {
                self.found_alias(name, &alias, found, now);
                false
            }
            Found::Provisioned(name, found) => {
                let is_aws_working = found.as_ref().is_some_and(|it| it.is_allocating);
                self.provisioned.insert(name, found);
                is_aws_working
            }
            Found::Unqualified(name, callers) => {
                self.at.insert(Item::Unqualified(name.clone()), now);
                self.unqualified.insert(name, callers);
                false
            }
        }
    }

    /// Remembers updates, so that a failure afterwards is attributed to them.
    fn sent(&mut self, function: &str, action: &Action) {
        if let Action::UpdateCode { revision_id, .. }
        | Action::UpdateConfiguration { revision_id, .. } = action
        {
            self.updated
                .insert(function.to_owned(), revision_id.clone());
        }
    }

    fn replied(
        &mut self,
        (component, function): (&str, &str),
        reply: Reply,
        verify: bool,
        now: Timestamp,
    ) -> ReplyOutcome {
        let name = function.to_owned();
        let mut noted = ReplyOutcome::default();
        match reply {
            Reply::Package(digest, code) => {
                self.packages.insert(digest, code);
            }
            Reply::Published(version) => {
                let number = version.version.clone();
                self.published.insert(component.to_owned(), number.clone());
                noted.is_aws_working = version.is_settling();
                self.found_version(name, number, Some(*version), now);
            }
            Reply::Created(_) | Reply::Updated(_) | Reply::Routed { .. } if verify => {
                self.forget_all_of(&name);
            }
            Reply::Created(function) => {
                noted.is_aws_working = function.is_settling();
                self.found_function(name, Some(*function), now);
            }
            Reply::Updated(mut function) => {
                // Only GetFunction returns the tags, and no update changes them.
                if let Some(Some(before)) = self.functions.get(&name) {
                    function.tags.clone_from(&before.tags);
                }
                noted.is_aws_working = function.is_settling();
                self.found_function(name, Some(*function), now);
            }
            Reply::Routed { alias, now: moved } => {
                self.provisioned.remove(&name);
                self.found_alias(name, &alias, Some(moved), now);
            }
            Reply::TagsSet => self.forget_all_of(&name),
            Reply::Woken { version } => {
                let key = (name, version);
                self.versions.remove(&key);
                self.woken.insert(key, now);
                // A version that never becomes active makes no progress.
                noted.is_no_progress = true;
            }
            // After a deletion, a single "not found" confirms the absence.
            Reply::FunctionDeleted => {
                kind::Observed::forget(self, &name);
                self.count_absence(name, false);
            }
            Reply::AliasDeleted { alias } => {
                kind::Observed::forget(self, &name);
                self.count_absence(format!("{name}:{alias}"), false);
            }
            Reply::VersionDeleted { version } => {
                self.versions.insert((name, version), None);
            }
        }
        noted
    }

    fn forget(&mut self, function: &str) {
        self.functions.remove(function);
        self.aliases.remove(function);
        self.provisioned.remove(function);
        let of_it = |what: &String| what.split(':').next() == Some(function);
        self.missing.retain(|what, _| !of_it(what));
    }

    fn published(&self, component: &str) -> Option<&String> {
        self.published.get(component)
    }
}

/// Whether the function exists, and AWS has finished its work on it.
fn is_settled(function: Option<&Function>) -> bool {
    function.is_some_and(|function| {
        function.state == FunctionState::Active && function.last_update == LastUpdate::Successful
    })
}
