//! Whether a stage may start, and what it waits for.

use jiff::Timestamp;

use super::{freeze::Freeze, manual_job::Job, requirements::Asker};
use crate::api::v1alpha1::GatePassage;

/// Whether a stage may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may; the Approvals are used by that.
    Open(GatePassage),
    /// It has to wait.
    Waiting {
        /// Every missing requirement; never empty.
        reasons: Vec<Waiting>,
        /// The Approvals that do not count and why, newest first.
        notes: Vec<String>,
        /// The earliest time at which this may change without a further event.
        until: Option<Timestamp>,
    },
    /// The Release was rejected.
    Rejected {
        /// The name of the rejecting Approval.
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
    /// Approvals are required, and none can count.
    PolicyNotInForce {
        /// Why not.
        why: String,
    },
    /// More people have to approve.
    Approvals {
        /// Who requires it.
        asker: Asker,
        /// How many people have approved.
        have: usize,
        /// How many people have to approve.
        need: usize,
        /// Whose approval counts, such as `bea or a member of shop-approvers`.
        from: String,
    },
    /// A manual job has to be started, to end, or to be run again.
    ManualJob {
        /// The job's name.
        job: String,
        /// Its state; `None` if it has not been read yet.
        stands: Option<Job>,
    },
    /// No window is open.
    Window {
        /// Who requires it.
        asker: Asker,
        /// When the next one opens.
        opens: Option<Timestamp>,
    },
    /// A freeze period is in force or unreadable.
    Freeze(Freeze),
    /// The freeze periods are unknown.
    FreezeUnknown {
        /// Why not.
        why: String,
    },
}
