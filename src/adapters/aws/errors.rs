//! From the SDK's errors to [`CallError`]: one function for all services.
//!
//! What decides is the error's code, by the table in [`codes`], then its message, then the HTTP status. It
//! relies on the services' documented codes and, where several failures share a code (Lambda's
//! `InvalidParameterValueException`), on the wording of their messages.

use std::{error::Error, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

mod codes;

use self::codes::{Says, says};
use super::fence::NotLeading;
use crate::ports::{CallError, CallErrorKind};

/// Whether a call changes anything: decides what a missing answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Read,
    Write,
}

/// A call, for its error.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) resource: String,
    pub(super) effect: Effect,
}

impl Call {
    pub(super) fn read(operation: &'static str, resource: impl Into<String>) -> Self {
        Self {
            operation,
            resource: resource.into(),
            effect: Effect::Read,
        }
    }

    pub(super) fn write(operation: &'static str, resource: impl Into<String>) -> Self {
        Self {
            effect: Effect::Write,
            ..Self::read(operation, resource)
        }
    }

    /// An error of this call that does not come from the SDK.
    pub(super) fn error(&self, kind: CallErrorKind, message: impl Into<String>) -> CallError {
        CallError::new(self.operation, self.resource.clone(), kind, message)
    }

    /// The answer can't be used: a write may have happened all the same.
    pub(super) fn unusable(&self, message: impl Into<String>) -> CallError {
        self.error(unanswered(self.effect, true), message)
    }

    /// An error of one of the things that this call was about, as the answer words it.
    pub(super) fn refused(&self, code: &str, message: &str) -> CallError {
        let error = aws_smithy_types::error::ErrorMetadata::builder()
            .code(code)
            .message(message)
            .build();
        let (kind, message) = answered(self.effect, &error, 400, None);
        self.error(kind, message)
    }

    /// An error of this call that the SDK reports.
    pub(super) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> CallError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let shown: &(dyn Error + 'static) = error;
        if let Some(why) = chain(shown).find_map(|cause| cause.downcast_ref::<NotLeading>()) {
            return self.error(CallErrorKind::Unavailable, why.to_string());
        }
        if let Some(error) = from_credentials(self, shown) {
            return error;
        }
        let (kind, message) = match error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let retry_after = retry_after(answer.raw().headers().get("retry-after"));
                answered(self.effect, answer.err().meta(), status, retry_after)
            }
            SdkError::ResponseError(answer) => {
                let status = answer.raw().status().as_u16();
                (
                    unanswered(self.effect, true),
                    format!(
                        "the answer (status {status}) is not AWS's: {}",
                        causes(shown)
                    ),
                )
            }
            SdkError::ConstructionFailure(_) => (CallErrorKind::Invalid, causes(shown)),
            _ => {
                let causes = causes(shown);
                (unanswered(self.effect, !never_connected(&causes)), causes)
            }
        };
        self.error(kind, message)
    }
}

/// What an error answer means.
fn answered(
    effect: Effect,
    error: &aws_smithy_types::error::ErrorMetadata,
    status: u16,
    retry_after: Option<Duration>,
) -> (CallErrorKind, String) {
    let code = error.code().unwrap_or_default();
    let message = error.message().unwrap_or_default();
    let kind = match classify(effect, code, message, status) {
        CallErrorKind::Throttled { .. } => CallErrorKind::Throttled { retry_after },
        kind => kind,
    };
    let mut text = match (code, message) {
        ("", "") => format!("status {status} without an explanation"),
        ("", message) => format!("{message} (status {status})"),
        (code, "") => format!("{code} (status {status})"),
        (code, message) => format!("{message} ({code})"),
    };
    if let Some(way_out) = way_out(&kind, code, message) {
        text.push_str(": ");
        text.push_str(way_out);
    }
    (kind, text)
}

/// What kind of failure an error answer reports. Pure.
fn classify(effect: Effect, code: &str, message: &str, status: u16) -> CallErrorKind {
    use CallErrorKind as Kind;
    let Some(says) = says(code) else {
        // Codes of other services reach us through these: Lambda names what S3 or KMS said.
        return match code {
            _ if code.contains("Throttl") => throttled(),
            _ if code.contains("AccessDenied") => Kind::Denied,
            _ => by_status(effect, status),
        };
    };
    match says {
        Says::NotFound => Kind::NotFound,
        Says::AlreadyExists => Kind::AlreadyExists,
        Says::Stale => Kind::Stale,
        Says::Denied => Kind::Denied,
        Says::Unauthenticated => Kind::Unauthenticated,
        Says::Throttled => throttled(),
        Says::Unavailable => Kind::Unavailable,
        Says::Unanswered => unanswered(effect, true),
        Says::Invalid => Kind::Invalid,
        Says::Corrupt => Kind::Corrupt,
        Says::TooLarge => Kind::TooLarge,
        Says::Conflict if message.contains("already exist") => Kind::AlreadyExists,
        Says::Busy | Says::Conflict => Kind::Busy,
        Says::Parameter => invalid_parameter(message),
    }
}

fn throttled() -> CallErrorKind {
    CallErrorKind::Throttled { retry_after: None }
}

fn invalid_parameter(message: &str) -> CallErrorKind {
    use CallErrorKind as Kind;
    if message.contains("cannot be assumed by Lambda") {
        Kind::RoleNotAssumable
    } else if message.contains("CodeSha256") || message.contains("CodeSHA256") {
        Kind::Stale
    } else if message.contains("must be smaller than") {
        Kind::TooLarge
    } else if message.contains("NoSuchKey")
        || message.contains("NoSuchVersion")
        || message.contains("NoSuchBucket")
    {
        Kind::NotFound
    } else if message.contains("AccessDenied") {
        Kind::Denied
    } else {
        Kind::Invalid
    }
}

/// For what has no code, or one we don't know.
///
/// 404 is not taken for "there is none": without one of AWS's codes it comes from something else
/// that answers at that address.
fn by_status(effect: Effect, status: u16) -> CallErrorKind {
    match status {
        401 => CallErrorKind::Unauthenticated,
        403 => CallErrorKind::Denied,
        412 => CallErrorKind::Stale,
        413 => CallErrorKind::TooLarge,
        429 => throttled(),
        500.. => unanswered(effect, true),
        _ => CallErrorKind::Invalid,
    }
}

/// What it means that there is no usable answer.
fn unanswered(effect: Effect, sent: bool) -> CallErrorKind {
    if sent && effect == Effect::Write {
        CallErrorKind::Unknown
    } else {
        CallErrorKind::Unavailable
    }
}

fn way_out(kind: &CallErrorKind, code: &str, message: &str) -> Option<&'static str> {
    match (kind, code) {
        (CallErrorKind::Denied, _) if message.contains("session policy") => {
            Some("the Account's grants don't cover it; the session is limited to what they allow")
        }
        (_, "RequestTimeTooSkewed") => Some("set the clock of the node"),
        (
            _,
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
        ) => Some("the bucket is in another region than the Account's spec.regions says"),
        (CallErrorKind::Unauthenticated, _) => Some(
            "the credentials are wrong, expired or revoked; check the Account's spec.credentials",
        ),
        (CallErrorKind::Invalid, "") => {
            Some("this is not an answer of AWS; check the Account's spec.endpointUrl")
        }
        (CallErrorKind::RoleNotAssumable, _) => Some(
            "a role made just now takes some seconds; else its trust policy has to name lambda.amazonaws.com",
        ),
        (_, "CodeStorageExceededException") => {
            Some("delete old versions, or have AWS raise the region's code storage quota")
        }
        _ => None,
    }
}

/// An error of the credentials, which kept the request from being sent.
fn from_credentials(call: &Call, error: &(dyn Error + 'static)) -> Option<CallError> {
    if let Some(ours) = chain(error).find_map(|cause| cause.downcast_ref::<CallError>()) {
        return Some(as_credentials_error(ours.clone()));
    }
    let provider = chain(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    let kind = match provider {
        CredentialsError::ProviderTimedOut(_) => CallErrorKind::Unavailable,
        _ => CallErrorKind::Unauthenticated,
    };
    Some(call.error(kind, format!("no credentials: {}", causes(provider))))
}

/// That credentials could not be had says nothing about the thing that was asked for, and nothing
/// was sent to it.
pub(super) fn as_credentials_error(error: CallError) -> CallError {
    let kind = match error.kind {
        CallErrorKind::NotFound => CallErrorKind::Unauthenticated,
        CallErrorKind::Unknown => CallErrorKind::Unavailable,
        kind => kind,
    };
    CallError { kind, ..error }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The messages of an error and of what caused it, each said once.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in chain(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

/// Whether the connection was never made, so that nothing can have been sent.
///
/// The HTTP client's error type is not ours to name; it prints its kind, and nothing else in the
/// chain says `(Connect)`.
fn never_connected(causes: &str) -> bool {
    causes.contains("(Connect)")
}

fn retry_after(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
