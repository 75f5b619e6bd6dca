//! The meaning of each error code of the services that Sluice calls: one table, with its sources.
//!
//! A code means the same whatever its HTTP status: Lambda reports a wrong package or key with 502, and S3 a
//! stalled connection with 400. The status decides on codes that are not listed.
//!
//! Services pass on one another's codes, so a code means the same whichever service reports it; except those
//! of CloudFormation, which has its own meanings for some.
//!
//! Only codes about the requested resource itself mean that it does not exist: a missing key, subnet or
//! signing configuration must not be taken for a missing function.

/// The meaning of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The resource does not exist.
    NotFound,
    /// The resource exists already.
    AlreadyExists,
    /// The resource is being changed, or is not ready yet.
    Busy,
    /// The resource changed since it was read.
    Stale,
    /// The caller, or the function's role, lacks a permission.
    Denied,
    /// The credentials or the clock are wrong.
    Unauthenticated,
    /// Too many calls.
    Throttled,
    /// The call had no effect, and may succeed later.
    Unavailable,
    /// The call failed on the way: a write may have had an effect.
    Unanswered,
    /// The request is invalid.
    Invalid,
    /// The bytes were damaged on their way.
    Corrupt,
    /// The call exceeds a limit or quota.
    TooLarge,
    /// A conflict; its message decides.
    Conflict,
    /// A wrong parameter; the message decides.
    Parameter,
    /// Anything that is wrong with a call to CloudFormation; the message decides.
    Validation,
}

/// The codes of one page or model.
pub(super) struct Source {
    /// The page that lists them.
    #[cfg_attr(not(test), allow(dead_code, reason = "for readers of the table"))]
    pub(super) url: &'static str,
    /// The only service whose codes these are, before all others; `None` if any service may report them.
    pub(super) service: Option<&'static str>,
    /// The codes.
    pub(super) codes: &'static [(&'static str, Meaning)],
}

/// The meaning of a code that this service reports, if it is known.
pub(super) fn meaning_of(service: &str, code: &str) -> Option<Meaning> {
    let listed = |of: Option<&str>| {
        let sources = TABLE.iter().filter(|source| source.service == of);
        let mut codes = sources.flat_map(|source| source.codes);
        codes.find(|(known, _)| *known == code)
    };
    let found = listed(Some(service)).or_else(|| listed(None));
    found.map(|(_, says)| *says)
}

/// All codes.
pub(super) const TABLE: [Source; 7] =
    [COMMON, RETRIED, LAMBDA, S3, STS, CLOUDWATCH, CLOUDFORMATION];

const COMMON: Source = Source {
    url: "https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html",
    service: None,
    codes: &[
        ("AccessDeniedException", Meaning::Denied),
        ("AuthorizationError", Meaning::Denied),
        ("ExpiredTokenException", Meaning::Unauthenticated),
        ("IncompleteSignature", Meaning::Unauthenticated),
        ("InternalFailure", Meaning::Unanswered),
        ("InvalidClientTokenId", Meaning::Unauthenticated),
        ("InvalidSignatureException", Meaning::Unauthenticated),
        ("MalformedHttpRequestException", Meaning::Invalid),
        ("MissingAuthenticationToken", Meaning::Unauthenticated),
        (
            "MissingAuthenticationTokenException",
            Meaning::Unauthenticated,
        ),
        ("NotAuthorized", Meaning::Denied),
        ("OptInRequired", Meaning::Denied),
        ("RequestAbortedException", Meaning::Unanswered),
        ("RequestEntityTooLargeException", Meaning::TooLarge),
        ("RequestExpired", Meaning::Unauthenticated),
        ("ServiceUnavailable", Meaning::Unanswered),
        ("ServiceUnavailableException", Meaning::Unanswered),
        ("UnknownOperationException", Meaning::Invalid),
        ("UnrecognizedClientException", Meaning::Unauthenticated),
        ("ValidationError", Meaning::Invalid),
        ("ValidationException", Meaning::Invalid),
    ],
};

/// Codes that every SDK retries, whatever the service.
const RETRIED: Source = Source {
    url: "https://docs.rs/aws-runtime/latest/aws_runtime/retries/classifiers/index.html",
    service: None,
    codes: &[
        ("BandwidthLimitExceeded", Meaning::Throttled),
        ("LimitExceededException", Meaning::Throttled),
        ("PriorRequestNotComplete", Meaning::Throttled),
        ("ProvisionedThroughputExceededException", Meaning::Throttled),
        ("RequestLimitExceeded", Meaning::Throttled),
        ("RequestThrottled", Meaning::Throttled),
        ("RequestThrottledException", Meaning::Throttled),
        ("RequestTimeout", Meaning::Unanswered),
        ("RequestTimeoutException", Meaning::Unanswered),
        ("SlowDown", Meaning::Throttled),
        ("ThrottledException", Meaning::Throttled),
        ("Throttling", Meaning::Throttled),
        ("ThrottlingException", Meaning::Throttled),
        ("TooManyRequestsException", Meaning::Throttled),
        ("TransactionInProgressException", Meaning::Throttled),
    ],
};

/// Also `aws-sdk-lambda`, `src/types/error`: each error type of the model.
const LAMBDA: Source = Source {
    url: "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors",
    service: None,
    codes: &[
        ("AliasLimitExceededException", Meaning::TooLarge),
        ("CallbackTimeoutException", Meaning::Invalid),
        ("CapacityProviderLimitExceededException", Meaning::TooLarge),
        ("CodeArtifactUserDeletedException", Meaning::Invalid),
        ("CodeArtifactUserFailedException", Meaning::Invalid),
        ("CodeArtifactUserPendingException", Meaning::Busy),
        ("CodeSigningConfigNotFoundException", Meaning::Invalid),
        ("CodeStorageExceededException", Meaning::TooLarge),
        ("CodeVerificationFailedException", Meaning::Invalid),
        (
            "DurableExecutionAlreadyStartedException",
            Meaning::AlreadyExists,
        ),
        ("EC2AccessDeniedException", Meaning::Denied),
        ("EC2ThrottledException", Meaning::Throttled),
        ("EC2UnexpectedException", Meaning::Unavailable),
        ("EFSIOException", Meaning::Unanswered),
        ("EFSMountConnectivityException", Meaning::Unavailable),
        ("EFSMountFailureException", Meaning::Invalid),
        ("EFSMountTimeoutException", Meaning::Unavailable),
        ("ENILimitReachedException", Meaning::Unavailable),
        ("ENINotReadyException", Meaning::Busy),
        (
            "FunctionVersionsPerCapacityProviderLimitExceededException",
            Meaning::TooLarge,
        ),
        ("InvalidCodeSignatureException", Meaning::Invalid),
        ("InvalidParameterValueException", Meaning::Parameter),
        ("InvalidRequestContentException", Meaning::Invalid),
        ("InvalidRuntimeException", Meaning::Invalid),
        ("InvalidSecurityGroupIDException", Meaning::Invalid),
        ("InvalidSubnetIDException", Meaning::Invalid),
        ("InvalidZipFileException", Meaning::Invalid),
        ("KMSAccessDeniedException", Meaning::Denied),
        ("KMSDisabledException", Meaning::Invalid),
        ("KMSInvalidStateException", Meaning::Invalid),
        ("KMSNotFoundException", Meaning::Invalid),
        ("ModeNotSupportedException", Meaning::Invalid),
        ("NoPublishedVersionException", Meaning::Invalid),
        ("PolicyLengthExceededException", Meaning::TooLarge),
        ("PreconditionFailedException", Meaning::Stale),
        (
            "ProvisionedConcurrencyConfigNotFoundException",
            Meaning::NotFound,
        ),
        ("PublicPolicyException", Meaning::Invalid),
        ("RecursiveInvocationException", Meaning::Invalid),
        ("RequestTooLargeException", Meaning::TooLarge),
        ("ResourceConflictException", Meaning::Conflict),
        ("ResourceInUseException", Meaning::Busy),
        ("ResourceNotFoundException", Meaning::NotFound),
        ("ResourceNotReadyException", Meaning::Busy),
        ("S3FilesMountConnectivityException", Meaning::Unavailable),
        ("S3FilesMountFailureException", Meaning::Invalid),
        ("S3FilesMountTimeoutException", Meaning::Unavailable),
        (
            "SerializedRequestEntityTooLargeException",
            Meaning::TooLarge,
        ),
        ("ServiceException", Meaning::Unanswered),
        ("ServiceQuotaExceededException", Meaning::TooLarge),
        ("SnapStartException", Meaning::Invalid),
        ("SnapStartNotReadyException", Meaning::Busy),
        (
            "SnapStartRegenerationFailureException",
            Meaning::Unavailable,
        ),
        ("SnapStartTimeoutException", Meaning::Unavailable),
        ("SubnetIPAddressLimitReachedException", Meaning::Unavailable),
        ("UnsupportedMediaTypeException", Meaning::Invalid),
    ],
};

const S3: Source = Source {
    url: "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html",
    service: None,
    codes: &[
        ("AccessDenied", Meaning::Denied),
        ("AccountProblem", Meaning::Denied),
        ("AllAccessDisabled", Meaning::Denied),
        ("AuthorizationHeaderMalformed", Meaning::Invalid),
        ("BadDigest", Meaning::Corrupt),
        ("BucketAlreadyExists", Meaning::AlreadyExists),
        ("BucketAlreadyOwnedByYou", Meaning::AlreadyExists),
        ("ConditionalRequestConflict", Meaning::Busy),
        ("EncryptionTypeMismatch", Meaning::Invalid),
        ("EntityTooLarge", Meaning::TooLarge),
        ("EntityTooSmall", Meaning::Invalid),
        ("ExpiredToken", Meaning::Unauthenticated),
        ("IdempotencyParameterMismatch", Meaning::Invalid),
        ("IllegalLocationConstraintException", Meaning::Invalid),
        ("IncompleteBody", Meaning::Corrupt),
        ("InternalError", Meaning::Unanswered),
        ("InvalidAccessKeyId", Meaning::Unauthenticated),
        ("InvalidArgument", Meaning::Invalid),
        ("InvalidBucketName", Meaning::Invalid),
        ("InvalidDigest", Meaning::Invalid),
        ("InvalidObjectState", Meaning::Invalid),
        ("InvalidPart", Meaning::Invalid),
        ("InvalidPartOrder", Meaning::Invalid),
        ("InvalidRequest", Meaning::Invalid),
        ("InvalidSecurity", Meaning::Unauthenticated),
        ("InvalidToken", Meaning::Unauthenticated),
        ("KMS.DisabledException", Meaning::Invalid),
        ("KMS.InvalidKeyUsageException", Meaning::Invalid),
        ("KMS.InvalidStateException", Meaning::Invalid),
        ("KMS.KMSInvalidStateException", Meaning::Invalid),
        ("KMS.NotFoundException", Meaning::Invalid),
        ("KMS.ThrottlingException", Meaning::Throttled),
        ("MaxMessageLengthExceeded", Meaning::TooLarge),
        ("MetadataTooLarge", Meaning::TooLarge),
        ("MethodNotAllowed", Meaning::Invalid),
        ("MissingContentLength", Meaning::Invalid),
        ("NoSuchBucket", Meaning::NotFound),
        ("NoSuchKey", Meaning::NotFound),
        ("NoSuchUpload", Meaning::NotFound),
        ("NoSuchVersion", Meaning::NotFound),
        ("NotFound", Meaning::NotFound),
        ("NotImplemented", Meaning::Invalid),
        ("NotSignedUp", Meaning::Denied),
        ("OperationAborted", Meaning::Busy),
        ("PermanentRedirect", Meaning::Invalid),
        ("PreconditionFailed", Meaning::Stale),
        ("RequestTimeTooSkewed", Meaning::Unauthenticated),
        ("SignatureDoesNotMatch", Meaning::Unauthenticated),
        ("TemporaryRedirect", Meaning::Unavailable),
        ("TokenRefreshRequired", Meaning::Unauthenticated),
        ("TooManyParts", Meaning::Invalid),
        ("XAmzContentChecksumMismatch", Meaning::Corrupt),
        ("XAmzContentSHA256Mismatch", Meaning::Corrupt),
    ],
};

const STS: Source = Source {
    url: "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html",
    service: None,
    codes: &[
        ("ExpiredTradeInTokenException", Meaning::Unauthenticated),
        ("IDPCommunicationError", Meaning::Unavailable),
        ("IDPRejectedClaim", Meaning::Unauthenticated),
        ("InvalidAuthorizationMessageException", Meaning::Invalid),
        ("InvalidIdentityToken", Meaning::Unauthenticated),
        ("JWTPayloadSizeExceededException", Meaning::TooLarge),
        ("MalformedPolicyDocument", Meaning::Invalid),
        (
            "OutboundWebIdentityFederationDisabledException",
            Meaning::Denied,
        ),
        ("PackedPolicyTooLarge", Meaning::TooLarge),
        ("RegionDisabledException", Meaning::Denied),
        ("SessionDurationEscalationException", Meaning::Invalid),
    ],
};

const CLOUDWATCH: Source = Source {
    url: "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html",
    service: None,
    codes: &[
        ("ConcurrentModificationException", Meaning::Busy),
        ("ConflictException", Meaning::Busy),
        ("InternalServiceError", Meaning::Unanswered),
        ("InternalServiceFault", Meaning::Unanswered),
        ("InvalidFormat", Meaning::Invalid),
        ("InvalidNextToken", Meaning::Invalid),
        ("InvalidParameterCombination", Meaning::Invalid),
        ("InvalidParameterValue", Meaning::Invalid),
        ("KmsAccessDeniedException", Meaning::Denied),
        ("KmsKeyDisabledException", Meaning::Invalid),
        ("KmsKeyNotFoundException", Meaning::Invalid),
        ("LimitExceeded", Meaning::TooLarge),
        ("MissingParameter", Meaning::Invalid),
        ("ResourceNotFound", Meaning::NotFound),
    ],
};

/// Also `aws-sdk-cloudformation`, `src/types/error`: the error types of the operations that Sluice calls.
const CLOUDFORMATION: Source = Source {
    url: "https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html#API_CreateChangeSet_Errors",
    service: Some("cloudformation"),
    codes: &[
        ("AlreadyExistsException", Meaning::AlreadyExists),
        ("ChangeSetNotFound", Meaning::NotFound),
        ("ChangeSetNotFoundException", Meaning::NotFound),
        ("InsufficientCapabilitiesException", Meaning::Invalid),
        ("InvalidChangeSetStatus", Meaning::Stale),
        ("InvalidOperationException", Meaning::Invalid),
        ("LimitExceededException", Meaning::TooLarge),
        ("OperationInProgressException", Meaning::Busy),
        ("TokenAlreadyExistsException", Meaning::Stale),
        ("ValidationError", Meaning::Validation),
    ],
};
