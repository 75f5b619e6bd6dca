//! What comes next for one component, whatever its kind.

use super::observation::{Effect, Observation, Read};
use crate::{
    api::v1alpha1::{Run, TargetStatus},
    domain::ownership::Owner,
};

/// What comes next for one component.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This has to be known first.
    Read(Read),
    /// This has to be done.
    Act(Effect),
    /// AWS is at work.
    Wait(String),
    /// The step is complete for this component.
    Ready,
    /// The step can't be completed.
    Fail(String),
}

/// What a decision about a component is made from, besides what is wanted.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Whose it must be.
    pub owner: &'a Owner,
    /// The order.
    pub run: &'a Run,
    /// What is on record.
    pub status: &'a TargetStatus,
    /// What was seen.
    pub seen: &'a Observation,
    /// The level that is worked on.
    pub level: i64,
}
