//! Failures of calls to external systems.

use std::time::Duration;

/// A call that failed, or whose outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} on {resource}: {message}")]
pub struct CallError {
    /// The call, as its service names it: `lambda:UpdateFunctionCode`, `GET /projects/:id`.
    pub operation: String,
    /// The resource of the call, with the account or host where that is not obvious.
    pub resource: String,
    /// The kind of failure.
    pub kind: CallErrorKind,
    /// The service's own explanation, without secrets, and the remedy if one is known.
    pub message: String,
}

/// The kinds of failure that Sluice handles differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The resource, or one that it names, does not exist or is not visible to us.
    NotFound,
    /// A resource with that name already exists.
    AlreadyExists,
    /// An earlier call is still changing the resource (Lambda's `ResourceConflictException`).
    Busy,
    /// The resource has changed since it was read: RevisionId, If-Match or If-None-Match did not hold.
    Stale,
    /// The credentials are valid, but don't allow the call.
    Denied,
    /// The credentials are missing, expired or wrong.
    Unauthenticated,
    /// Too many calls.
    Throttled {
        /// When to retry, if the service says so.
        retry_after: Option<Duration>,
    },
    /// The call waited for a turn in our own budget, and was called off before it was sent.
    CalledOff,
    /// The service failed or can't be reached; the call had no effect.
    Unavailable,
    /// No answer came, so the outcome is unknown. Read back before repeating the call.
    Unknown,
    /// A role was created so recently that Lambda or CloudFormation can't assume it yet, or it doesn't trust the
    /// service.
    RoleNotAssumable,
    /// The service rejects the request as invalid.
    Invalid,
    /// The bytes are not the expected ones: cut off, longer than announced, or with another digest.
    Corrupt,
    /// The request or response exceeds a limit of ours or of the service; the message names it.
    TooLarge,
    /// The caller's account is not the configured one.
    WrongAccount,
}

impl CallErrorKind {
    /// The kind's name in metrics, from a closed set.
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
    /// An error from its parts.
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

    /// Whether the same call may succeed later without any change.
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
