//! How calls to the outside fail.

use std::time::Duration;

/// A call that did not do what it should, or of which that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} on {resource}: {message}")]
pub struct CallError {
    /// The call in its service's words: `lambda:UpdateFunctionCode`, `GET /projects/:id`.
    pub operation: String,
    /// What it was made on, with the account or host where that is not obvious.
    pub resource: String,
    /// What kind of failure it is.
    pub kind: CallErrorKind,
    /// The service's own explanation, without secrets, and the way out where one is known.
    pub message: String,
}

/// The kinds of failure that are answered differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The thing, or something it names, does not exist or is not visible to us.
    NotFound,
    /// A thing of that name exists already.
    AlreadyExists,
    /// The thing is being changed by an earlier call (Lambda's `ResourceConflictException`).
    Busy,
    /// The thing changed since we looked: RevisionId, If-Match or If-None-Match did not hold.
    Stale,
    /// The credentials are good, but not for this.
    Denied,
    /// The credentials are missing, expired or wrong.
    Unauthenticated,
    /// Too many calls.
    Throttled {
        /// When to come back, where the service says so.
        retry_after: Option<Duration>,
    },
    /// It waited for a turn in our own budget, and was called off before it was sent.
    CalledOff,
    /// The service failed or can't be reached; the call had no effect.
    Unavailable,
    /// No answer came: the call may have had its effect. Read back before repeating.
    Unknown,
    /// A role was made so recently that Lambda can't assume it yet, or it doesn't trust Lambda.
    RoleNotAssumable,
    /// The service refuses the request as it is.
    Invalid,
    /// The bytes are not what was promised: cut off, longer than declared, another digest.
    Corrupt,
    /// More than a limit of ours or of the service; the message names it.
    TooLarge,
    /// The caller is not who the configuration says.
    WrongAccount,
}

impl CallErrorKind {
    /// The kind's name where failures are counted: one of a closed set.
    pub fn class(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Busy => "busy",
            Self::Stale => "stale",
            Self::Denied => "denied",
            Self::Unauthenticated => "unauthenticated",
            Self::Throttled { .. } => "throttled",
            Self::CalledOff => "called_off",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::RoleNotAssumable => "role_not_assumable",
            Self::Invalid => "invalid",
            Self::Corrupt => "corrupt",
            Self::TooLarge => "too_large",
            Self::WrongAccount => "wrong_account",
        }
    }
}

impl CallError {
    /// Puts the parts together.
    pub fn new(
        operation: impl Into<String>,
        resource: impl Into<String>,
        kind: CallErrorKind,
        message: impl Into<String>,
    ) -> Self {
        Self {
            operation: operation.into(),
            resource: resource.into(),
            kind,
            message: message.into(),
        }
    }

    /// Whether the same call may succeed later with nobody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            CallErrorKind::Busy
                | CallErrorKind::Stale
                | CallErrorKind::Throttled { .. }
                | CallErrorKind::CalledOff
                | CallErrorKind::Unavailable
                | CallErrorKind::Unknown
                | CallErrorKind::RoleNotAssumable
                | CallErrorKind::Corrupt
        )
    }
}
