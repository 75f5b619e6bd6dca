//! Errors of the SDK: made by hand, and over real connections.

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_sdk_lambda::operation::get_function::GetFunctionError;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use super::*;

type Failure = SdkError<GetFunctionError, HttpResponse>;

fn service_error(status: u16, code: &str, message: &str) -> Failure {
    let error = ErrorMetadata::builder().code(code).message(message).build();
    let status = status.try_into().expect("a status");
    let mut response = HttpResponse::new(status, SdkBody::empty());
    response.headers_mut().insert("retry-after", "7");
    SdkError::service_error(GetFunctionError::generic(error), response)
}

#[test]
fn head_error_names_the_likely_cause() {
    let head = Call::read("s3:HeadObject", "artifacts/packages/1.zip");
    for (status, part) in [
        (301, "another region"),
        (400, "expired"),
        (403, "s3:ListBucket"),
    ] {
        let error = GetFunctionError::generic(ErrorMetadata::builder().build());
        let response = HttpResponse::new(status.try_into().expect("a status"), SdkBody::empty());
        let failure: Failure = SdkError::service_error(error, response);
        let message = head.failed(&failure).message;
        assert!(message.contains(part), "{message}");
        assert!(!message.contains("endpointUrl"), "{message}");
        assert!(
            read()
                .failed(&failure)
                .message
                .contains("without an explanation")
        );
    }
}

fn read() -> Call {
    Call::read("lambda:GetFunction", "checkout-api")
}

fn write() -> Call {
    Call::write("lambda:UpdateFunctionCode", "checkout-api")
}

fn read_stack() -> Call {
    Call::read("cloudformation:DescribeStacks", "shop")
}

fn write_stack() -> Call {
    Call::write("cloudformation:CreateChangeSet", "shop")
}

#[test]
fn cloudformation_codes_map_to_error_kinds() {
    use CallErrorKind as Kind;
    let throttled = Kind::Throttled {
        retry_after: Some(Duration::from_secs(7)),
    };
    let busy = "Stack:arn:… is in UPDATE_IN_PROGRESS state and can not be updated.";
    for (status, code, message, expected) in [
        (
            400,
            "ValidationError",
            "Stack with id shop does not exist",
            Kind::NotFound,
        ),
        (400, "ValidationError", busy, Kind::Busy),
        (400, "ValidationError", "Template error", Kind::Invalid),
        (404, "ChangeSetNotFound", "no", Kind::NotFound),
        (400, "AlreadyExistsException", "yes", Kind::AlreadyExists),
        (400, "InvalidChangeSetStatus", "obsolete", Kind::Stale),
        (400, "TokenAlreadyExistsException", "", Kind::Stale),
        (
            400,
            "InsufficientCapabilitiesException",
            "Requires capabilities : [CAPABILITY_IAM]",
            Kind::Invalid,
        ),
        (400, "LimitExceededException", "2000 stacks", Kind::TooLarge),
        (400, "Throttling", "Rate exceeded", throttled),
        (403, "AccessDenied", "not authorized", Kind::Denied),
        (403, "ExpiredToken", "", Kind::Unauthenticated),
        (500, "InternalFailure", "", Kind::Unknown),
        (503, "ServiceUnavailable", "", Kind::Unknown),
    ] {
        let error = write_stack().failed(&service_error(status, code, message));
        assert_eq!(error.kind, expected, "{code} {message}");
        assert!(error.message.contains(message), "{error}");
    }
}

#[test]
fn code_can_mean_something_else_for_cloudformation() {
    let kind = |call: Call, code: &str, message: &str| {
        call.failed(&service_error(400, code, message)).kind
    };
    let code = "LimitExceededException";
    assert_eq!(kind(write_stack(), code, ""), CallErrorKind::TooLarge);
    assert!(matches!(
        kind(write(), code, ""),
        CallErrorKind::Throttled { .. }
    ));
    // Only CloudFormation reports what does not exist in this way.
    let (code, missing) = ("ValidationError", "Stack [shop] does not exist");
    assert_eq!(kind(read_stack(), code, missing), CallErrorKind::NotFound);
    assert_eq!(kind(read(), code, missing), CallErrorKind::Invalid);
}

#[test]
fn service_of_the_role_is_named() {
    let message = "Role arn:aws:iam::1:role/cfn is invalid or cannot be assumed";
    let error = write_stack().failed(&service_error(400, "ValidationError", message));
    assert_eq!(error.kind, CallErrorKind::RoleNotAssumable);
    assert!(
        error.message.contains("cloudformation.amazonaws.com"),
        "{error}"
    );
}

#[test]
fn lambda_codes_map_to_error_kinds() {
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
fn listed_code_has_the_same_kind_for_every_status() {
    use CallErrorKind as Kind;
    let mut seen = std::collections::BTreeSet::new();
    for source in codes::TABLE {
        assert!(source.url.starts_with("https://docs."), "{}", source.url);
        for (code, says) in source.codes {
            let unique = seen.insert((source.service, *code));
            assert!(unique, "{code} is listed twice");
            let (read, write) = match source.service {
                Some("cloudformation") => (read_stack as fn() -> Call, write_stack as fn() -> Call),
                _ => (read as fn() -> Call, write as fn() -> Call),
            };
            let kinds = |call: Call| {
                [400, 403, 404, 409, 500, 502]
                    .map(|status| call.failed(&service_error(status, code, "")).kind)
            };
            let (reads, writes) = (kinds(read()), kinds(write()));
            assert!(reads.iter().all(|kind| *kind == reads[0]), "{code}");
            assert!(writes.iter().all(|kind| *kind == writes[0]), "{code}");
            let passes = matches!(
                says,
                Meaning::Busy
                    | Meaning::Stale
                    | Meaning::Throttled
                    | Meaning::Unavailable
                    | Meaning::Unanswered
                    | Meaning::Corrupt
                    | Meaning::Conflict
            );
            let transient = write().failed(&service_error(400, code, ""));
            assert_eq!(transient.is_transient(), passes, "{code}: {transient:?}");
            // Only a call that may have had an effect has an unknown outcome.
            let lost = matches!(writes[0], Kind::Unknown);
            assert_eq!(lost, *says == Meaning::Unanswered, "{code}");
        }
    }
}

#[test]
fn transient_codes_never_fail_a_rollout() {
    for (status, code) in [
        (400, "RequestTimeout"),
        (408, "RequestTimeoutException"),
        (503, "SlowDown"),
        (502, "EC2ThrottledException"),
        (502, "ENILimitReachedException"),
        (502, "ENINotReadyException"),
        (502, "ResourceNotReadyException"),
        (502, "SubnetIPAddressLimitReachedException"),
        (409, "SnapStartNotReadyException"),
        (408, "SnapStartTimeoutException"),
        (500, "ServiceException"),
        (400, "IDPCommunicationError"),
        (400, "InternalFailure"),
    ] {
        for call in [read(), write()] {
            let error = call.failed(&service_error(status, code, ""));
            assert!(error.is_transient(), "{code}: {error:?}");
        }
    }
    for code in [
        "KMSDisabledException",
        "KMSNotFoundException",
        "InvalidSubnetIDException",
        "InvalidSecurityGroupIDException",
        "InvalidZipFileException",
        "NotImplemented",
    ] {
        let error = read().failed(&service_error(502, code, ""));
        assert_eq!(error.kind, CallErrorKind::Invalid, "{code}");
    }
}

#[test]
fn throttling_error_carries_retry_after() {
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
fn service_failure_makes_the_outcome_of_a_write_unknown_but_not_of_a_read() {
    let error = service_error(500, "ServiceException", "An error occurred");
    assert_eq!(write().failed(&error).kind, CallErrorKind::Unknown);
    assert_eq!(read().failed(&error).kind, CallErrorKind::Unavailable);
}

#[test]
fn lost_response_makes_the_outcome_of_a_write_unknown_but_not_of_a_read() {
    let lost = || Failure::dispatch_failure(ConnectorError::io("connection reset".into()));
    assert_eq!(write().failed(&lost()).kind, CallErrorKind::Unknown);
    assert_eq!(read().failed(&lost()).kind, CallErrorKind::Unavailable);
    let late = Failure::timeout_error("operation timeout");
    assert_eq!(write().failed(&late).kind, CallErrorKind::Unknown);
}

#[test]
fn status_404_without_a_code_is_not_a_missing_function() {
    let error = write().failed(&service_error(404, "", ""));
    assert_eq!(error.kind, CallErrorKind::Invalid);
    assert!(error.message.contains("spec.endpointUrl"), "{error}");
}

#[test]
fn denial_keeps_the_message_of_aws_and_names_the_grants() {
    let message = "User: arn:aws:sts::1:assumed-role/r/sluice is not authorized to perform: \
        lambda:UpdateFunctionCode on resource: arn:aws:lambda:eu-west-1:1:function:pay \
        because no session policy allows the lambda:UpdateFunctionCode action";
    let error = write().failed(&service_error(403, "AccessDeniedException", message));
    assert!(error.message.starts_with(message), "{error}");
    assert!(error.message.contains("grants"), "{error}");
}

#[test]
fn missing_credentials_are_not_a_missing_function() {
    let missing = CallError::new("get Secret", "sluice/hub", CallErrorKind::NotFound, "gone");
    let provider = CredentialsError::provider_error(missing);
    let error = Failure::dispatch_failure(ConnectorError::other(provider.into(), None));
    let error = write().failed(&error);
    assert_eq!(error.kind, CallErrorKind::Unauthenticated);
    assert_eq!(error.resource, "sluice/hub");
}

/// Sends a write to this address with valid credentials, and returns the kind of its error.
async fn write_to(address: std::net::SocketAddr) -> CallErrorKind {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .build_https();
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .region(Region::new("eu-west-1"))
        .endpoint_url(format!("http://{address}"))
        .retry_config(RetryConfig::disabled())
        .build();
    let client = aws_sdk_lambda::Client::from_conf(config);
    let sent = client
        .delete_function()
        .function_name("checkout-api")
        .send()
        .await;
    write().failed(&sent.expect_err("no response")).kind
}

#[tokio::test]
async fn refused_connection_is_not_an_unknown_outcome() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    assert_eq!(write_to(address).await, CallErrorKind::Unavailable);
}

#[tokio::test]
async fn connection_lost_after_the_request_is_an_unknown_outcome() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 16];
        stream.read_exact(&mut request).await.expect("a request");
    });
    assert_eq!(write_to(address).await, CallErrorKind::Unknown);
    server.await.expect("a server task");
}
