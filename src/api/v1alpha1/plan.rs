//! The changes that a Release makes on a Target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReleaseRef, StoredRef};

/// The changes that a Release makes on a Target, computed from the live state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// The Release.
    pub release: ReleaseRef,
    /// SHA-256 over the changes, the desired state and the live state, lower-case hex. The same delivery
    /// to the same state has the same digest.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// Summary in one line: `api: code, memorySize; site unchanged`.
    #[schemars(length(max = 1024))]
    pub summary: String,
    /// The first 100 changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub changes: Vec<PlannedChange>,
    /// The number of further changes. The digest covers them as well.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub omitted: i64,
    /// The number of removed components whose resources are deleted.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub deletions: i64,
    /// The deletion policy with which the plan was made. Another policy makes another plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub deletion_policy: Option<String>,
    /// All changes, if some are omitted here: a JSON list in the Account's artifact bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredRef>,
}

/// One change. Values of environment variables are never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedChange {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// `Adopt`, `Create`, `Update`, `Publish`, `Move`, `Delete` or `Keep` (retained in AWS, but no longer
    /// owned by Sluice).
    #[schemars(length(max = 63))]
    pub action: String,
    /// The resource to change: a function's name, `function:alias`, an object (`s3://bucket/key`).
    #[schemars(length(max = 1024))]
    pub resource: String,
    /// The setting, such as `memorySize` or `environment.LOG_LEVEL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub field: Option<String>,
    /// The live value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub from: Option<String>,
    /// The desired value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub to: Option<String>,
}
