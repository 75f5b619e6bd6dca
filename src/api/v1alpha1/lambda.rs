//! A Lambda function.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{
    has_no_reserved_keys, has_no_reserved_variables, has_valid_keys, has_variable_names, is_role,
};

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
    #[x_kube(validation = is_role())]
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
    #[x_kube(validation = has_variable_names(), validation = has_no_reserved_variables())]
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
    #[x_kube(validation = has_no_reserved_keys(), validation = has_valid_keys())]
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
    #[x_kube(validation = is_role())]
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
    #[x_kube(validation = has_variable_names(), validation = has_no_reserved_variables())]
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
    #[x_kube(validation = has_no_reserved_keys(), validation = has_valid_keys())]
    pub tags: BTreeMap<String, String>,
}
