//! What was read of functions, and what this process remembers of them during a run.
//!
//! What was read stays known from one pass of a run to the next: a pass that lost one of a hundred reads needs
//! that one again, not all.
//!
//! # Guarantees
//! - What AWS is at work on, and what was not found, is read again in each pass; so is what a call of ours
//!   failed on, because that is forgotten at once.
//! - Nothing is kept for longer than [`FRESH`] after it was read, or after AWS answered our own write with
//!   it: what is modified externally comes out then, or earlier, because writes carry a RevisionId; and
//!   before a run has succeeded, because every alias that was read long ago is read once more.

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
        protocol::{IsAtWork, Noted},
    },
};

/// How long what was read may serve: a thousand aliases are read in a bit more than a minute.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// What a run ends with was read this shortly before.
const CONFIRMED: SignedDuration = SignedDuration::from_mins(1);

/// How long Lambda is given to wake a version before it is invoked again.
const WAKE_INTERVAL: SignedDuration = SignedDuration::from_secs(30);

/// Something to read of a function.
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
        /// The number.
        version: String,
    },
    /// An alias.
    Alias {
        /// The function.
        name: String,
        /// The alias.
        alias: String,
    },
    /// How much concurrency is provisioned for an alias.
    Provisioned {
        /// The function.
        name: String,
        /// The alias.
        alias: String,
    },
    /// What invokes a function without naming a version or alias.
    Unqualified {
        /// The function.
        name: String,
    },
}

impl Read {
    /// The function that it is of.
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

/// What a [`Read`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// `$LATEST` of a function, or that there is none.
    Function(String, Option<Box<Function>>),
    /// A version by function and number, or that there is none.
    Version(String, String, Option<Box<Function>>),
    /// An alias by function and name, or that there is none.
    Alias(String, String, Option<Alias>),
    /// Concurrency that is provisioned for an alias of the function.
    Provisioned(String, Option<ProvisionedConcurrency>),
    /// What invokes the function without naming a version or alias, in words.
    Unqualified(String, Vec<String>),
}

/// What was read of functions, and what this process remembers of them during a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Functions by name: `$LATEST`, or that there is none.
    pub functions: BTreeMap<String, Option<Function>>,
    /// Versions by function and number.
    pub versions: BTreeMap<(String, String), Option<Function>>,
    /// Aliases by function (a Target has one alias a function).
    pub aliases: BTreeMap<String, Option<Alias>>,
    /// Concurrency that is provisioned for aliases, by function.
    pub provisioned: BTreeMap<String, Option<ProvisionedConcurrency>>,
    /// What invokes functions without naming a version or alias, in words, by function.
    pub unqualified: BTreeMap<String, Vec<String>>,
    /// The same functions and aliases, also where that is no base for a decision any more.
    pub last: LastObserved,
    /// Packages that are in the Target's bucket, by digest.
    pub packages: BTreeMap<Sha256, CodeLocation>,
    /// Versions that were published for the run, by component.
    pub published: BTreeMap<String, String>,
    /// How often in a row functions, and aliases as `function:alias`, were not found.
    pub missing: BTreeMap<String, u32>,
    /// When things were read.
    at: BTreeMap<Item, Timestamp>,
    /// Functions that were updated in this phase of the run, with the RevisionId before.
    updated: BTreeMap<String, String>,
    /// When a version was woken last, by function and number.
    woken: BTreeMap<(String, String), Timestamp>,
}

/// What was observed last, for people to read.
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
    /// Whether the absence of what was not found is confirmed. AWS sometimes answers with an earlier state,
    /// and a stale "not found" must neither have something created nor, in Restore, deleted: it counts when
    /// another pass finds the same.
    pub fn is_absence_confirmed(&self, what: &str) -> bool {
        self.missing.get(what).is_some_and(|times| *times > 1)
    }

    /// Whether the alias was last read, or written by us, more than a minute before `began`.
    pub fn is_alias_old(&self, function: &str, began: Option<Timestamp>) -> bool {
        let at = self.at.get(&Item::Alias(function.to_owned()));
        let age = at.zip(began);
        age.is_some_and(|(at, began)| began.duration_since(*at) > CONFIRMED)
    }

    /// Whether `$LATEST`, as it is at that RevisionId, is what an update of this phase came to.
    pub fn has_updated(&self, function: &str, revision_id: &str) -> bool {
        let before = self.updated.get(function);
        before.is_some_and(|before| before != revision_id)
    }

    /// Whether Lambda was asked to wake the version a short while before `now`.
    pub fn is_waking(&self, function: &str, version: &str, now: Option<Timestamp>) -> bool {
        let key = (function.to_owned(), version.to_owned());
        let woken = self.woken.get(&key).zip(now);
        woken.is_some_and(|(at, now)| *at <= now && now.duration_since(*at) < WAKE_INTERVAL)
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

    /// What a reply says counts no more than a read that is still to come.
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
        // Lambda moves the weights of these by itself.
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

    fn found(&mut self, found: Found, now: Timestamp) -> IsAtWork {
        match found {
            Found::Function(name, function) => {
                let is_at_work = function.as_ref().is_some_and(|it| it.is_settling());
                self.found_function(name, function.map(|it| *it), now);
                is_at_work
            }
            Found::Version(name, version, found) => {
                let is_at_work = found.as_ref().is_some_and(|it| it.is_settling());
                self.found_version(name, version, found.map(|it| *it), now);
                is_at_work
            }
            Found::Alias(name, alias, found) => {
                self.found_alias(name, &alias, found, now);
                false
            }
            Found::Provisioned(name, found) => {
                let is_at_work = found.as_ref().is_some_and(|it| it.is_allocating);
                self.provisioned.insert(name, found);
                is_at_work
            }
            Found::Unqualified(name, callers) => {
                self.at.insert(Item::Unqualified(name.clone()), now);
                self.unqualified.insert(name, callers);
                false
            }
        }
    }

    /// An update that fails afterwards is its own.
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
    ) -> Noted {
        let name = function.to_owned();
        let mut noted = Noted::default();
        match reply {
            Reply::Package(digest, code) => {
                self.packages.insert(digest, code);
            }
            Reply::Published(version) => {
                let number = version.version.clone();
                self.published.insert(component.to_owned(), number.clone());
                noted.is_at_work = version.is_settling();
                self.found_version(name, number, Some(*version), now);
            }
            Reply::Created(_) | Reply::Updated(_) | Reply::Routed { .. } if verify => {
                self.forget_all_of(&name);
            }
            Reply::Created(function) => {
                noted.is_at_work = function.is_settling();
                self.found_function(name, Some(*function), now);
            }
            Reply::Updated(mut function) => {
                // Only GetFunction tells the tags, and no update changes them.
                if let Some(Some(before)) = self.functions.get(&name) {
                    function.tags.clone_from(&before.tags);
                }
                noted.is_at_work = function.is_settling();
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
                // What never wakes makes no progress by that.
                noted.is_no_progress = true;
            }
            // What was deleted is expected to be gone: one read is enough.
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

/// It is there, and AWS is not at work on it.
fn is_settled(function: Option<&Function>) -> bool {
    function.is_some_and(|function| {
        function.state == FunctionState::Active && function.last_update == LastUpdate::Successful
    })
}
