//! From the SDK's errors to [`CallError`]: one function for all services.
//!
//! What decides is the error's code, then its message, then the HTTP status. It relies on the
//! services' documented codes and, where several failures share a code (Lambda's
//! `InvalidParameterValueException`), on the wording of their messages.

use std::{error::Error, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

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

    /// An error of this call that the SDK reports.
    pub(super) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> CallError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let shown: &(dyn Error + 'static) = error;
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
    match code {
        "ResourceNotFoundException"
        | "NoSuchKey"
        | "NoSuchVersion"
        | "NoSuchBucket"
        | "NoSuchUpload"
        | "NotFound" => Kind::NotFound,
        "ResourceConflictException" if message.contains("already exist") => Kind::AlreadyExists,
        "ResourceConflictException"
        | "ResourceNotReadyException"
        | "ResourceInUseException"
        | "ConditionalRequestConflict"
        | "OperationAborted" => Kind::Busy,
        "PreconditionFailedException" | "PreconditionFailed" => Kind::Stale,
        "InvalidParameterValueException" => invalid_parameter(message),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "InvalidIdentityToken"
        | "IDPRejectedClaim"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "RequestTimeTooSkewed"
        | "RequestExpired" => Kind::Unauthenticated,
        "CodeStorageExceededException"
        | "RequestEntityTooLargeException"
        | "RequestTooLargeException"
        | "EntityTooLarge"
        | "PackedPolicyTooLarge"
        | "PolicyLengthExceededException" => Kind::TooLarge,
        "BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody" => Kind::Corrupt,
        // Lambda's verdict on the package, sent with status 502.
        "InvalidZipFileException" | "InvalidRuntimeException" => Kind::Invalid,
        "SlowDown" | "RequestLimitExceeded" | "TooManyRequestsException" => throttled(),
        _ if code.contains("Throttl") => throttled(),
        _ if code.contains("AccessDenied") || code == "AuthorizationError" => Kind::Denied,
        _ => by_status(effect, status),
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
mod tests {
    use aws_sdk_lambda::operation::get_function::GetFunctionError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    use super::*;

    type Failure = SdkError<GetFunctionError, HttpResponse>;

    fn service_error(status: u16, code: &str, message: &str) -> Failure {
        let error = ErrorMetadata::builder().code(code).message(message).build();
        let status = status.try_into().expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::empty());
        response.headers_mut().insert("retry-after", "7");
        SdkError::service_error(GetFunctionError::generic(error), response)
    }

    fn read() -> Call {
        Call::read("lambda:GetFunction", "checkout-api")
    }

    fn write() -> Call {
        Call::write("lambda:UpdateFunctionCode", "checkout-api")
    }

    #[test]
    fn lambda_codes_have_their_kinds() {
        use CallErrorKind as Kind;
        let conflict = "The operation cannot be performed at this time. An update is in progress";
        let assume = "The role defined for the function cannot be assumed by Lambda.";
        let missing = "Error occurred while GetObject. S3 Error Code: NoSuchKey.";
        let large = "Unzipped size must be smaller than 262144000 bytes";
        let sha = "CodeSHA256 (a) is different from current CodeSHA256 in $LATEST (b).";
        for (status, code, message, expected) in [
            (404, "ResourceNotFoundException", "", Kind::NotFound),
            (
                409,
                "ResourceConflictException",
                "Function already exist: a",
                Kind::AlreadyExists,
            ),
            (
                409,
                "ResourceConflictException",
                "Alias already exists: a",
                Kind::AlreadyExists,
            ),
            (409, "ResourceConflictException", conflict, Kind::Busy),
            (
                412,
                "PreconditionFailedException",
                "RevisionId",
                Kind::Stale,
            ),
            (
                400,
                "InvalidParameterValueException",
                assume,
                Kind::RoleNotAssumable,
            ),
            (400, "InvalidParameterValueException", sha, Kind::Stale),
            (
                400,
                "InvalidParameterValueException",
                missing,
                Kind::NotFound,
            ),
            (400, "InvalidParameterValueException", large, Kind::TooLarge),
            (
                400,
                "InvalidParameterValueException",
                "Memory",
                Kind::Invalid,
            ),
            (400, "CodeStorageExceededException", "", Kind::TooLarge),
            (403, "AccessDeniedException", "no", Kind::Denied),
            (403, "KMSAccessDeniedException", "no", Kind::Denied),
            (403, "ExpiredTokenException", "", Kind::Unauthenticated),
            (
                403,
                "UnrecognizedClientException",
                "",
                Kind::Unauthenticated,
            ),
            (403, "SignatureDoesNotMatch", "", Kind::Unauthenticated),
            (502, "InvalidZipFileException", "", Kind::Invalid),
        ] {
            let error = write().failed(&service_error(status, code, message));
            assert_eq!(error.kind, expected, "{code} {message}");
        }
    }

    #[test]
    fn throttling_says_when_to_come_back() {
        for code in [
            "TooManyRequestsException",
            "ThrottlingException",
            "Throttling",
            "SlowDown",
        ] {
            let error = read().failed(&service_error(429, code, "Rate exceeded"));
            let retry_after = Some(Duration::from_secs(7));
            assert_eq!(
                error.kind,
                CallErrorKind::Throttled { retry_after },
                "{code}"
            );
        }
    }

    #[test]
    fn a_failed_service_leaves_a_write_in_doubt_but_not_a_read() {
        let error = service_error(500, "ServiceException", "An error occurred");
        assert_eq!(write().failed(&error).kind, CallErrorKind::Unknown);
        assert_eq!(read().failed(&error).kind, CallErrorKind::Unavailable);
    }

    #[test]
    fn a_lost_answer_leaves_a_write_in_doubt_but_not_a_read() {
        let lost = || Failure::dispatch_failure(ConnectorError::io("connection reset".into()));
        assert_eq!(write().failed(&lost()).kind, CallErrorKind::Unknown);
        assert_eq!(read().failed(&lost()).kind, CallErrorKind::Unavailable);
        let late = Failure::timeout_error("operation timeout");
        assert_eq!(write().failed(&late).kind, CallErrorKind::Unknown);
    }

    #[test]
    fn a_connection_never_made_had_no_effect() {
        let refused = "client error (Connect): tcp connect error: Connection refused";
        let error = Failure::dispatch_failure(ConnectorError::io(refused.into()));
        assert_eq!(write().failed(&error).kind, CallErrorKind::Unavailable);
    }

    #[test]
    fn a_missing_page_is_not_a_missing_function() {
        let error = write().failed(&service_error(404, "", ""));
        assert_eq!(error.kind, CallErrorKind::Invalid);
        assert!(error.message.contains("spec.endpointUrl"), "{error}");
    }

    #[test]
    fn a_denial_keeps_who_and_what_and_says_which_grant() {
        let message = "User: arn:aws:sts::1:assumed-role/r/sluice is not authorized to perform: \
            lambda:UpdateFunctionCode on resource: arn:aws:lambda:eu-west-1:1:function:pay \
            because no session policy allows the lambda:UpdateFunctionCode action";
        let error = write().failed(&service_error(403, "AccessDeniedException", message));
        assert!(error.message.starts_with(message), "{error}");
        assert!(error.message.contains("grants"), "{error}");
    }

    #[test]
    fn missing_credentials_never_look_like_a_missing_function() {
        let missing = CallError::new("get Secret", "sluice/hub", CallErrorKind::NotFound, "gone");
        let provider = CredentialsError::provider_error(missing);
        let error = Failure::dispatch_failure(ConnectorError::other(provider.into(), None));
        let error = write().failed(&error);
        assert_eq!(error.kind, CallErrorKind::Unauthenticated);
        assert_eq!(error.resource, "sluice/hub");
    }
}
