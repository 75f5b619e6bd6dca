//! What is to be done about changes that somebody else made in AWS, and what was found of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is to be done about changes that somebody else made in AWS.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// How often it is looked whether AWS still is as the last rollout left it: `10m`. It costs one or
    /// two reads per function.
    #[serde(default = "default_drift_interval")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("must be a duration from 1s to 24h, such as 10m"))]
    pub interval: String,
    /// What happens then.
    #[serde(default)]
    pub policy: DriftPolicy,
}

impl Default for Drift {
    fn default() -> Self {
        Self {
            interval: default_drift_interval(),
            policy: DriftPolicy::default(),
        }
    }
}

fn default_drift_interval() -> String {
    "10m".to_owned()
}

/// What happens about changes that somebody else made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftPolicy {
    /// It is said: condition `Drifted`, Event, metric.
    #[default]
    Report,
    /// It is said, and what serves is delivered once more, outside of rollouts.
    Correct,
    /// Nobody looks.
    Ignore,
}

/// How a Target looks for changes that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetDrift {
    /// How often: `10m`.
    #[schemars(length(max = 32))]
    pub interval: String,
    /// What happens then.
    pub policy: DriftPolicy,
    /// The Deployment's `sluice.dev/reconcile`: each new value is one more look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub look: Option<String>,
}

/// What differs in AWS from what the last run left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// The value of `sluice.dev/reconcile` for which was looked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub handled_check: Option<String>,
    /// When exactly these differences were seen first: looks that find the same are not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Each difference, the first fifty of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub differences: Vec<Difference>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub omitted: i64,
    /// Why they can't be corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub obstacle: Option<String>,
}

/// Something that is not as the last run left it, or as it stood before a run that could not be put
/// back. Values of environment variables are never told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// What differs: a function's name, `function:alias`, an object.
    #[schemars(length(max = 1280))]
    pub resource: String,
    /// The setting, such as `memorySize` or `version`; none where the whole thing is gone, or should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub field: Option<String>,
    /// What the run left, or what stood before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub expected: Option<String>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub found: Option<String>,
    /// When the thing was changed last, where AWS says so: Lambda does of a function, not of an alias or
    /// of tags; S3 does of an object that is there. Who did it is in CloudTrail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Time>,
}
