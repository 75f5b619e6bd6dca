//! What must be true before, while and after traffic moves.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must be true: on the new version before traffic moves, and through the alias after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// How messages call it.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// Invokes a function and looks at its answer.
    pub invoke: InvokeCheck,
}

/// Invokes a function and looks at its answer.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvokeCheck {
    /// Name of the component.
    #[schemars(length(min = 1, max = 63))]
    pub component: String,
    /// The event that the function gets. Strings in it take `$(…)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_json")]
    pub payload: Option<serde_json::Value>,
    /// What the answer must be. Without it, any answer that is not an error will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
    /// How long the answer may take.
    #[serde(default = "default_check_timeout")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('15m')")
        .message("must be a duration from 1s to 15m, such as 10s"))]
    pub timeout: String,
}

fn default_check_timeout() -> String {
    "10s".to_owned()
}

/// What a place in the answer must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// JSON pointer (RFC 6901) into the answer, such as `/statusCode`; empty for the whole answer.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(/.*)?$"), length(max = 512))]
    pub path: String,
    /// The value that must be there.
    #[schemars(schema_with = "any_json")]
    pub equals: serde_json::Value,
}

fn any_json(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // Without `nullable` the API server takes a null away as if it were not written.
    schemars::json_schema!({ "nullable": true, "x-kubernetes-preserve-unknown-fields": true })
}
