//! Rules that several fields have.

use kube::core::Rule;

/// A role: its name with path, or its ARN.
pub(super) fn is_role() -> Rule {
    Rule::new("self.contains('$(') || self.matches('^(arn:[a-z-]+:iam::[0-9]{12}:role/)?([!-~]+/)?[a-zA-Z0-9_+=,.@-]{1,64}$')")
        .message("must be the name of a role, with its path if it has one, or its ARN")
}

/// Tags: none of the keys is reserved.
pub(super) fn has_no_reserved_keys() -> Rule {
    Rule::new("self.all(k, !k.startsWith('sluice.dev/') && !k.startsWith('aws:'))")
        .message("the prefixes sluice.dev/ and aws: are reserved")
}

/// Tags: AWS accepts the keys.
pub(super) fn has_valid_keys() -> Rule {
    Rule::new("self.all(k, k.size() <= 128 && k.matches('^[\\\\p{L}\\\\p{Z}\\\\p{N}_.:/=+@-]+$'))")
        .message("keys must be 1 to 128 letters, digits, spaces and _ . : / = + - @")
}

/// Environment variables: Lambda accepts the names.
pub(super) fn has_variable_names() -> Rule {
    Rule::new("self.all(k, k.matches('^[a-zA-Z][a-zA-Z0-9_]+$'))")
        .message("names must be letters, digits and _, at least two, beginning with a letter")
}

/// Environment variables: Lambda does not set them itself.
pub(super) fn has_no_reserved_variables() -> Rule {
    Rule::new("!['AWS_ACCESS_KEY', 'AWS_ACCESS_KEY_ID', 'AWS_DEFAULT_REGION', 'AWS_EXECUTION_ENV', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE', 'AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION', 'AWS_LAMBDA_INITIALIZATION_TYPE', 'AWS_LAMBDA_LOG_GROUP_NAME', 'AWS_LAMBDA_LOG_STREAM_NAME', 'AWS_LAMBDA_RUNTIME_API', 'AWS_REGION', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'LAMBDA_RUNTIME_DIR', 'LAMBDA_TASK_ROOT'].exists(r, r in self)")
            .message("Lambda sets its reserved variables itself, such as AWS_REGION and AWS_SESSION_TOKEN")
}

/// Parameters of a template: CloudFormation accepts the names.
pub(super) fn has_parameter_names() -> Rule {
    Rule::new("self.all(k, k.matches('^[a-zA-Z0-9]{1,255}$'))")
        .message("names must be 1 to 255 letters and digits")
}
