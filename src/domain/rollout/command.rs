//! What people ask for once: retry, abort, promote, roll back.

use crate::api::v1alpha1::annotation;

/// A command that is carried out at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Try again what failed, or go on with what is held.
    Retry,
    /// Restore what stood before what is moving or held.
    Abort,
    /// Move the rest of the traffic now.
    Promote,
}

impl Command {
    /// The annotation that gives it.
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Retry => annotation::RETRY,
            Self::Abort => annotation::ABORT,
            Self::Promote => annotation::PROMOTE,
        }
    }

    /// Why it does nothing, where no stage has anything for it.
    pub(super) fn idle(self) -> &'static str {
        match self {
            Self::Retry => {
                "nothing to try again: nothing is held, and nothing failed last that no newer Release replaces"
            }
            Self::Abort => {
                "nothing to abort: no stage is moving or held; sluice.dev/rollback rolls back what serves"
            }
            Self::Promote => "nothing to promote: no stage is moving or held",
        }
    }
}

/// The commands that were given and not handled yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Try what failed again, or go on with what is held.
    pub retry: bool,
    /// Put back what is moving or held.
    pub abort: bool,
    /// Move all that is left of the traffic now.
    pub promote: bool,
    /// Take back what serves.
    pub rollback: Option<Back>,
}

/// A Release that is to be taken back wherever it is.
pub use crate::api::v1alpha1::RollbackStatus as Back;
