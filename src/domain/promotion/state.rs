//! The states that a stage can be in, and the reason for a Release that ended in one.

use crate::domain::reason::Reason;

/// The state of a stage, as its status names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Progressing,
    Held,
    Succeeded,
    RollingBack,
    RolledBack,
    Failed,
    RollbackFailed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Progressing => "Progressing",
            Self::Held => "Held",
            Self::Succeeded => "Succeeded",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
            Self::RollbackFailed => "RollbackFailed",
        }
    }

    pub(super) fn is_moving(self) -> bool {
        matches!(self, Self::Progressing | Self::Held | Self::RollingBack)
    }

    pub(super) fn has_failed(self) -> bool {
        matches!(self, Self::Failed | Self::RolledBack | Self::RollbackFailed)
    }
}

/// The reason for a Release whose outcome in a stage is this state, other than `Succeeded`.
pub fn failure_reason(outcome: &str) -> Reason {
    // A state that is not a reason means that nothing was changed.
    Reason::parse(outcome).unwrap_or(Reason::DeliveryFailed)
}
