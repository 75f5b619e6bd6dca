//! The engine's decisions: what to do next on one Target.
//!
//! # Expected flow
//! The shell asks [`decide`] again and again, and does what it says: read something, record
//! something, carry something out, wait. A delivery goes
//! *snapshot → (Prepare → Promote) for each level → Succeeded*, and from any failure after Prepare began
//! *→ Restore → `RolledBack`*, or *→ Held* where somebody wants to decide. Each step is over all
//! components of a level: none is promoted before every one is prepared.
//!
//! # Guarantees
//! - Nothing is changed before a snapshot is stored and the changes stand in the Target's status.
//! - No change is made blindly: each follows from a read of the same pass or from the reply to our own
//!   last write, and carries the RevisionId it was decided from.
//! - A step is decided from what is there, not from what was done: after a crash the same function
//!   finds out how far things got.
//!
//! # Assumptions
//! Only one process carries out decisions for a Target (a Lease, and the RevisionIds at the far end).
//!
//! # Errors
//! Failures of calls come in as observations. Those that may pass are waited out until
//! `progressDeadline`; all others end the step and start Restore.

mod begin;
mod clocks;
mod collect;
mod decide;
mod decision;
mod drift;
mod observation;
mod plan;
mod poll;
mod prepare;
mod prune;
mod record;
mod removal;
mod restore;
mod scene;
mod step;
mod traffic;
mod urgency;
mod watch;

#[cfg(test)]
mod tests;

pub use self::{
    clocks::Clocks,
    collect::{decide_garbage_collection, garbage},
    decide::{decide, effective, give_up, is_held, planned, same_run, settled},
    decision::{Decision, Order},
    drift::{DriftCheck, decide_drift, inconclusive_drift, stop_drift_checks},
    observation::{
        Action, Effect, Found, Known, Observation, Read, Reply, refused_effect, refused_read,
    },
    removal::{decide_removal, deleted_at_end},
    restore::DEFAULT_DEADLINE,
    step::{JOURNAL_VERSION, Step, ended, outcome, summary},
    urgency::{urgency, urgency_of_removal},
};
