//! A user's approval or rejection of one plan.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user's approval or rejection of the plan of one Release in one stage. The chart's admission policy
/// ensures that the approver is the user who creates the object; without that policy in force, Sluice
/// counts no Approval.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Approval",
    plural = "approvals",
    shortname = "sappr",
    category = "sluice",
    namespaced,
    status = "ApprovalStatus",
    doc = "A user's approval or rejection of the plan of one Release in one stage.",
    printcolumn(
        name = "Release",
        type_ = "string",
        json_path = ".spec.releaseRef.name"
    ),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(
        name = "Approver",
        type_ = "string",
        json_path = ".spec.approver.username"
    ),
    printcolumn(
        name = "Counted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Counted')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Counted')].reason"
    ),
    printcolumn(
        name = "Comment",
        type_ = "string",
        json_path = ".spec.comment",
        priority = "1"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("an Approval is immutable: create another one"))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSpec {
    /// The Release to approve or reject.
    pub release_ref: ApprovedRelease,
    /// Name of the stage.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub stage: String,
    /// Digest of the stage's plan that is approved or rejected (SHA-256, lower-case hex). Another plan
    /// needs another Approval.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub stage_digest: String,
    /// Whether the plan is approved or rejected.
    pub decision: Decision,
    /// The user who decides, who must be the user that creates this object.
    pub approver: Approver,
    /// Comment for other users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub comment: Option<String>,
}

/// A reference to one Release in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedRelease {
    /// Name of the Release.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The Release's uid, which distinguishes it from a later one of the same name.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// The decision of an Approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decision {
    /// The stage may start.
    Approve,
    /// The Release ends at this stage, without a change in AWS.
    Reject,
}

/// The user who decides, as authenticated by the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approver {
    /// The username, as `kubectl auth whoami` shows it.
    #[schemars(length(min = 1, max = 253))]
    pub username: String,
    /// Groups of the user, if the right to approve comes from a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub groups: Vec<String>,
}

/// The observed state of an Approval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// The generation that this status reflects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Counted`: True once the Approval counts. Otherwise the reason says why it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}
