//! The input of the engine, an [`Task`], and its output, a [`Decision`].

use super::observation::{Effect, Read};
use crate::{
    api::v1alpha1::{DeletionPolicy, TargetStatus},
    domain::{desired::Desired, outcome::Outcome},
};

/// The next task of the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Read these, add the results to the observation, and decide again.
    Observe(Vec<Read>),
    /// Write this status, and decide again once the API server has it.
    Record(Box<TargetStatus>),
    /// Execute these in parallel, add the replies to the observation, and decide again.
    Execute(Vec<Effect>),
    /// Come back later.
    Wait(Outcome),
    /// Nothing is left to do for this run.
    Rest(Outcome),
}

/// What a run asks of the Target.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Make the Release serve.
    Deliver(Desired),
    /// Restore the snapshot of the run, for this reason.
    Restore(String),
    /// Record in the status what the Release would change.
    Plan(Desired),
    /// Prune what the Release no longer has, as the policy says.
    Prune(DeletionPolicy),
}
