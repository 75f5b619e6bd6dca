//! A run of the engine on a Target: what is assigned, and its progress.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeletionPolicy, Difference, OwnedObjects, ReleaseRef};

/// A run of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The Release to deliver.
    pub release: ReleaseRef,
    /// The attempt number, from 1.
    #[schemars(range(min = 1))]
    pub attempt: i64,
    /// The goal of the run.
    pub goal: Goal,
    /// Sequence number of the run within the stage. The run with the highest number is in force.
    #[schemars(range(min = 1))]
    pub sequence: i64,
    /// Digest of the approved plan. The engine carries out no other plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub plan_digest: Option<String>,
    /// Digest of the stage's approved plan. It must match the plans of the Targets to which no run is
    /// assigned yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub stage_digest: Option<String>,
    /// The deletion policy when the Release was assigned to the stage, with which its plan was approved.
    /// It applies to resources that the Release no longer has; they are retained if the Target's policy
    /// says so by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Human-readable reason for a restore or rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
    /// The run takes no further step forward for now. Sluice still watches the checks at the current step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The run moves the rest of the traffic at once, without bakes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immediate: bool,
    /// The run rolls back to a Release that has served before. Alarms and metrics are not checked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback: bool,
    /// The number of consecutive runs that delivered the live Release again to correct drift. 0 if the run
    /// is not a correction.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub correction: i64,
}

impl Run {
    /// A plain run: without an approved plan, at the normal pace, forward.
    pub fn new(release: ReleaseRef, attempt: i64, goal: Goal, sequence: i64) -> Self {
        Self {
            release,
            attempt,
            goal,
            sequence,
            plan_digest: None,
            stage_digest: None,
            deletion_policy: None,
            reason: None,
            paused: false,
            immediate: false,
            rollback: false,
            correction: 0,
        }
    }
}

/// The goal of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Goal {
    /// Deliver the Release.
    Deliver,
    /// Restore the snapshot from before this run.
    Restore,
    /// Delete what the Release no longer has, after the Release serves in the whole stage.
    Prune,
}

/// The progress of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// The Release that the run delivers.
    pub release: ReleaseRef,
    /// The attempt number.
    pub attempt: i64,
    /// Version of the journal: the format of `step`, `snapshot` and `intents`.
    pub journal_version: i64,
    /// `Prepare`, `Promote`, `Held` (failed, and waiting for a decision), `Restore`, and at the end
    /// `Succeeded`, `Failed` (nothing was changed), `RolledBack` or `RollbackFailed`.
    #[schemars(length(max = 63))]
    pub step: String,
    /// The step at which the run is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub held_at: Option<String>,
    /// The run rolls back, or was promoted while it was held: it skips checks that have to wait for data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metric_checks_skipped: bool,
    /// The current level of components. Level 0 has the components without dependencies.
    #[serde(default)]
    pub level: i64,
    /// How far traffic has moved to the level's new versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficStatus>,
    /// Human-readable details. After a rollback, they still show the failure that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// When the run began.
    pub started_at: Time,
    /// When the run last made progress. `progressDeadline` counts from here.
    pub progressed_at: Time,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The snapshot, written before the first change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotRef>,
    /// The intents of the current step, written before any change is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub intents: Vec<Intent>,
    /// The progress of each component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub components: Vec<ComponentStatus>,
    /// The restored resources after `RolledBack`, as observed at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub restored: Vec<Restored>,
    /// The resources that differ from the snapshot after `RollbackFailed`, as far as observed; the first
    /// 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub differences: Vec<Difference>,
}

/// A restored resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// The resource in AWS: a function's name, `function:alias`, or a bucket with the prefix.
    #[schemars(length(max = 1280))]
    pub resource: String,
    /// The restored state: `version 3`, or digests of code and configuration as `code 8f3a…`.
    #[schemars(length(max = 512))]
    pub state: String,
}

/// How far traffic has moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficStatus {
    /// The current step of the rollout, from 0.
    pub step: i64,
    /// Percentage of the requests that the new versions get in this step.
    pub weight: i32,
    /// Percentage that they had before this step. Absent if the live versions had all requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_weight: Option<i32>,
    /// Seconds of bake in this step so far.
    #[serde(default)]
    pub baked_seconds: i64,
    /// Number of analyses of the checks in this step.
    #[serde(default)]
    pub evaluations: i64,
    /// When the checks were last analyzed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_at: Option<Time>,
    /// The checks that were inconclusive at the last analysis. They need a verdict before the step passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub pending: Option<String>,
}

impl TrafficStatus {
    /// Whether traffic moves in parts. A move of all traffic at once ends as soon as it is made.
    pub fn is_gradual(&self) -> bool {
        self.weight < 100 || self.previous_weight.is_some()
    }

    /// The same share of the traffic, with a new bake.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            baked_seconds: 0,
            evaluations: 0,
            evaluated_at: None,
            pending: None,
            ..self.clone()
        }
    }
}

/// A reference to the stored snapshot of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRef {
    /// Key in the Account's artifact bucket.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// Version of that object.
    #[schemars(length(max = 1024))]
    pub version_id: String,
    /// SHA-256 of the object, lower-case hex.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// The Release that was live, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseRef>,
}

/// A change that is about to be made, with what identifies its effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// The AWS operation, such as `UpdateFunctionCode`.
    #[schemars(length(max = 63))]
    pub operation: String,
    /// The resource to change, such as the function's name or `function:alias`.
    #[schemars(length(max = 1024))]
    pub resource: String,
    /// The expected result: a digest of code or configuration, or a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub result: Option<String>,
}

/// The progress of a component in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// The component.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The resource in AWS: a function's name, or a bucket with the prefix.
    #[schemars(length(max = 1024))]
    pub resource: String,
    /// The version that was published for this Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub version: Option<String>,
    /// The version that served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub previous_version: Option<String>,
    /// SHA-256 of the package or archive, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub code_sha256: Option<String>,
    /// Digest of the effective configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub configuration_digest: Option<String>,
    /// RevisionId of the alias before its move. AWS refuses the move if the alias has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub alias_revision_id: Option<String>,
    /// The objects that Sluice owns in a bucket once this component serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<OwnedObjects>,
    /// The values of those outputs that other components use, once it serves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 200,
        "additionalProperties" = {"type": "string", "maxLength": 4096}
    ))]
    pub outputs: BTreeMap<String, String>,
    /// Its changes are computed only once its level begins: outputs of other components were unknown before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
}
