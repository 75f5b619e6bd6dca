//! The limits themselves. The lab reads this file too: its emulated AWS enforces the same limits.

/// Characters of a function's name (Lambda API Reference, `CreateFunction`, `FunctionName`: "If you
/// specify only the function name, it is limited to 64 characters in length").
pub const FUNCTION_NAME: usize = 64;

/// Characters of a function's description (Lambda API Reference, `CreateFunction`, `Description`).
pub const DESCRIPTION: usize = 256;

/// Bytes of all environment variables of a function, measured on their JSON (AWS Lambda quotas,
/// "Environment variables: 4 KB, for all environment variables associated with the function, in
/// aggregate").
pub const ENVIRONMENT: usize = 4096;

/// Variables that Lambda sets itself (AWS Lambda Developer Guide, "Defined runtime environment
/// variables", reserved).
pub const RESERVED_VARIABLES: [&str; 18] = [
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
];

/// Tags of one resource, those of Sluice included (AWS General Reference, "Tag naming limits and
/// requirements").
pub const TAGS: usize = 50;

/// Characters of a tag's key (same source as [`TAGS`]).
pub const TAG_KEY: usize = 128;

/// Characters of a tag's value (same source as [`TAGS`]).
pub const TAG_VALUE: usize = 256;

/// Characters of a role's name (IAM API Reference, `CreateRole`, `RoleName`).
pub const ROLE_NAME: usize = 64;

/// Characters of a role's path, with the slashes around it (IAM API Reference, `CreateRole`, `Path`).
pub const ROLE_PATH: usize = 512;

/// Characters of an alias (Lambda API Reference, `CreateAlias`, `Name`).
pub const ALIAS: usize = 128;

/// Characters of a bucket's name (Amazon S3 User Guide, "General purpose bucket naming rules").
pub const BUCKET: std::ops::RangeInclusive<usize> = 3..=63;

/// Bytes of an object's key (Amazon S3 User Guide, "Naming Amazon S3 objects").
pub const KEY: usize = 1024;

/// Characters of a stack's name (CloudFormation API Reference, `CreateChangeSet`, `StackName`, and "AWS
/// CloudFormation quotas", "Stack name").
pub const STACK_NAME: usize = 128;

/// Bytes of a template in a bucket (AWS CloudFormation quotas, "Template body size in an S3 object for a
/// CloudFormation template": 1 MB).
pub const TEMPLATE: u64 = 1_048_576;

/// Resources of a template (AWS CloudFormation quotas, "Resources").
pub const RESOURCES: usize = 500;

/// Parameters of a template (AWS CloudFormation quotas, "Parameters").
pub const PARAMETERS: usize = 200;

/// Bytes of a parameter's value (AWS CloudFormation quotas, "Parameter values").
pub const PARAMETER_VALUE: usize = 4096;
