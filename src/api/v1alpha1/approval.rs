//! Somebody's yes or no to one plan.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody's yes or no to what one Release would do in one stage. The chart's admission policy ties
/// the approver to whoever makes it; Sluice counts none where that policy is not in force.
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
    doc = "Somebody's yes or no to what one Release would do in one stage.",
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
#[x_kube(validation = Rule::new("self == oldSelf").message("an Approval is immutable: make another one"))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSpec {
    /// The Release that may go on, or may not.
    pub release_ref: ApprovedRelease,
    /// Name of the stage.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub stage: String,
    /// The digest of the stage's plan (SHA-256, lower-case hex): what exactly is approved. Another
    /// plan needs another Approval.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub stage_digest: String,
    /// Yes or no.
    pub decision: Decision,
    /// Who says so: whoever makes this object.
    pub approver: Approver,
    /// Why, for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub comment: Option<String>,
}

/// One certain Release in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedRelease {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its uid, which tells it from a later one of the same name.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decision {
    /// The stage may start.
    Approve,
    /// The Release ends here; nothing is touched.
    Reject,
}

/// Who says so, as the API server calls them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approver {
    /// The username; `kubectl auth whoami` tells it.
    #[schemars(length(min = 1, max = 253))]
    pub username: String,
    /// Groups of that user, where they are what allows them to approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub groups: Vec<String>,
}

/// Whether it counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Counted`: True once it counts; otherwise the reason says why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}
