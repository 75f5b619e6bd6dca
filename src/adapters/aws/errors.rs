//! Converts the SDK's errors to [`CallError`]: one function for all services.
//!
//! The error's code decides, by the table in [`codes`], then its message, then the HTTP status. This relies
//! on the services' documented codes and, where several failures share a code (Lambda's
//! `InvalidParameterValueException`, CloudFormation's `ValidationError`), on the wording of their messages.

use std::{error::Error, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

mod codes;
mod validation;

use self::codes::{Meaning, meaning_of};
use super::fence::NotLeading;
pub(super) use crate::adapters::causes::causes;
use crate::{
    adapters::causes::chain,
    ports::{CallError, CallErrorKind},
};

/// Whether a call changes anything, which decides what a missing response means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Read,
    Write,
}

/// A call, as its errors name it.
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

    /// The service that is called, as actions name it, such as `lambda`.
    fn service(&self) -> &'static str {
        self.operation
            .split_once(':')
            .map_or("", |(service, _)| service)
    }

    /// An error of this call that does not come from the SDK.
    pub(super) fn error(&self, kind: CallErrorKind, message: impl Into<String>) -> CallError {
        CallError::new(self.operation, self.resource.clone(), kind, message)
    }

    /// The error of an unusable response: a write may have happened all the same.
    pub(super) fn unusable(&self, message: impl Into<String>) -> CallError {
        self.error(unanswered(self.effect, true), message)
    }

    /// The error of one item of this call, as the response reports it.
    pub(super) fn refused(&self, code: &str, message: &str) -> CallError {
        let error = aws_smithy_types::error::ErrorMetadata::builder()
            .code(code)
            .message(message)
            .build();
        let (kind, message) = self.answered(&error, 400, None);
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
                let error = answer.err().meta();
                let (kind, message) = self.answered(error, status, retry_after);
                // A response to HEAD has no body, and so no explanation.
                match without_body(status).filter(|_| error.code().is_none()) {
                    Some(likely) if self.operation.starts_with("s3:Head") => {
                        (kind, format!("status {status}: {likely}"))
                    }
                    _ => (kind, message),
                }
            }
            SdkError::ResponseError(answer) => {
                let status = answer.raw().status().as_u16();
                (
                    unanswered(self.effect, true),
                    format!(
                        "the response (status {status}) is not from AWS: {}",
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

    /// The kind and the message of an error response.
    fn answered(
        &self,
        error: &aws_smithy_types::error::ErrorMetadata,
        status: u16,
        retry_after: Option<Duration>,
    ) -> (CallErrorKind, String) {
        let code = error.code().unwrap_or_default();
        let message = error.message().unwrap_or_default();
        let kind = match self.classify(code, message, status) {
            CallErrorKind::Throttled { .. } => CallErrorKind::Throttled { retry_after },
            kind => kind,
        };
        let mut text = match (code, message) {
            ("", "") => format!("status {status} without an explanation"),
            ("", message) => format!("{message} (status {status})"),
            (code, "") => format!("{code} (status {status})"),
            (code, message) => format!("{message} ({code})"),
        };
        if let Some(remedy) = remedy(self.service(), &kind, code, message) {
            text.push_str(": ");
            text.push_str(remedy);
        }
        (kind, text)
    }

    /// The kind of failure that an error response reports. Pure.
    fn classify(&self, code: &str, message: &str, status: u16) -> CallErrorKind {
        use CallErrorKind as Kind;
        let Some(says) = meaning_of(self.service(), code) else {
            // Lambda passes on the codes of other services, such as S3 and KMS.
            return match code {
                _ if code.contains("Throttl") => throttled(),
                _ if code.contains("AccessDenied") => Kind::Denied,
                _ => by_status(self.effect, status),
            };
        };
        match says {
            Meaning::NotFound => Kind::NotFound,
            Meaning::AlreadyExists => Kind::AlreadyExists,
            Meaning::Stale => Kind::Stale,
            Meaning::Denied => Kind::Denied,
            Meaning::Unauthenticated => Kind::Unauthenticated,
            Meaning::Throttled => throttled(),
            Meaning::Unavailable => Kind::Unavailable,
            Meaning::Unanswered => unanswered(self.effect, true),
            Meaning::Invalid => Kind::Invalid,
            Meaning::Corrupt => Kind::Corrupt,
            Meaning::TooLarge => Kind::TooLarge,
            Meaning::Conflict if message.contains("already exist") => Kind::AlreadyExists,
            Meaning::Busy | Meaning::Conflict => Kind::Busy,
            Meaning::Parameter => invalid_parameter(message),
            Meaning::Validation => validation::kind(message),
        }
    }
}

/// The most likely meaning of a status that S3 does not explain.
fn without_body(status: u16) -> Option<&'static str> {
    match status {
        301 => Some("the bucket is in another region than the Account's spec.regions says"),
        400 => Some("the credentials have expired, or the bucket is in another region"),
        403 => Some(
            "neither the role nor the bucket's policy allows it (S3 also answers so for an object that does not \
             exist if the role lacks s3:ListBucket)",
        ),
        _ => None,
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

/// The kind of an error with no code, or an unknown one.
///
/// 404 is not [`CallErrorKind::NotFound`]: without one of AWS's codes, it comes from something else at that
/// address.
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

/// The kind of a failure without a usable response.
fn unanswered(effect: Effect, sent: bool) -> CallErrorKind {
    if sent && effect == Effect::Write {
        CallErrorKind::Unknown
    } else {
        CallErrorKind::Unavailable
    }
}

fn remedy(service: &str, kind: &CallErrorKind, code: &str, message: &str) -> Option<&'static str> {
    match (kind, code) {
        (CallErrorKind::Denied, _) if message.contains("session policy") => {
            Some("the Account's grants don't cover it; the session is limited to what they allow")
        }
        (_, "RequestTimeTooSkewed") => Some("correct the clock of the node"),
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
            Some("this response is not from AWS; check the Account's spec.endpointUrl")
        }
        (CallErrorKind::RoleNotAssumable, _) if service == "cloudformation" => Some(
            "a new role takes some seconds to work; otherwise, its trust policy must name cloudformation.amazonaws.com",
        ),
        (CallErrorKind::RoleNotAssumable, _) => Some(
            "a new role takes some seconds to work; otherwise, its trust policy must name lambda.amazonaws.com",
        ),
        (_, "CodeStorageExceededException") => {
            Some("delete old versions, or have AWS raise the region's code storage quota")
        }
        _ => None,
    }
}

/// An error of the credentials, because of which the request was not sent.
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

/// Converts an error in getting credentials: it says nothing about the requested resource, to which nothing
/// was sent.
pub(super) fn as_credentials_error(error: CallError) -> CallError {
    let kind = match error.kind {
        CallErrorKind::NotFound => CallErrorKind::Unauthenticated,
        CallErrorKind::Unknown => CallErrorKind::Unavailable,
        kind => kind,
    };
    CallError { kind, ..error }
}

/// Whether the connection was never made, so that nothing can have been sent.
///
/// The HTTP client's error type can't be named here; its text has its kind, and nothing else in the chain
/// says `(Connect)`.
fn never_connected(causes: &str) -> bool {
    causes.contains("(Connect)")
}

pub(super) fn retry_after(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
