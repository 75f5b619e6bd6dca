//! The checks of a run: when each is made, its question and its verdict.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{Verdict, metric::Served};

/// The question of an analysis to a stage's check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// May the run begin, if its shortest bake is this long?
    Before {
        /// Zero without a bake.
        bake: Duration,
    },
    /// Has the check held since then?
    Since {
        /// When the run began.
        since: Timestamp,
        /// The versions that the check distinguishes.
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
    /// The previous version, as long as both get traffic.
    pub previous: Option<String>,
}

impl ServedVersions {
    /// The new version, for queries of metrics.
    pub fn new_version(&self) -> Served<'_> {
        self.of(&self.version)
    }

    /// The previous version, for queries of metrics.
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

/// The phase in which a check is made.
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
    /// The current level of components.
    pub level: i64,
    /// The step of the level's traffic.
    pub step: i64,
    /// The number of the analysis in that step.
    pub round: i64,
}

/// A check of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckKey {
    /// The component.
    pub component: String,
    /// The check's name.
    pub check: String,
    /// When the check is made.
    pub moment: Moment,
}

/// Replaces the component's name in checks of the stage as a whole. No component can have this name.
pub const STAGE: &str = "(stage)";

impl CheckKey {
    /// Whether this is a check of the stage as a whole: an alarm, a metric or a URL.
    pub fn is_of_stage(&self) -> bool {
        self.component == STAGE
    }
}

/// The checks of a run, as far as this process remembers them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    /// The checks that have a verdict.
    pub verdicts: BTreeMap<CheckKey, Verdict>,
    /// The checks whose invocations were in progress at the last query.
    pub running: BTreeSet<CheckKey>,
}
