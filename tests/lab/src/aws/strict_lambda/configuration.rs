//! Invalid configurations that the emulator accepts: unknown runtimes, values that are too long, too many
//! tags, and environment variables that are reserved, misnamed or too large.
//!
//! (Source: AWS Lambda's developer guide, "Lambda runtimes", "Defined runtime environment variables"
//! and "Lambda quotas"; the wording of the errors as client libraries' issues quote it.)

use serde_json::Value;

use super::{Exchange, Step, invalid, refuse, text};
use crate::aws::limits;

/// The runtimes that functions can be created with, newest first.
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

const UNABLE: &str = "Lambda was unable to configure your environment variables because the \
                      environment variables you have provided";

/// Refuses an invalid configuration.
pub(super) fn refuse_invalid_configuration(exchange: &Exchange) -> Step {
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
    if let Some(refusal) = refuse_long(&request).or_else(|| refuse_tags(&request)) {
        return refusal;
    }
    match &request["Environment"]["Variables"] {
        Value::Object(variables) => refuse_variables(variables),
        _ => Step::Pass,
    }
}

/// Refuses a name or a description that is too long.
fn refuse_long(request: &Value) -> Option<Step> {
    let fields = [
        ("FunctionName", "functionName", limits::FUNCTION_NAME),
        ("Description", "description", limits::DESCRIPTION),
    ];
    fields.into_iter().find_map(|(field, member, most)| {
        let value = text(request, field).filter(|value| !value.starts_with("arn:"))?;
        let is_long = value.chars().count() > most;
        is_long.then(|| {
            violated(&format!(
                "Value '{value}' at '{member}' failed to satisfy constraint: Member must have length less than or \
                 equal to {most}"
            ))
        })
    })
}

fn refuse_tags(request: &Value) -> Option<Step> {
    let tags = request["Tags"].as_object()?;
    if tags.len() > limits::TAGS {
        return Some(invalid("Number of tags exceeds resource tag limit."));
    }
    let is_long = |(key, value): (&String, &Value)| {
        let value = value.as_str().unwrap_or_default();
        key.chars().count() > limits::TAG_KEY || value.chars().count() > limits::TAG_VALUE
    };
    tags.iter().any(is_long).then(|| {
        violated(&format!(
            "Value at 'tags' failed to satisfy constraint: Map keys must have at most {} characters and values at \
             most {}",
            limits::TAG_KEY,
            limits::TAG_VALUE
        ))
    })
}

fn violated(what: &str) -> Step {
    refuse(
        400,
        "ValidationException",
        &format!("1 validation error detected: {what}"),
    )
}

fn refuse_variables(variables: &serde_json::Map<String, Value>) -> Step {
    if !variables.keys().all(|name| is_name(name)) {
        return violated(
            "Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: \
             [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]",
        );
    }
    let reserved: Vec<&str> = (variables.keys().map(String::as_str))
        .filter(|name| limits::RESERVED_VARIABLES.contains(name))
        .collect();
    if !reserved.is_empty() {
        return invalid(&format!(
            "{UNABLE} contains reserved keys that are currently not supported for modification. \
             Reserved keys used in this request: {}",
            reserved.join(", ")
        ));
    }
    let measured = Value::Object(variables.clone()).to_string();
    if measured.len() > limits::ENVIRONMENT {
        return invalid(&format!(
            "{UNABLE} exceeded the 4KB limit. String measured: {measured}"
        ));
    }
    Step::Pass
}

/// `_HANDLER` and the like are refused as reserved, not as misnamed.
fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    limits::RESERVED_VARIABLES.contains(&name)
        || name.len() > 1
            && letters
                .next()
                .is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
