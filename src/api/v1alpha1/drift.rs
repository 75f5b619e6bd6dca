//! How Sluice checks for drift, and the drift that it found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How Sluice handles resources in AWS that were modified externally.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// How often Sluice compares AWS with what the last run left, such as `10m`. Each drift check costs
    /// one or two reads per function.
    #[serde(default = "default_drift_interval")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("must be a duration from 1s to 24h, such as 10m"))]
    pub interval: String,
    /// What Sluice does about drift.
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

/// What Sluice does about drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftPolicy {
    /// Report drift: by the condition `Drifted`, an Event and a metric.
    #[default]
    Report,
    /// Report drift, and deliver the live Release again, outside of rollouts.
    Correct,
    /// Don't check for drift.
    Ignore,
}

/// How a Target checks for drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetDrift {
    /// The interval between drift checks, such as `10m`.
    #[schemars(length(max = 32))]
    pub interval: String,
    /// What Sluice does about drift.
    pub policy: DriftPolicy,
    /// The Deployment's `sluice.dev/reconcile`: each new value requests one drift check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub request: Option<String>,
}

/// The differences between AWS and what the last run left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// The last handled value of `sluice.dev/reconcile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub handled_check: Option<String>,
    /// When exactly these differences were first observed. A drift check that finds the same
    /// differences does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The first 50 differences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub differences: Vec<Difference>,
    /// The number of further differences.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub omitted: i64,
    /// Why Sluice can't correct the drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub obstacle: Option<String>,
}

/// A resource that differs from what the last run left, or from the snapshot after a run that could not
/// be restored. Values of environment variables are never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// The resource that differs: a function's name, `function:alias`, an object.
    #[schemars(length(max = 1280))]
    pub resource: String,
    /// The setting, such as `memorySize` or `version`. Absent if the whole resource is missing, or
    /// should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub field: Option<String>,
    /// The value that the last run left, or that the snapshot has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub expected: Option<String>,
    /// The observed value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub found: Option<String>,
    /// When the resource was last modified, if AWS reports it: Lambda does for functions, but not for
    /// aliases and tags; S3 does for objects that exist. CloudTrail shows who modified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Time>,
}
