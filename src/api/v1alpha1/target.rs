//! One account and region inside a stage.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DeletionPolicy, DeletionStatus, DriftStatus, InventoryItem, PlanStatus, Proposal, ReleaseRef,
    Run, RunStatus, TargetDrift,
};

/// One account and region inside a stage: what is live there, and its current run. Written by the
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
    doc = "One account and region inside a stage: what is live there, and its current run.",
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
    /// The Account's ID when this Target was created. Sluice writes to no other account.
    #[schemars(regex(pattern = r"^[0-9]{12}$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable"))]
    pub account_id: String,
    /// The region.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable"))]
    pub region: String,
    /// What happens in AWS when this Target is deleted.
    pub deletion_policy: DeletionPolicy,
    /// How the Target checks for drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<TargetDrift>,
    /// The Release for which the Target makes a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<ReleaseRef>,
    /// The run that is assigned to the Target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// The observed state of a Target: what is live there, and its current run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The generation that this status reflects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One line: what the Target is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// The live Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveRelease>,
    /// The changes that a Release would make here, or that the last started one made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The current run, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// The resources in AWS that this Target created or owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub inventory: Vec<InventoryItem>,
    /// The versions that were published for Releases, newest last. A rollback to one of them publishes
    /// no version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub versions: Vec<PublishedVersion>,
    /// What Sluice created in AWS to compute plans, recorded before it is created. Sluice deletes it once its
    /// Release is delivered, rejected or superseded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub proposals: Vec<Proposal>,
    /// The highest number that a proposal has had.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub last_proposal: i64,
    /// Snapshots of earlier runs that are no longer needed. Sluice deletes them from the artifact bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub expired_snapshots: Vec<StoredSnapshot>,
    /// The differences between AWS and what the last run left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,
    /// The deletion for which the Account requires an approval or a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionStatus>,
    /// `Ready`, `Reconciling`, `Stalled`, `Drifted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

impl TargetStatus {
    /// The proposal on record that counts for this component and Release: the last one.
    pub fn proposal(&self, component: &str, release: &ReleaseRef) -> Option<&Proposal> {
        let proposals = self.proposals.iter();
        let of = proposals.filter(|it| it.component == component && it.release.uid == release.uid);
        of.max_by_key(|it| it.serial)
    }
}

/// The live Release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveRelease {
    /// The Release.
    pub release: ReleaseRef,
    /// Since when the Release is live.
    pub since: Time,
}

/// A snapshot in the Account's artifact bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredSnapshot {
    /// Key of the object.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// Version of the object.
    #[schemars(length(max = 1024))]
    pub version_id: String,
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
    /// The version number.
    #[schemars(length(max = 32))]
    pub version: String,
    /// SHA-256 of the version's code, lower-case hex.
    #[schemars(length(max = 64))]
    pub code_sha256: String,
    /// Digest of the version's configuration.
    #[schemars(length(max = 64))]
    pub configuration_digest: String,
}
