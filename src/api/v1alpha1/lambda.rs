//! A Lambda function.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Lambda function with an alias that serves its traffic.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lambda {
    /// Name of the function. Takes `$(…)`.
    #[schemars(length(min = 1, max = 140))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^[a-zA-Z0-9_-]{1,64}$')")
        .message("must be 1 to 64 letters, digits, - and _"))]
    pub function_name: String,
    /// Name of the artifact: a zip that is a Lambda deployment package.
    #[schemars(length(min = 1, max = 63))]
    pub artifact: String,
    /// Lambda's identifier of the runtime, such as `python3.13` or `provided.al2023`.
    #[schemars(length(min = 1, max = 64))]
    pub runtime: String,
    /// The handler in the package, such as `app.handler`.
    #[schemars(length(min = 1, max = 128))]
    pub handler: String,
    /// Name (with path) or ARN of the execution role. Takes `$(…)`.
    #[schemars(length(min = 1, max = 768))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^(arn:[a-z-]+:iam::[0-9]{12}:role/)?([!-~]+/)?[a-zA-Z0-9_+=,.@-]{1,64}$')")
        .message("must be the name of a role, with its path if it has one, or its ARN"))]
    pub role: String,
    /// The alias that serves traffic. Callers should invoke this alias.
    #[serde(default = "default_alias")]
    #[schemars(
        regex(pattern = r"^[a-zA-Z0-9_-]*[a-zA-Z_-][a-zA-Z0-9_-]*$"),
        length(min = 1, max = 128)
    )]
    pub alias: String,
    /// Memory in MiB.
    #[serde(default = "default_memory_size")]
    #[schemars(range(min = 128, max = 10240))]
    pub memory_size: i32,
    /// Maximum duration of an invocation, in seconds.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 900))]
    pub timeout: i32,
    /// The instruction set architecture.
    #[serde(default)]
    pub architecture: Architecture,
    /// Environment variables. Values take `$(…)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 256,
        "additionalProperties" = {"type": "string", "maxLength": 4096}
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^[a-zA-Z][a-zA-Z0-9_]+$'))")
            .message("names must be letters, digits and _, at least two, beginning with a letter"),
        validation = Rule::new("!['AWS_ACCESS_KEY', 'AWS_ACCESS_KEY_ID', 'AWS_DEFAULT_REGION', 'AWS_EXECUTION_ENV', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE', 'AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION', 'AWS_LAMBDA_INITIALIZATION_TYPE', 'AWS_LAMBDA_LOG_GROUP_NAME', 'AWS_LAMBDA_LOG_STREAM_NAME', 'AWS_LAMBDA_RUNTIME_API', 'AWS_REGION', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'LAMBDA_RUNTIME_DIR', 'LAMBDA_TASK_ROOT'].exists(r, r in self)")
            .message("Lambda sets its reserved variables itself, such as AWS_REGION and AWS_SESSION_TOKEN")
    )]
    pub environment: BTreeMap<String, String>,
    /// Description of the function. Takes `$(…)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Tags of the function, besides those that Sluice sets. Sluice removes a tag from the function when it
    /// is removed from this map, and keeps tags that it did not set. Values take `$(…)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 40,
        "additionalProperties" = {"type": "string", "maxLength": 1024}
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, !k.startsWith('sluice.dev/') && !k.startsWith('aws:'))")
            .message("the prefixes sluice.dev/ and aws: are reserved"),
        validation = Rule::new("self.all(k, k.size() <= 128 && k.matches('^[\\\\p{L}\\\\p{Z}\\\\p{N}_.:/=+@-]+$'))")
            .message("keys must be 1 to 128 letters, digits, spaces and _ . : / = + - @")
    )]
    pub tags: BTreeMap<String, String>,
}

fn default_alias() -> String {
    "live".to_owned()
}

fn default_memory_size() -> i32 {
    128
}

fn default_timeout() -> i32 {
    3
}

/// Instruction set architectures of Lambda.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit x86.
    #[default]
    X86_64,
    /// 64-bit ARM (Graviton).
    Arm64,
}

impl Architecture {
    /// The name in Lambda's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Settings of a function that can differ between stages.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LambdaOverride {
    /// Replaces the component's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 768))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^(arn:[a-z-]+:iam::[0-9]{12}:role/)?([!-~]+/)?[a-zA-Z0-9_+=,.@-]{1,64}$')")
        .message("must be the name of a role, with its path if it has one, or its ARN"))]
    pub role: Option<String>,
    /// Replaces the component's memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 128, max = 10240))]
    pub memory_size: Option<i32>,
    /// Replaces the component's timeout, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 900))]
    pub timeout: Option<i32>,
    /// Merged into the component's environment variables, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 256,
        "additionalProperties" = {"type": "string", "maxLength": 4096}
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^[a-zA-Z][a-zA-Z0-9_]+$'))")
            .message("names must be letters, digits and _, at least two, beginning with a letter"),
        validation = Rule::new("!['AWS_ACCESS_KEY', 'AWS_ACCESS_KEY_ID', 'AWS_DEFAULT_REGION', 'AWS_EXECUTION_ENV', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE', 'AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION', 'AWS_LAMBDA_INITIALIZATION_TYPE', 'AWS_LAMBDA_LOG_GROUP_NAME', 'AWS_LAMBDA_LOG_STREAM_NAME', 'AWS_LAMBDA_RUNTIME_API', 'AWS_REGION', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'LAMBDA_RUNTIME_DIR', 'LAMBDA_TASK_ROOT'].exists(r, r in self)")
            .message("Lambda sets its reserved variables itself, such as AWS_REGION and AWS_SESSION_TOKEN")
    )]
    pub environment: BTreeMap<String, String>,
    /// Replaces the component's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Merged into the component's tags, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 40,
        "additionalProperties" = {"type": "string", "maxLength": 1024}
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, !k.startsWith('sluice.dev/') && !k.startsWith('aws:'))")
            .message("the prefixes sluice.dev/ and aws: are reserved"),
        validation = Rule::new("self.all(k, k.size() <= 128 && k.matches('^[\\\\p{L}\\\\p{Z}\\\\p{N}_.:/=+@-]+$'))")
            .message("keys must be 1 to 128 letters, digits, spaces and _ . : / = + - @")
    )]
    pub tags: BTreeMap<String, String>,
}
