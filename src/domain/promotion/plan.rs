//! The result of planning: what to write next, and what to report.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{answers::Answered, drift::DriftReport, gate::Unread};
use crate::{
    api::v1alpha1::{ReleaseRef, Run, StageOutcome, StageStatus, StageTarget},
    domain::{gates::Judgement, outcome::Outcome},
};

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Outcomes to add to Releases, before any run is assigned.
    pub outcomes: Vec<(ReleaseRef, StageOutcome)>,
    /// Runs to assign to Targets, which may not exist yet.
    pub runs: Vec<(String, StageTarget, Run)>,
    /// Whether a gate was passed, which has to be recorded before the runs are assigned.
    pub passes_gate: bool,
    /// The judgements of the Approvals that gates considered, by uid.
    pub judgements: BTreeMap<String, Judgement>,
    /// State that gates need and that has not been read yet. A plan made with it may differ.
    pub unread: BTreeSet<Unread>,
    /// Whether the rollback by command is still in progress.
    pub is_rolling_back: bool,
    /// Plans to request from Targets, which may not exist yet.
    pub plan_requests: Vec<(String, StageTarget, ReleaseRef)>,
    /// Targets that no Release names any longer.
    pub removed_targets: Vec<(String, StageTarget)>,
    /// The state of each stage.
    pub stages: Vec<StageStatus>,
    /// The state of the delivery as a whole.
    pub outcome: Outcome,
    /// Whether good Releases serve, and which stages serve none.
    pub availability: Availability,
    /// Why the wanted Release does not serve in every stage yet; `None` if it does.
    pub undelivered: Option<String>,
    /// The results of the commands.
    pub answers: Vec<Answered>,
    /// The live Releases, such as `dev=r3 prod=r2`.
    pub live: String,
    /// The drift of all Targets; `None` if none has checked yet.
    pub drift: Option<DriftReport>,
    /// When the next correction is due.
    pub correction_at: Option<Timestamp>,
    /// The earliest time at which a gate may open without a further event.
    pub gate_opens_at: Option<Timestamp>,
}

/// Whether good Releases serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// A good Release serves, no rollback has failed, and no failed stage is without a live Release.
    pub is_available: bool,
    /// For people: the live Release of each stage, and the stages without one.
    pub message: String,
}

impl Plan {
    /// Whether the plan contains a decision that has to be recorded before any run is assigned.
    pub fn has_decided(&self) -> bool {
        self.passes_gate || self.stages.iter().any(|stage| stage.decided.is_some())
    }
}
