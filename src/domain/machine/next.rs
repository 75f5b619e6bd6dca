//! What comes next for one component, whatever its kind.

use super::observation::{Effect, Observation, Read};
use crate::{
    api::v1alpha1::{Run, TargetStatus},
    domain::{
        failure::{CallError, CallErrorKind},
        outcome::Outcome,
        ownership::Owner,
    },
};

/// What comes next for one component.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This has to be known first.
    Read(Read),
    /// This has to be done.
    Act(Effect),
    /// It settles by itself: AWS is at work, or another pass tells. Waited for until the deadline, in
    /// which time that AWS was seen at work does not count.
    Wait(String),
    /// An invocation is under way: it ends by the check's own timeout.
    Running(String),
    /// On the way back: it can't go on unless something else changes, which is waited for until the
    /// deadline. Nothing else is held up by it.
    Stuck(String),
    /// A check can't be told yet; why.
    NotYet(String),
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

/// Waits until an error has passed. Elsewhere some of those that may pass are left to a person: here
/// something is half done, so that it is looked at again soon.
pub(super) fn wait_for(error: &CallError) -> Outcome {
    match Outcome::from(error.clone()) {
        Outcome::Stalled { reason, message } if may_pass(error) => Outcome::Transient {
            reason,
            message,
            after: None,
        },
        outcome => outcome,
    }
}

/// Whether waiting may help. Credentials that ran out in the middle do come back.
pub(super) fn may_pass(error: &CallError) -> bool {
    error.is_transient()
        || matches!(
            error.kind,
            CallErrorKind::Unauthenticated | CallErrorKind::AlreadyExists
        )
}
