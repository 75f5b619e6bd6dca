//! One immutable revision of a Deployment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Template;

/// A pipeline's artifacts pinned by digest plus a copy of the template. Data only; written by the
/// controller.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Release",
    plural = "releases",
    shortname = "srel",
    category = "sluice",
    namespaced,
    status = "ReleaseStatus",
    doc = "One immutable revision: a pipeline's artifacts pinned by digest plus a copy of the template.",
    printcolumn(name = "Revision", type_ = "integer", json_path = ".spec.revision"),
    printcolumn(
        name = "Commit",
        type_ = "string",
        json_path = ".spec.source.shortCommit"
    ),
    printcolumn(
        name = "Pipeline",
        type_ = "integer",
        json_path = ".spec.source.pipelineId"
    ),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".status.summary"),
    printcolumn(
        name = "Title",
        type_ = "string",
        json_path = ".spec.source.title",
        priority = "1"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a Release is immutable"))]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSpec {
    /// Counts up within the Deployment.
    #[schemars(range(min = 1))]
    pub revision: i64,
    /// Hash of pipeline, artifact digests and template (SHA-256, lower-case hex): equal keys are
    /// the same delivery.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub key: String,
    /// Where the bytes came from.
    pub source: ReleaseSource,
    /// The pinned bytes.
    #[schemars(length(max = 100))]
    pub artifacts: Vec<PinnedArtifact>,
    /// What is done with them, as the Deployment said at the time.
    pub template: Template,
}

/// Where the bytes came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSource {
    /// The GitLab, as the connection named it; none where an earlier version made the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// GitLab's numeric id of the project.
    pub project_id: i64,
    /// Path of the project at the time.
    #[schemars(length(max = 1024))]
    pub project: String,
    /// Branch or tag of the pipeline.
    #[serde(rename = "ref")]
    #[schemars(length(max = 1024))]
    pub git_ref: String,
    /// Whether that is a branch or a tag; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_type: Option<RefType>,
    /// Whether it was protected when the pipeline was chosen; none where an earlier version made the
    /// Release, which counts as not protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_protected: Option<bool>,
    /// The commit, 40 hexadecimal digits.
    #[schemars(length(max = 64))]
    pub commit: String,
    /// Its first eight digits.
    #[schemars(length(max = 16))]
    pub short_commit: String,
    /// The commit's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub title: Option<String>,
    /// GitLab's id of the pipeline.
    pub pipeline_id: i64,
    /// The pipeline's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub pipeline_url: Option<String>,
    /// Who started the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub user: Option<String>,
}

/// A branch or a tag: one of each may have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RefType {
    /// A branch.
    Branch,
    /// A tag.
    Tag,
}

/// Bytes from GitLab, kept in the hub's artifact bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PinnedArtifact {
    /// The artifact's name in the template.
    #[schemars(length(max = 63))]
    pub name: String,
    /// SHA-256 of the bytes, lower-case hex.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Size in bytes.
    #[schemars(range(min = 0))]
    pub size: i64,
    /// Where they are kept.
    pub location: StoreLocation,
    /// What the zip holds, where the bytes are a zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveSummary>,
}

/// One version of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreLocation {
    /// Name of the Account.
    #[schemars(length(max = 253))]
    pub account: String,
    /// The bucket's region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The bucket.
    #[schemars(length(max = 63))]
    pub bucket: String,
    /// The object's key.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// The object's version.
    #[schemars(length(max = 1024))]
    pub version_id: String,
}

/// An entry that is neither stored nor deflated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnsupportedEntry {
    /// Its name.
    #[schemars(length(max = 512))]
    pub name: String,
    /// How it is packed: a number of APPNOTE.TXT 4.4.5.
    pub method: i32,
}

/// What a zip's own directory says it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSummary {
    /// How many files and directories.
    #[schemars(range(min = 0))]
    pub entries: i64,
    /// Their size in bytes when unpacked.
    #[schemars(range(min = 0))]
    pub uncompressed_size: i64,
    /// Whether its file `bootstrap` may be executed, which runtimes of the family `provided` start;
    /// absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable_bootstrap: Option<bool>,
    /// The first entry that is packed in a way that Lambda does not take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<UnsupportedEntry>,
    /// The first entry with a backslash in its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub backslash: Option<String>,
}

/// What became of the Release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// One line: `dev Succeeded, prod Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// One outcome per stage that was reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub stages: Vec<StageOutcome>,
    /// `Succeeded` once every stage has it, `Failed` once one could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// How a Release ended in a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageOutcome {
    /// The stage.
    #[schemars(length(max = 63))]
    pub stage: String,
    /// `Succeeded`, `Failed` (nothing was changed), `RolledBack`, `RollbackFailed` or `Rejected` (at the
    /// stage's gate).
    #[schemars(length(max = 63))]
    pub outcome: String,
    /// Whether it has ever served on all targets of the stage: then it passed the stage's gate, and the
    /// stage may go back to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub served: bool,
    /// Which try it was, from 1.
    pub attempt: i64,
    /// Why, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// When it ended.
    pub finished_at: Time,
}
