//! What was read stays known from one pass of a run to the next.
//!
//! A pass that lost one of a hundred reads needs that one again, not all; and looking at what has not
//! settled needs no look at what has.
//!
//! # Guarantees
//! - What AWS is at work on, and what was not found, is read again in each pass; so is what a call of ours
//!   failed on, because that is forgotten at once.
//! - Nothing is kept for longer than [`FRESH`] after it was read, or after AWS answered our own write with
//!   it: what somebody else changes comes out then, or earlier, because writes carry a RevisionId; and
//!   before a run has succeeded, because every alias that was read long ago is read once more.
//! - After taking over a run nothing is kept until its second look.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::observation::{Known, Observation};
use crate::domain::function::{Alias, Function, FunctionState, LastUpdate, ProvisionedConcurrency};

/// How long what was read may serve: a thousand aliases are read in a bit more than a minute.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// What a run ends with was seen this shortly before.
const CONFIRMED: SignedDuration = SignedDuration::from_mins(1);

/// Something that is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Function(String),
    Version(String, String),
    Alias(String),
    Unqualified(String),
}

/// When things were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    now: Timestamp,
    at: BTreeMap<Item, Timestamp>,
}

/// What was read in earlier passes, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    functions: BTreeMap<String, Option<Function>>,
    versions: BTreeMap<(String, String), Option<Function>>,
    aliases: BTreeMap<String, Option<Alias>>,
    provisioned: BTreeMap<String, Option<ProvisionedConcurrency>>,
    unqualified: BTreeMap<String, Vec<String>>,
    at: BTreeMap<Item, Timestamp>,
}

impl Times {
    /// What is noted from here on was read at `now`.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.now = now;
    }

    pub(super) fn note(&mut self, item: Item) {
        self.at.insert(item, self.now);
    }
}

impl Observation {
    /// What is taken in from here on was read at `now`.
    pub fn at(&mut self, now: Timestamp) {
        self.times.begin(now);
    }

    /// Takes in who invokes a function without naming a version or alias.
    pub fn saw_unqualified(&mut self, name: String, callers: Vec<String>) {
        self.times.note(Item::Unqualified(name.clone()));
        self.unqualified.insert(name, callers);
    }

    /// Whether the alias was last read, or written by us, more than a minute before this pass.
    pub(super) fn is_alias_old(&self, function: &str) -> bool {
        let at = self.times.at.get(&Item::Alias(function.to_owned()));
        let age = at.zip(self.known.looked_at);
        age.is_some_and(|(at, looked)| looked.duration_since(*at) > CONFIRMED)
    }

    /// The pass is over: what serves the next one as well.
    pub fn into_known(mut self) -> Known {
        self.note_errors();
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
        self.cut_off()
    }

    /// The pass was broken off while calls waited: the next one goes on with all that it read.
    pub fn cut_off(self) -> Known {
        let mut known = self.known;
        // It was looked at until now, however long that took.
        known.looked_at = known.looked_at.max(Some(self.times.now));
        // What a predecessor left is to be looked at twice.
        if known.hold_until.is_some_and(|until| until > self.times.now) {
            return known;
        }
        known.kept = Kept {
            functions: self.functions,
            versions: self.versions,
            aliases: self.aliases,
            provisioned: self.provisioned,
            unqualified: self.unqualified,
            at: self.times.at,
        };
        known
    }

    /// Goes on with what the passes before have read, as long as it is fresh.
    pub(super) fn take_up(&mut self, now: Timestamp) {
        self.times.begin(now);
        let mut kept = std::mem::take(&mut self.known.kept);
        kept.at.retain(|_, at| {
            let age = now.duration_since(*at);
            !age.is_negative() && age < FRESH
        });
        let is = |item: &Item| kept.at.contains_key(item);
        kept.functions
            .retain(|name, _| is(&Item::Function(name.clone())));
        kept.versions
            .retain(|(name, version), _| is(&Item::Version(name.clone(), version.clone())));
        kept.aliases
            .retain(|name, _| is(&Item::Alias(name.clone())));
        kept.provisioned
            .retain(|name, _| is(&Item::Alias(name.clone())));
        kept.unqualified
            .retain(|name, _| is(&Item::Unqualified(name.clone())));
        self.last.functions.clone_from(&kept.functions);
        self.last.aliases.clone_from(&kept.aliases);
        self.functions = kept.functions;
        self.versions = kept.versions;
        self.aliases = kept.aliases;
        self.provisioned = kept.provisioned;
        self.unqualified = kept.unqualified;
        self.times.at = kept.at;
    }
}

/// It is there, and AWS is not at work on it.
fn is_settled(function: Option<&Function>) -> bool {
    function.is_some_and(|function| {
        function.state == FunctionState::Active && function.last_update == LastUpdate::Successful
    })
}
