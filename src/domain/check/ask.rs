//! The checks of a run: when each is made, what it asks and what it comes to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{Verdict, metric::Served};

/// What a look at a stage's check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// May the run begin, with bakes of which the shortest is this long?
    Before {
        /// Zero where nothing is watched.
        bake: Duration,
    },
    /// Was all well since then?
    Since {
        /// When the run began.
        since: Timestamp,
        /// The versions that it tells apart.
        served: Option<ServedVersions>,
    },
}

/// A function's versions behind its alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedVersions {
    /// The function's name.
    pub function: String,
    /// The alias.
    pub alias: String,
    /// The new version.
    pub version: String,
    /// The one before, as long as both get traffic.
    pub previous: Option<String>,
}

impl ServedVersions {
    /// As metrics name the new one.
    pub fn new_version(&self) -> Served<'_> {
        self.of(&self.version)
    }

    /// As metrics name the one before.
    pub fn previous_version(&self) -> Option<Served<'_>> {
        self.previous.as_deref().map(|version| self.of(version))
    }

    fn of<'a>(&'a self, version: &'a str) -> Served<'a> {
        Served {
            function: &self.function,
            alias: &self.alias,
            version,
        }
    }
}

/// When a check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckPhase {
    /// On the version number, before it gets traffic.
    BeforeTraffic,
    /// On the version number, while it has a part of the traffic.
    DuringTraffic,
    /// Through the alias, once it has all traffic.
    AfterTraffic,
}

/// When in a run a check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Before, during or after the move.
    pub phase: CheckPhase,
    /// The level that is worked on.
    pub level: i64,
    /// The step of its traffic.
    pub step: i64,
    /// Which look at that step it is.
    pub round: i64,
}

/// A check of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckKey {
    /// The component.
    pub component: String,
    /// The check's name.
    pub check: String,
    /// When.
    pub moment: Moment,
}

/// What stands in the place of a component's name where the stage as a whole is meant: no
/// component can be called so.
pub const STAGE: &str = "(stage)";

impl CheckKey {
    /// Whether it is a check of the stage as a whole: an alarm, a metric or a URL.
    pub fn is_of_stage(&self) -> bool {
        self.component == STAGE
    }
}

/// The checks of a run, as far as this process remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    /// Those that have a verdict.
    pub verdicts: BTreeMap<CheckKey, Verdict>,
    /// Those whose invocations were under way when they were last asked about.
    pub running: BTreeSet<CheckKey>,
}
