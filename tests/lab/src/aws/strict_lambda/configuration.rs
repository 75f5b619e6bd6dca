//! What AWS refuses of a function's configuration and the emulator takes: unknown runtimes, and
//! variables that are reserved, misnamed or too many.
//!
//! (Source: AWS Lambda's developer guide, "Lambda runtimes", "Defined runtime environment variables"
//! and "Lambda quotas"; the wording of the errors as client libraries' issues quote it.)

use serde_json::Value;

use super::{Exchange, Step, invalid, refuse, text};

/// Those that functions can be created with, newest first.
const RUNTIMES: [&str; 18] = [
    "nodejs24.x",
    "nodejs22.x",
    "nodejs20.x",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "java25",
    "java21",
    "java17",
    "java11",
    "dotnet10",
    "dotnet8",
    "ruby3.4",
    "ruby3.3",
    "provided.al2023",
    "provided.al2",
];

/// Variables that Lambda sets itself.
const RESERVED: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

/// What all variables may measure, as JSON.
const ENVIRONMENT_BYTES: usize = 4096;

const UNABLE: &str = "Lambda was unable to configure your environment variables because the \
                      environment variables you have provided";

/// A configuration that AWS does not take.
pub(super) fn refuse_bad(exchange: &Exchange) -> Step {
    let request = exchange.json();
    if let Some(runtime) = text(&request, "Runtime")
        && !RUNTIMES.contains(&runtime)
    {
        return invalid(&format!(
            "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum \
             value set: [{}] or be a valid ARN",
            RUNTIMES.join(", ")
        ));
    }
    match &request["Environment"]["Variables"] {
        Value::Object(variables) => refuse_variables(variables),
        _ => Step::Pass,
    }
}

fn refuse_variables(variables: &serde_json::Map<String, Value>) -> Step {
    if !variables.keys().all(|name| is_name(name)) {
        return refuse(
            400,
            "ValidationException",
            "1 validation error detected: Value at 'environment.variables' failed to satisfy \
             constraint: Map keys must satisfy constraint: [Member must satisfy regular expression \
             pattern: [a-zA-Z]([a-zA-Z0-9_])+]",
        );
    }
    let reserved: Vec<&str> = (variables.keys().map(String::as_str))
        .filter(|name| RESERVED.contains(name))
        .collect();
    if !reserved.is_empty() {
        return invalid(&format!(
            "{UNABLE} contains reserved keys that are currently not supported for modification. \
             Reserved keys used in this request: {}",
            reserved.join(", ")
        ));
    }
    let measured = Value::Object(variables.clone()).to_string();
    if measured.len() > ENVIRONMENT_BYTES {
        return invalid(&format!(
            "{UNABLE} exceeded the 4KB limit. String measured: {measured}"
        ));
    }
    Step::Pass
}

/// `_HANDLER` and the like are refused as reserved, not as misnamed.
fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    RESERVED.contains(&name)
        || name.len() > 1
            && letters
                .next()
                .is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
