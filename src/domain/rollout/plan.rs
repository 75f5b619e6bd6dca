//! What is to be written next, and what is to be told.

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
    /// Whether a gate was passed: that has to be on record before the runs are assigned.
    pub passes_gate: bool,
    /// What became of the Approvals that gates considered, by uid.
    pub judgements: BTreeMap<String, Judgement>,
    /// What gates need to know and was not read yet: a plan made with it may say something else.
    pub unread: BTreeSet<Unread>,
    /// Whether the rollback by command is still under way.
    pub is_rolling_back: bool,
    /// Plans that Targets, which may not exist yet, are asked for.
    pub plan_requests: Vec<(String, StageTarget, ReleaseRef)>,
    /// Targets that no Release names any more.
    pub removed_targets: Vec<(String, StageTarget)>,
    /// Each stage's state.
    pub stages: Vec<StageStatus>,
    /// How the delivery stands.
    pub outcome: Outcome,
    /// Whether good Releases serve, and where none does.
    pub availability: Availability,
    /// What keeps the Release that is wanted from serving everywhere; none where it does.
    pub undelivered: Option<String>,
    /// What the commands came to.
    pub answers: Vec<Answered>,
    /// `dev=r3 prod=r2`.
    pub live: String,
    /// Whether AWS still is as it was left, where somebody looked.
    pub drift: Option<DriftReport>,
    /// When there is something to correct, at the latest.
    pub correction_at: Option<Timestamp>,
    /// When time alone may open a gate, at the earliest.
    pub gate_opens_at: Option<Timestamp>,
}

/// Whether good Releases serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// A good Release serves, and every stage in which a delivery has ended serves one.
    pub is_available: bool,
    /// For people: what serves where, and where nothing does.
    pub message: String,
}

impl Plan {
    /// Whether something was decided that has to be on record before any run is assigned.
    pub fn has_decided(&self) -> bool {
        self.passes_gate || self.stages.iter().any(|stage| stage.decided.is_some())
    }
}
