//! One-time commands of users: retry, abort, promote, roll back.

use crate::api::v1alpha1::{RollbackStatus, annotation};

/// A command that takes effect immediately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Retry a failed stage, or continue a held one.
    Retry,
    /// Restore the state before a stage that is in progress or held.
    Abort,
    /// Move all remaining traffic now.
    Promote,
}

impl Command {
    /// The annotation for this command.
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Retry => annotation::RETRY,
            Self::Abort => annotation::ABORT,
            Self::Promote => annotation::PROMOTE,
        }
    }

    /// Why it has no effect, if it applies to no stage.
    pub(super) fn idle(self) -> &'static str {
        match self {
            Self::Retry => {
                "nothing to retry: no stage is held, and every failed stage has a newer Release to deliver"
            }
            Self::Abort => {
                "nothing to abort: no stage is in progress or held; set sluice.dev/rollback to roll back a live Release"
            }
            Self::Promote => "nothing to promote: no stage is in progress or held",
        }
    }
}

/// The commands that were given and not handled yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Retry failed stages, or continue held ones.
    pub retry: bool,
    /// Restore stages that are in progress or held.
    pub abort: bool,
    /// Move all remaining traffic now.
    pub promote: bool,
    /// Roll back a live Release.
    pub rollback: Option<RollbackStatus>,
}
