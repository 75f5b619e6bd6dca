//! Whether a stage may start, and what it waits for.

use jiff::Timestamp;

use super::{freeze::Freeze, manual_job::Job, requirements::Asker};
use crate::api::v1alpha1::GatePassage;

/// Whether a stage may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may, with these: they are used up by it.
    Open(GatePassage),
    /// Not yet.
    Waiting {
        /// What is missing, all of it. Never empty.
        reasons: Vec<Waiting>,
        /// Which Approvals do not count and why not, newest first.
        notes: Vec<String>,
        /// When time alone may change that, at the earliest.
        until: Option<Timestamp>,
    },
    /// The Release ends here.
    Rejected {
        /// Name of the Approval that says so.
        approval: String,
        /// Its uid.
        approval_uid: String,
        /// Who rejected it.
        by: String,
        /// Why.
        comment: Option<String>,
    },
}

/// What a stage waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Approvals are asked for, and none can count.
    PolicyNotInForce {
        /// Why not.
        why: String,
    },
    /// More people have to approve.
    Approvals {
        /// Who asks.
        asker: Asker,
        /// How many have.
        have: usize,
        /// How many have to.
        need: usize,
        /// Whose approval counts: `bea or a member of shop-approvers`.
        from: String,
    },
    /// A manual job has to be started, to end, or to be run again.
    ManualJob {
        /// The job's name.
        job: String,
        /// How it stands; `None` where it was not looked at yet.
        stands: Option<Job>,
    },
    /// No window is open.
    Window {
        /// Who asks.
        asker: Asker,
        /// When the next one opens.
        opens: Option<Timestamp>,
    },
    /// A freeze period is in force, or can't be read.
    Freeze(Freeze),
    /// The freeze periods are not known.
    FreezeUnknown {
        /// Why not.
        why: String,
    },
}
