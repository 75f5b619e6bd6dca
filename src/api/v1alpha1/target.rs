//! One account and region inside a stage.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeletionPolicy, DeletionStatus, Difference, DriftStatus, ReleaseRef, TargetDrift};

/// One account and region inside a stage: what is live there and what is being done. Written by the
/// controller.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Target",
    plural = "targets",
    shortname = "stgt",
    category = "sluice",
    namespaced,
    status = "TargetStatus",
    doc = "One account and region inside a stage: what is live there and what is being done.",
    printcolumn(name = "Deployment", type_ = "string", json_path = ".spec.deployment"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Account", type_ = "string", json_path = ".spec.account"),
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(
        name = "Live",
        type_ = "integer",
        json_path = ".status.live.release.revision"
    ),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.live.since"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Drifted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Drifted')].status"
    ),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.summary")
)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// Name of the Deployment in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub deployment: String,
    /// Name of the stage.
    #[schemars(length(min = 1, max = 63))]
    pub stage: String,
    /// Name of the stage in Releases from before the stage was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub former_stage: Option<String>,
    /// Name of the Account.
    #[schemars(length(min = 1, max = 253))]
    pub account: String,
    /// The Account's id when this Target was made: nothing is written anywhere else.
    #[schemars(regex(pattern = r"^[0-9]{12}$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable"))]
    pub account_id: String,
    /// The region.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable"))]
    pub region: String,
    /// What happens in AWS when this Target is deleted.
    pub deletion_policy: DeletionPolicy,
    /// How it looks whether AWS still is as it left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<TargetDrift>,
    /// The Release of which it is to be said what it would change here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<ReleaseRef>,
    /// What is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// An order to the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// What to deliver.
    pub release: ReleaseRef,
    /// Which try it is, from 1.
    #[schemars(range(min = 1))]
    pub attempt: i64,
    /// Where it should end.
    pub goal: Goal,
    /// Counts the orders of the stage: the highest is the one that holds.
    #[schemars(range(min = 1))]
    pub sequence: i64,
    /// Digest of the plan that was approved: anything else is not carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub plan_digest: Option<String>,
    /// Digest of the stage's plan that was approved: what the plans of the Targets that have no order
    /// yet must add up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub stage_digest: Option<String>,
    /// The deletion policy when the stage was given the Release, which its plan was approved with:
    /// what the Release no longer has goes by it, and stays where the Target's says so by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Why it goes back, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
    /// Takes no further step forward for now; what is reached is still checked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Moves all that is left of the traffic at once, and waits for no bake.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immediate: bool,
    /// It goes back to what has served before: alarms and metrics are not asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback: bool,
    /// How often in a row what serves was delivered once more because somebody had changed it; 0 where
    /// that is not what this order is for.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub correction: i64,
}

impl Run {
    /// A plain order: nothing approved, nothing hurried, forward.
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

/// Where a run should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Goal {
    /// The Release serves.
    Deliver,
    /// What stood before this run serves again.
    Restore,
    /// The Release serves in the whole stage: what it no longer has may go.
    Prune,
}

/// What is live on a Target and what is being done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One line: what is going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// The Release that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveRelease>,
    /// What a Release would change here, or what the last one that was begun changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The order being carried out, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// What this Target made or owns in AWS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub inventory: Vec<InventoryItem>,
    /// The versions that were published for Releases, the newest last: going back to one of them
    /// publishes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub versions: Vec<PublishedVersion>,
    /// Snapshots of earlier runs, which nothing needs any more: they are removed from the artifact
    /// bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub expired_snapshots: Vec<StoredSnapshot>,
    /// What differs in AWS from what the last run left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,
    /// The deletion that the Account asks an approval or a window for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionStatus>,
    /// `Ready`, `Reconciling`, `Stalled`, `Drifted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// The Release that serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveRelease {
    /// The Release.
    pub release: ReleaseRef,
    /// Since when.
    pub since: Time,
}

/// What a Release changes on a Target, computed from what was live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// The Release.
    pub release: ReleaseRef,
    /// SHA-256 over the changes, what is wanted and what was live, lower-case hex. The same delivery to
    /// the same state has the same digest.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// One line: `api: code, memorySize; site unchanged`.
    #[schemars(length(max = 1024))]
    pub summary: String,
    /// Each change, the first hundred of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub changes: Vec<PlannedChange>,
    /// How many more there are: the digest covers them too.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub omitted: i64,
    /// How many components' resources are deleted, which the Release no longer has.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub deletions: i64,
    /// The deletion policy that it was made with: another one is another plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub deletion_policy: Option<String>,
    /// All of them, where some are omitted: a JSON list in the Account's artifact bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredRef>,
}

/// One change. Values of environment variables are never told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedChange {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// `Adopt`, `Create`, `Update`, `Publish`, `Move`, `Delete` or `Keep` (no longer Sluice's, but left in AWS).
    #[schemars(length(max = 63))]
    pub action: String,
    /// What is changed: a function's name, `function:alias`, an object (`s3://bucket/key`).
    #[schemars(length(max = 1024))]
    pub resource: String,
    /// The setting, such as `memorySize` or `environment.LOG_LEVEL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub field: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub from: Option<String>,
    /// What it will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub to: Option<String>,
}

/// How far an order is carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// What is delivered.
    pub release: ReleaseRef,
    /// Which try it is.
    pub attempt: i64,
    /// Version of the journal: how `step`, `snapshot` and `intents` are to be read.
    pub journal_version: i64,
    /// `Prepare`, `Promote`, `Held` (it failed and waits for a decision), `Restore`, and at the end
    /// `Succeeded`, `Failed` (nothing was changed), `RolledBack` or `RollbackFailed`.
    #[schemars(length(max = 63))]
    pub step: String,
    /// The step at which it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub held_at: Option<String>,
    /// It goes back, or was promoted while it was held: checks that need time for data to arrive are
    /// left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metric_checks_skipped: bool,
    /// The level of components that is worked on, from 0: those that depend on nothing.
    #[serde(default)]
    pub level: i64,
    /// How far traffic has moved to the level's new versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficStatus>,
    /// Why, for a person: the failure that led to a rollback stays here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// When it began.
    pub started_at: Time,
    /// When something last moved: `progressDeadline` counts from here.
    pub progressed_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What stood before: written before the first change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotRef>,
    /// The changes of the current step, written before any of them is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub intents: Vec<Intent>,
    /// What each component has come to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub components: Vec<ComponentStatus>,
    /// What stands again after `RolledBack`, as it was seen at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub restored: Vec<Restored>,
    /// What does not stand as before after `RollbackFailed`, as far as it was seen; the first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub differences: Vec<Difference>,
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// What it is on AWS: a function's name, `function:alias`, or a bucket with the prefix.
    #[schemars(length(max = 1280))]
    pub resource: String,
    /// As it stands: `version 3`, or digests of code and configuration as `code 8f3a…`.
    #[schemars(length(max = 512))]
    pub state: String,
}

/// How far traffic has moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficStatus {
    /// Which of the rollout's steps it is, from 0.
    pub step: i64,
    /// Percent of the requests that the new versions get in this step.
    pub weight: i32,
    /// Percent that they had before it; none where what stood before the run had all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_weight: Option<i32>,
    /// Seconds for which the checks were watched in this step.
    #[serde(default)]
    pub baked_seconds: i64,
    /// How often they were looked at in this step.
    #[serde(default)]
    pub evaluations: i64,
    /// When they were looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_at: Option<Time>,
    /// What could not be told at the last look: it must be known before the step has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub pending: Option<String>,
}

impl TrafficStatus {
    /// Whether traffic moves in parts: what moves at once is at its end as soon as it has moved.
    pub fn is_gradual(&self) -> bool {
        self.weight < 100 || self.previous_weight.is_some()
    }

    /// The same share of the traffic, watched anew.
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

/// Where the snapshot's values are kept, and what it speaks of.
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

/// An object in the Account's artifact bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredSnapshot {
    /// Its key.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// Its version.
    #[schemars(length(max = 1024))]
    pub version_id: String,
}

/// A change about to be made, by what identifies its effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// AWS's name of the call, such as `UpdateFunctionCode`.
    #[schemars(length(max = 63))]
    pub operation: String,
    /// What it is made on, such as the function's name or `function:alias`.
    #[schemars(length(max = 1024))]
    pub resource: String,
    /// What will be there afterwards: a digest of code or configuration, or a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub result: Option<String>,
}

/// What a component has come to in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// The component.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What it is on AWS: a function's name, or a bucket with the prefix.
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
    /// RevisionId of the alias before it was moved: the move is refused if it changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub alias_revision_id: Option<String>,
    /// The objects that are Sluice's in a bucket once this component serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<OwnedObjects>,
}

/// The objects that are Sluice's in a bucket, under a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnedObjects {
    /// The list of them.
    pub manifest: StoredRef,
    /// How many of them the Release no longer has: they go once the whole stage has succeeded.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub retired: i64,
}

/// A record in the Account's artifact bucket, pinned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredRef {
    /// The key.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// The object's version.
    #[schemars(length(max = 1024))]
    pub version_id: String,
    /// SHA-256 of the object, lower-case hex.
    #[schemars(length(max = 64))]
    pub sha256: String,
}

/// Something that Sluice made or owns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryItem {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// `LambdaFunction`, `S3Objects`.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// The function's name; the bucket with the prefix: `s3://shop-site/docs/`.
    #[schemars(length(max = 1024))]
    pub name: String,
    /// The alias that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub alias: Option<String>,
    /// Whether Sluice created it: only then may it delete it.
    pub created: bool,
    /// The objects that are Sluice's in a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<OwnedObjects>,
    /// Keys of the tags that Sluice set: one that leaves the spec leaves the function, and tags of
    /// others stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 128)))]
    pub tags: Vec<String>,
    /// The Release that serves no longer has it: it goes, by the deletion policy, once the whole stage
    /// has succeeded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

impl InventoryItem {
    /// Whether something of it is to go, now that the Release serves everywhere in the stage.
    pub fn is_to_prune(&self) -> bool {
        let retired = |objects: &OwnedObjects| objects.retired > 0;
        self.removed || self.objects.as_ref().is_some_and(retired)
    }
}

/// A version of a function that was published for a Release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedVersion {
    /// The Release's uid.
    #[schemars(length(max = 64))]
    pub release_uid: String,
    /// The Release's revision.
    pub revision: i64,
    /// The function.
    #[schemars(length(max = 140))]
    pub function_name: String,
    /// The number.
    #[schemars(length(max = 32))]
    pub version: String,
    /// SHA-256 of its code, lower-case hex.
    #[schemars(length(max = 64))]
    pub code_sha256: String,
    /// Digest of its configuration.
    #[schemars(length(max = 64))]
    pub configuration_digest: String,
}
