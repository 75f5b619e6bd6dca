//! Gates, as the order of stages sees them: is there one, and may this plan pass?

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

/// Who keeps the gates.
pub trait Gatekeeper {
    /// Whether anything is asked for before this Release is let into the stage.
    fn asks(&self, entry: &Entry<'_>) -> Asks;

    /// Whether this plan may pass.
    fn ask(&self, ask: &Ask<'_>) -> Evaluated;
}

/// A Release on its way into a stage.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The Release, with the places that it writes.
    pub release: &'a ReleaseView,
    /// How it gets there.
    pub way: Way,
}

/// Whether anything is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nothing: it may go on.
    Nothing,
    /// There is a gate: a plan has to be made first.
    Something,
    /// It is not let in, whatever its plan.
    Refused(Refusal),
}

/// What is asked of a gatekeeper.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The Release and its way.
    pub entry: Entry<'a>,
    /// Which try it would be.
    pub attempt: i64,
    /// Digest of the stage's plan.
    pub digest: &'a str,
    /// Whether the plan deletes something that the Release no longer has.
    pub deletes: bool,
}

/// What a gatekeeper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Open(GatePassage),
    /// Not yet.
    Waiting {
        /// CamelCase, for programs.
        reason: Reason,
        /// For people.
        message: String,
        /// What was seen of the manual jobs.
        manual_jobs: Vec<ManualJobStatus>,
        /// When time alone may open it, at the earliest.
        until: Option<Timestamp>,
    },
    /// It is not let in, whatever its plan.
    Refused(Refusal),
    /// Never: the Release ends here, and why.
    Rejected(String),
}

/// An answer, with what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// Whether the plan may pass.
    pub answer: Answer,
    /// The Approvals that were considered, each judged for this plan.
    pub judged: Vec<Judged>,
    /// What was not read yet, and may change the answer.
    pub unread: BTreeSet<Unread>,
}

/// An Approval, judged for one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Uid of the Approval.
    pub approval: String,
    /// Whether it names the stage that the plan is for.
    pub names_stage: bool,
    /// Whether it counts for the plan.
    pub judgement: Judgement,
}

/// What a gate needs to know and the shell has not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// Whether the admission policy is in force.
    AdmissionPolicy,
    /// GitLab's manual jobs and freeze periods.
    GitLab,
}

impl From<Answer> for Evaluated {
    /// An answer that rests on no Approval, and needs nothing more to be read.
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            judged: Vec::new(),
            unread: BTreeSet::new(),
        }
    }
}

/// No stage has a gate.
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
    /// When time alone may open it, at the earliest.
    pub until: Option<Timestamp>,
    /// It is not let in before somebody changes something.
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

/// How a Release ends in a stage that was not let into it.
pub const REJECTED: &str = "Rejected";

/// The digest of a stage's plan: over the plans of its Targets, whatever their order.
pub fn stage_digest(plans: &[(StageTarget, String)]) -> String {
    let mut sorted: Vec<_> = plans
        .iter()
        .map(|(place, digest)| (&place.account, &place.region, digest))
        .collect();
    sorted.sort();
    Sha256::of_json(&sorted).to_string()
}
