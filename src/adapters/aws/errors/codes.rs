//! What each error code of the services means that Sluice calls: one table, with its sources.
//!
//! A code means the same whatever the HTTP status it comes with: Lambda reports with 502 what is wrong with a
//! package or a key, and S3 with 400 that a connection stood still. What is not in here goes by its status.
//!
//! Whether there is none of a thing is said only by the codes that speak of the thing itself: a key, a subnet or
//! a signing configuration that is missing must not be taken for a missing function.

/// What a code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// There is none.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// It is being changed, or not ready yet.
    Busy,
    /// It changed since it was looked at.
    Stale,
    /// The caller, or the function's role, may not.
    Denied,
    /// The credentials or the clock are wrong.
    Unauthenticated,
    /// Too many calls.
    Throttled,
    /// It was not done, and may be later.
    Unavailable,
    /// Something failed on the way: a write may have been done.
    Unanswered,
    /// The request is wrong as it is.
    Invalid,
    /// The bytes did not arrive as they were.
    Corrupt,
    /// More than a limit or quota.
    TooLarge,
    /// What the message of a conflict says.
    Conflict,
    /// What the message about a parameter says.
    Parameter,
}

/// The codes of one page or model.
pub(super) struct Source {
    /// Where they are listed.
    #[cfg_attr(not(test), allow(dead_code, reason = "for who reads the table"))]
    pub(super) url: &'static str,
    /// The codes.
    pub(super) codes: &'static [(&'static str, Says)],
}

/// What the code says, if it is known.
pub(super) fn says(code: &str) -> Option<Says> {
    let mut all = TABLE.iter().flat_map(|source| source.codes);
    all.find(|(known, _)| *known == code).map(|(_, says)| *says)
}

/// Every code.
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

/// What every SDK tries again, whatever the service.
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
