//! What the engine is asked, and what it answers.

use super::observation::{Effect, Read};
use crate::{
    api::v1alpha1::{DeletionPolicy, TargetStatus},
    domain::{desired::Desired, outcome::Outcome},
};

/// What the shell has to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Read these, add them to the observation, and ask again.
    Observe(Vec<Read>),
    /// Write this status, and ask again once the API server has it.
    Record(Box<TargetStatus>),
    /// Carry these out side by side, add what they say to the observation, and ask again.
    Execute(Vec<Effect>),
    /// Come back later.
    Wait(Outcome),
    /// Nothing more to do for this order.
    Rest(Outcome),
}

/// What is wanted of the Target.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// That the Release serves.
    Deliver(Desired),
    /// That what stood before the run serves again; why.
    Restore(String),
    /// That the status says what the Release would change.
    Plan(Desired),
    /// That what the Release no longer has goes, as the policy says.
    Prune(DeletionPolicy),
}
