//! The meaning of each error code of the services that Sluice calls: one table, with its sources.
//!
//! A code means the same whatever its HTTP status: Lambda reports a wrong package or key with 502, and S3 a
//! stalled connection with 400. The status decides on codes that are not listed.
//!
//! Only codes about the requested resource itself mean that it does not exist: a missing key, subnet or
//! signing configuration must not be taken for a missing function.

/// The meaning of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
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
}

/// The codes of one page or model.
pub(super) struct Source {
    /// The page that lists them.
    #[cfg_attr(not(test), allow(dead_code, reason = "for readers of the table"))]
    pub(super) url: &'static str,
    /// The codes.
    pub(super) codes: &'static [(&'static str, Says)],
}

/// The meaning of a code, if it is known.
pub(super) fn says(code: &str) -> Option<Says> {
    let mut all = TABLE.iter().flat_map(|source| source.codes);
    all.find(|(known, _)| *known == code).map(|(_, says)| *says)
}

/// All codes.
pub(super) const TABLE: [Source; 6] = [COMMON, RETRIED, LAMBDA, S3, STS, CLOUDWATCH];

const COMMON: Source = Source {
    url: "https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html",
    codes: &[
        ("AccessDeniedException", Says::Denied),
        ("AuthorizationError", Says::Denied),
        ("ExpiredTokenException", Says::Unauthenticated),
        ("IncompleteSignature", Says::Unauthenticated),
        ("InternalFailure", Says::Unanswered),
        ("InvalidClientTokenId", Says::Unauthenticated),
        ("InvalidSignatureException", Says::Unauthenticated),
        ("MalformedHttpRequestException", Says::Invalid),
        ("MissingAuthenticationToken", Says::Unauthenticated),
        ("MissingAuthenticationTokenException", Says::Unauthenticated),
        ("NotAuthorized", Says::Denied),
        ("OptInRequired", Says::Denied),
        ("RequestAbortedException", Says::Unanswered),
        ("RequestEntityTooLargeException", Says::TooLarge),
        ("RequestExpired", Says::Unauthenticated),
        ("ServiceUnavailable", Says::Unanswered),
        ("ServiceUnavailableException", Says::Unanswered),
        ("UnknownOperationException", Says::Invalid),
        ("UnrecognizedClientException", Says::Unauthenticated),
        ("ValidationError", Says::Invalid),
        ("ValidationException", Says::Invalid),
    ],
};

/// Codes that every SDK retries, whatever the service.
const RETRIED: Source = Source {
    url: "https://docs.rs/aws-runtime/latest/aws_runtime/retries/classifiers/index.html",
    codes: &[
        ("BandwidthLimitExceeded", Says::Throttled),
        ("LimitExceededException", Says::Throttled),
        ("PriorRequestNotComplete", Says::Throttled),
        ("ProvisionedThroughputExceededException", Says::Throttled),
        ("RequestLimitExceeded", Says::Throttled),
        ("RequestThrottled", Says::Throttled),
        ("RequestThrottledException", Says::Throttled),
        ("RequestTimeout", Says::Unanswered),
        ("RequestTimeoutException", Says::Unanswered),
        ("SlowDown", Says::Throttled),
        ("ThrottledException", Says::Throttled),
        ("Throttling", Says::Throttled),
        ("ThrottlingException", Says::Throttled),
        ("TooManyRequestsException", Says::Throttled),
        ("TransactionInProgressException", Says::Throttled),
    ],
};

/// Also `aws-sdk-lambda`, `src/types/error`: each error type of the model.
const LAMBDA: Source = Source {
    url: "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors",
    codes: &[
        ("AliasLimitExceededException", Says::TooLarge),
        ("CallbackTimeoutException", Says::Invalid),
        ("CapacityProviderLimitExceededException", Says::TooLarge),
        ("CodeArtifactUserDeletedException", Says::Invalid),
        ("CodeArtifactUserFailedException", Says::Invalid),
        ("CodeArtifactUserPendingException", Says::Busy),
        ("CodeSigningConfigNotFoundException", Says::Invalid),
        ("CodeStorageExceededException", Says::TooLarge),
        ("CodeVerificationFailedException", Says::Invalid),
        (
            "DurableExecutionAlreadyStartedException",
            Says::AlreadyExists,
        ),
        ("EC2AccessDeniedException", Says::Denied),
        ("EC2ThrottledException", Says::Throttled),
        ("EC2UnexpectedException", Says::Unavailable),
        ("EFSIOException", Says::Unanswered),
        ("EFSMountConnectivityException", Says::Unavailable),
        ("EFSMountFailureException", Says::Invalid),
        ("EFSMountTimeoutException", Says::Unavailable),
        ("ENILimitReachedException", Says::Unavailable),
        ("ENINotReadyException", Says::Busy),
        (
            "FunctionVersionsPerCapacityProviderLimitExceededException",
            Says::TooLarge,
        ),
        ("InvalidCodeSignatureException", Says::Invalid),
        ("InvalidParameterValueException", Says::Parameter),
        ("InvalidRequestContentException", Says::Invalid),
        ("InvalidRuntimeException", Says::Invalid),
        ("InvalidSecurityGroupIDException", Says::Invalid),
        ("InvalidSubnetIDException", Says::Invalid),
        ("InvalidZipFileException", Says::Invalid),
        ("KMSAccessDeniedException", Says::Denied),
        ("KMSDisabledException", Says::Invalid),
        ("KMSInvalidStateException", Says::Invalid),
        ("KMSNotFoundException", Says::Invalid),
        ("ModeNotSupportedException", Says::Invalid),
        ("NoPublishedVersionException", Says::Invalid),
        ("PolicyLengthExceededException", Says::TooLarge),
        ("PreconditionFailedException", Says::Stale),
        (
            "ProvisionedConcurrencyConfigNotFoundException",
            Says::NotFound,
        ),
        ("PublicPolicyException", Says::Invalid),
        ("RecursiveInvocationException", Says::Invalid),
        ("RequestTooLargeException", Says::TooLarge),
        ("ResourceConflictException", Says::Conflict),
        ("ResourceInUseException", Says::Busy),
        ("ResourceNotFoundException", Says::NotFound),
        ("ResourceNotReadyException", Says::Busy),
        ("S3FilesMountConnectivityException", Says::Unavailable),
        ("S3FilesMountFailureException", Says::Invalid),
        ("S3FilesMountTimeoutException", Says::Unavailable),
        ("SerializedRequestEntityTooLargeException", Says::TooLarge),
        ("ServiceException", Says::Unanswered),
        ("ServiceQuotaExceededException", Says::TooLarge),
        ("SnapStartException", Says::Invalid),
        ("SnapStartNotReadyException", Says::Busy),
        ("SnapStartRegenerationFailureException", Says::Unavailable),
        ("SnapStartTimeoutException", Says::Unavailable),
        ("SubnetIPAddressLimitReachedException", Says::Unavailable),
        ("UnsupportedMediaTypeException", Says::Invalid),
    ],
};

const S3: Source = Source {
    url: "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html",
    codes: &[
        ("AccessDenied", Says::Denied),
        ("AccountProblem", Says::Denied),
        ("AllAccessDisabled", Says::Denied),
        ("AuthorizationHeaderMalformed", Says::Invalid),
        ("BadDigest", Says::Corrupt),
        ("BucketAlreadyExists", Says::AlreadyExists),
        ("BucketAlreadyOwnedByYou", Says::AlreadyExists),
        ("ConditionalRequestConflict", Says::Busy),
        ("EncryptionTypeMismatch", Says::Invalid),
        ("EntityTooLarge", Says::TooLarge),
        ("EntityTooSmall", Says::Invalid),
        ("ExpiredToken", Says::Unauthenticated),
        ("IdempotencyParameterMismatch", Says::Invalid),
        ("IllegalLocationConstraintException", Says::Invalid),
        ("IncompleteBody", Says::Corrupt),
        ("InternalError", Says::Unanswered),
        ("InvalidAccessKeyId", Says::Unauthenticated),
        ("InvalidArgument", Says::Invalid),
        ("InvalidBucketName", Says::Invalid),
        ("InvalidDigest", Says::Invalid),
        ("InvalidObjectState", Says::Invalid),
        ("InvalidPart", Says::Invalid),
        ("InvalidPartOrder", Says::Invalid),
        ("InvalidRequest", Says::Invalid),
        ("InvalidSecurity", Says::Unauthenticated),
        ("InvalidToken", Says::Unauthenticated),
        ("KMS.DisabledException", Says::Invalid),
        ("KMS.InvalidKeyUsageException", Says::Invalid),
        ("KMS.InvalidStateException", Says::Invalid),
        ("KMS.KMSInvalidStateException", Says::Invalid),
        ("KMS.NotFoundException", Says::Invalid),
        ("KMS.ThrottlingException", Says::Throttled),
        ("MaxMessageLengthExceeded", Says::TooLarge),
        ("MetadataTooLarge", Says::TooLarge),
        ("MethodNotAllowed", Says::Invalid),
        ("MissingContentLength", Says::Invalid),
        ("NoSuchBucket", Says::NotFound),
        ("NoSuchKey", Says::NotFound),
        ("NoSuchUpload", Says::NotFound),
        ("NoSuchVersion", Says::NotFound),
        ("NotFound", Says::NotFound),
        ("NotImplemented", Says::Invalid),
        ("NotSignedUp", Says::Denied),
        ("OperationAborted", Says::Busy),
        ("PermanentRedirect", Says::Invalid),
        ("PreconditionFailed", Says::Stale),
        ("RequestTimeTooSkewed", Says::Unauthenticated),
        ("SignatureDoesNotMatch", Says::Unauthenticated),
        ("TemporaryRedirect", Says::Unavailable),
        ("TokenRefreshRequired", Says::Unauthenticated),
        ("TooManyParts", Says::Invalid),
        ("XAmzContentChecksumMismatch", Says::Corrupt),
        ("XAmzContentSHA256Mismatch", Says::Corrupt),
    ],
};

const STS: Source = Source {
    url: "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html",
    codes: &[
        ("ExpiredTradeInTokenException", Says::Unauthenticated),
        ("IDPCommunicationError", Says::Unavailable),
        ("IDPRejectedClaim", Says::Unauthenticated),
        ("InvalidAuthorizationMessageException", Says::Invalid),
        ("InvalidIdentityToken", Says::Unauthenticated),
        ("JWTPayloadSizeExceededException", Says::TooLarge),
        ("MalformedPolicyDocument", Says::Invalid),
        (
            "OutboundWebIdentityFederationDisabledException",
            Says::Denied,
        ),
        ("PackedPolicyTooLarge", Says::TooLarge),
        ("RegionDisabledException", Says::Denied),
        ("SessionDurationEscalationException", Says::Invalid),
    ],
};

const CLOUDWATCH: Source = Source {
    url: "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html",
    codes: &[
        ("ConcurrentModificationException", Says::Busy),
        ("ConflictException", Says::Busy),
        ("InternalServiceError", Says::Unanswered),
        ("InternalServiceFault", Says::Unanswered),
        ("InvalidFormat", Says::Invalid),
        ("InvalidNextToken", Says::Invalid),
        ("InvalidParameterCombination", Says::Invalid),
        ("InvalidParameterValue", Says::Invalid),
        ("KmsAccessDeniedException", Says::Denied),
        ("KmsKeyDisabledException", Says::Invalid),
        ("KmsKeyNotFoundException", Says::Invalid),
        ("LimitExceeded", Says::TooLarge),
        ("MissingParameter", Says::Invalid),
        ("ResourceNotFound", Says::NotFound),
    ],
};
