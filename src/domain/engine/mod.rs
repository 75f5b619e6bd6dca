//! The engine's decisions: what to do next on one Target.
//!
//! # Expected flow
//! The shell calls [`decide`] in a loop and does what it returns: read, record, execute or wait. A delivery
//! goes *snapshot → (Prepare → Promote) for each level → Succeeded*, and from any failure after Prepare
//! began *→ Restore → `RolledBack`*, or *→ Held* if a person is to decide. Each step covers all components of
//! a level: the engine promotes none before every one is prepared.
//!
//! # Guarantees
//! - The engine changes nothing before a snapshot is stored and the intents are in the Target's status.
//! - No change is blind: each follows from a read of the same pass or from the reply to Sluice's own last
//!   write, and carries the RevisionId it was decided from.
//! - A step is decided from the observed state, not from the calls made: after a crash the same function
//!   finds out how far the run got.
//!
//! # Assumptions
//! Only one process executes decisions for a Target (by a Lease, and by RevisionIds in AWS).
//!
//! # Errors
//! Failed calls come in as observations. The engine waits for transient ones until `progressDeadline`; all
//! others fail the step, which leads to Restore or Held.

mod analysis;
mod begin;
mod clocks;
mod decide;
mod decision;
mod drift;
mod garbage;
mod inputs;
mod observation;
mod plan;
mod poll;
mod prepare;
mod propose;
mod prune;
mod record;
mod removal;
mod restore;
mod rollout;
mod step;
mod urgency;
mod wave;

#[cfg(test)]
mod tests;

pub use self::{
    clocks::Clocks,
    decide::{decide, effective, fail_blocked, is_held, planned, settled},
    decision::{Decision, Task},
    drift::{DriftCheck, decide_drift, inconclusive_drift, stop_drift_checks},
    garbage::{Needed, decide_garbage_collection, garbage},
    observation::{
        Action, Effect, Found, Known, Observation, Read, Reply, refused_effect, refused_read,
    },
    propose::open_releases,
    removal::{decide_removal, deleted_on_removal},
    restore::DEFAULT_DEADLINE,
    step::{JOURNAL_VERSION, Step, ended, is_same_run, outcome, summary},
    urgency::{urgency, urgency_of_removal},
};
