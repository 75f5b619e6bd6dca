//! Gates, as promotion sees them: does the stage have one, and does this plan pass it?

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::overview::ReleaseView;
use crate::{
    api::v1alpha1::{GatePassage, ManualJobStatus, ReleaseRef, StageTarget},
    domain::{
        digest::Sha256,
        gates::{
            Judgement,
            entry::{Refusal, Way},
        },
        reason::Reason,
    },
};

/// Decides about the gates of stages.
pub trait Gatekeeper {
    /// Whether the stage requires anything before it gets this Release.
    fn asks(&self, entry: &Entry<'_>) -> Asks;

    /// Whether this plan passes the gate.
    fn ask(&self, ask: &Ask<'_>) -> Evaluated;
}

/// A Release that is about to enter a stage.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The Release, with the targets that it changes.
    pub release: &'a ReleaseView,
    /// How it enters the stage.
    pub way: Way,
}

/// Whether a stage requires anything before it gets a Release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// No: the stage gets the Release at once.
    Nothing,
    /// A gate, which needs a plan.
    Something,
    /// The stage does not accept the Release, whatever its plan.
    Refused(Refusal),
}

/// A plan in front of a gate.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The Release and how it enters the stage.
    pub entry: Entry<'a>,
    /// The attempt that would begin.
    pub attempt: i64,
    /// Digest of the stage's plan.
    pub digest: &'a str,
    /// Whether the plan deletes resources that the Release no longer has.
    pub deletes: bool,
}

/// The answer of a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The plan passes.
    Open(GatePassage),
    /// The plan does not pass yet.
    Waiting {
        /// CamelCase, for programs.
        reason: Reason,
        /// For people.
        message: String,
        /// The manual jobs, as last observed.
        manual_jobs: Vec<ManualJobStatus>,
        /// The earliest time at which the gate may open without a further event.
        until: Option<Timestamp>,
    },
    /// The stage does not accept the Release, whatever its plan.
    Refused(Refusal),
    /// The Release was rejected, and why.
    Rejected(String),
}

/// An answer, with its basis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// Whether the plan passes.
    pub answer: Answer,
    /// The Approvals that were considered, each judged for this plan.
    pub judged: Vec<Judged>,
    /// What has not been read yet and may change the answer.
    pub unread: BTreeSet<Unread>,
}

/// An Approval, judged for one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The uid of the Approval.
    pub approval: String,
    /// Whether the Approval names the stage of the plan.
    pub names_stage: bool,
    /// Whether it counts for the plan.
    pub judgement: Judgement,
}

/// State that a gate needs and the controller has not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// Whether the admission policy is in force.
    AdmissionPolicy,
    /// GitLab's manual jobs and freeze periods.
    GitLab,
}

impl From<Answer> for Evaluated {
    /// An answer that depends on no Approval and on no unread state.
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            judged: Vec::new(),
            unread: BTreeSet::new(),
        }
    }
}

/// A gatekeeper without any gates.
#[cfg(test)]
pub struct NoGates;

#[cfg(test)]
impl Gatekeeper for NoGates {
    fn asks(&self, _: &Entry<'_>) -> Asks {
        Asks::Nothing
    }

    fn ask(&self, _: &Ask<'_>) -> Evaluated {
        Answer::Open(GatePassage::default()).into()
    }
}

/// A Release in front of a gate.
#[derive(Clone, Debug)]
pub struct AtGate {
    pub release: ReleaseRef,
    pub attempt: i64,
    pub digest: Option<String>,
    pub reason: Reason,
    pub message: String,
    pub manual_jobs: Vec<ManualJobStatus>,
    /// The earliest time at which the gate may open without a further event.
    pub until: Option<Timestamp>,
    /// The stage refuses it until a user changes something.
    pub refused: bool,
}

impl AtGate {
    pub(super) fn of(release: &ReleaseRef, attempt: i64, reason: Reason, message: String) -> Self {
        Self {
            release: release.clone(),
            attempt,
            digest: None,
            reason,
            message,
            manual_jobs: Vec::new(),
            until: None,
            refused: false,
        }
    }

    pub(super) fn refused(release: &ReleaseRef, attempt: i64, refusal: Refusal) -> Self {
        Self {
            refused: true,
            ..Self::of(release, attempt, refusal.reason, refusal.message)
        }
    }
}

/// The outcome of a Release that was rejected before it entered the stage.
pub const REJECTED: &str = "Rejected";

/// The digest of a stage's plan: over the plans of its Targets, in any order.
pub fn stage_digest(plans: &[(StageTarget, String)]) -> String {
    let mut sorted: Vec<_> = plans
        .iter()
        .map(|(stage_target, digest)| (&stage_target.account, &stage_target.region, digest))
        .collect();
    sorted.sort();
    Sha256::of_json(&sorted).to_string()
}
