//! One immutable revision of a Deployment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Template;

/// The artifacts of a pipeline, pinned by digest, and a copy of the template. Data only; written by the
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
    doc = "One immutable revision: the artifacts of a pipeline, pinned by digest, and a copy of the template.",
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
    /// Revision number, increasing within the Deployment.
    #[schemars(range(min = 1))]
    pub revision: i64,
    /// Hash of pipeline, artifact digests and template (SHA-256, lower-case hex). Equal keys mean the
    /// same delivery.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub key: String,
    /// The pipeline that built the artifacts.
    pub source: ReleaseSource,
    /// The pinned artifacts.
    #[schemars(length(max = 100))]
    pub artifacts: Vec<PinnedArtifact>,
    /// The Deployment's template when the Release was created.
    pub template: Template,
}

/// The pipeline that built the artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSource {
    /// URL of the GitLab instance, as in the connection. Absent if an earlier version of Sluice created
    /// the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// GitLab's numeric ID of the project.
    pub project_id: i64,
    /// Path of the project when the Release was created.
    #[schemars(length(max = 1024))]
    pub project: String,
    /// Branch or tag of the pipeline.
    #[serde(rename = "ref")]
    #[schemars(length(max = 1024))]
    pub git_ref: String,
    /// Whether the ref is a branch or a tag. Absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_type: Option<RefType>,
    /// Whether the ref was protected when the pipeline was chosen. Absent if an earlier version of Sluice
    /// created the Release, which counts as not protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_protected: Option<bool>,
    /// The commit, 40 hexadecimal digits.
    #[schemars(length(max = 64))]
    pub commit: String,
    /// The first eight digits of the commit.
    #[schemars(length(max = 16))]
    pub short_commit: String,
    /// The commit's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub title: Option<String>,
    /// GitLab's ID of the pipeline.
    pub pipeline_id: i64,
    /// URL of the pipeline's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub pipeline_url: Option<String>,
    /// Who started the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub user: Option<String>,
}

/// The type of a ref. A branch and a tag may have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RefType {
    /// A branch.
    Branch,
    /// A tag.
    Tag,
}

/// An artifact from GitLab, stored in the hub's artifact bucket.
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
    /// Where the bytes are stored.
    pub location: StoreLocation,
    /// Summary of the content, if the artifact is a zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveSummary>,
    /// The cloud assemblies in it whose stacks are components.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub assemblies: Vec<CloudAssembly>,
}

/// A cloud assembly, which `cdk synth` wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudAssembly {
    /// Its folder in the archive.
    #[schemars(length(max = 1024))]
    pub folder: String,
    /// Its stacks, those of nested assemblies included.
    #[schemars(length(max = 200))]
    pub stacks: Vec<AssemblyStack>,
}

/// A stack of a cloud assembly. Paths are paths in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssemblyStack {
    /// Its path in the app, as `cdk list` shows it, such as `Prod/Checkout`.
    #[schemars(length(max = 512))]
    pub name: String,
    /// Its id in the manifest.
    #[schemars(length(max = 512))]
    pub id: String,
    /// The name that CDK gives the stack in CloudFormation.
    #[schemars(length(max = 512))]
    pub stack_name: String,
    /// `aws://<account>/<region>`, or `unknown-account` and `unknown-region` in their place.
    #[schemars(length(max = 512))]
    pub environment: String,
    /// The template.
    #[schemars(length(max = 1024))]
    pub template: String,
    /// The manifests of its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub asset_manifests: Vec<String>,
    /// The names of the stacks that it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 512)))]
    pub depends_on: Vec<String>,
}

/// One version of an object in S3.
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

/// A zip entry whose compression is neither stored nor deflated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnsupportedEntry {
    /// Name of the entry.
    #[schemars(length(max = 512))]
    pub name: String,
    /// Its compression method: a number of APPNOTE.TXT 4.4.5.
    pub method: i32,
}

/// The content of a zip, according to its central directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSummary {
    /// Number of files and directories.
    #[schemars(range(min = 0))]
    pub entries: i64,
    /// Their uncompressed size in bytes.
    #[schemars(range(min = 0))]
    pub uncompressed_size: i64,
    /// Whether its file `bootstrap`, which runtimes of the family `provided` start, is executable. Absent
    /// if the zip has no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable_bootstrap: Option<bool>,
    /// The first entry whose compression method Lambda does not support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<UnsupportedEntry>,
    /// The first entry with a backslash in its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub backslash: Option<String>,
}

/// The outcome of a Release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// Summary in one line: `dev Succeeded, prod Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// One outcome per stage that the Release has reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub stages: Vec<StageOutcome>,
    /// `Succeeded` once the Release is live in every stage, `Failed` once it has failed in one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// The outcome of a Release in a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageOutcome {
    /// Name of the stage.
    #[schemars(length(max = 63))]
    pub stage: String,
    /// `Succeeded`, `Failed` (nothing was changed), `RolledBack`, `RollbackFailed` or `Rejected` (at the
    /// stage's gate).
    #[schemars(length(max = 63))]
    pub outcome: String,
    /// Whether the Release has ever served on all targets of the stage. If so, it has passed the stage's
    /// gate, and the stage may roll back to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub served: bool,
    /// The attempt number, from 1.
    pub attempt: i64,
    /// Human-readable explanation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// When the attempt ended.
    pub finished_at: Time,
}
