//! What must be true before a stage starts: approvals, windows, freeze periods.
//!
//! A gate is policy, not content: it says who may let a Release pass, not what the Release is. So a
//! Release's template has no gate; the gate in force is the one that the Deployment and the
//! Accounts specify now.
//!
//! The mapping of GitLab users to Kubernetes users (`identities`) belongs to the rule that needs it, not
//! to the GitLabConnection. The delivering team writes the connection: with the mapping there, that team
//! could bypass the requirements of an Account by mapping its authors to other users.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ReleaseRef;

/// What must be true before a stage starts, all of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.approval) || has(self.windows) && self.windows.size() > 0 || has(self.respectFreezePeriods) && self.respectFreezePeriods")
    .message("a gate must require something: approval, windows or respectFreezePeriods"))]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// The stage starts only after an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalGate>,
    /// The stage starts only within one of these windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
    /// The stage does not start within a freeze period of the GitLab project.
    #[serde(default)]
    pub respect_freeze_periods: bool,
}

/// The approval that a stage needs: in Kubernetes or in GitLab.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.kubernetes), has(self.gitlab)].filter(x, x).size() == 1")
    .message("exactly one of kubernetes and gitlab must be set"))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalGate {
    /// Approval by Approvals in the Deployment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesApproval>,
    /// Approval by a manual job of the Release's pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitlab: Option<GitLabApproval>,
}

/// Which Approvals count.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.users) && self.users.size() > 0 || has(self.groups) && self.groups.size() > 0")
        .message("name who may approve: users, groups or both"),
    validation = Rule::new("has(self.groups) && self.groups.size() > 0 || !has(self.users) || self.minimumApprovals <= self.users.size()")
        .message("minimumApprovals must not exceed the number of users"),
    validation = Rule::new("self.allowAuthor || has(self.identities) && self.identities.size() > 0")
        .message("allowAuthor: false needs identities, which map the author to Kubernetes users"),
    validation = Rule::new("!self.allowAuthor || !has(self.identities) || self.identities.size() == 0")
        .message("identities have no effect without allowAuthor: false")
)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesApproval {
    /// Kubernetes users who may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub users: Vec<String>,
    /// Kubernetes groups whose members may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub groups: Vec<String>,
    /// Number of different users who have to approve.
    #[serde(default = "default_minimum_approvals")]
    #[schemars(range(min = 1, max = 16))]
    pub minimum_approvals: i32,
    /// Maximum age of an Approval when the stage starts, such as `24h`. Defaults to any age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m))+$') && duration(self) >= duration('1m') && duration(self) <= duration('8760h')")
        .message("must be a duration from 1m to 8760h, such as 24h"))]
    pub expires_after: Option<String>,
    /// Whether the user of the pipeline may approve.
    #[serde(default = "default_true")]
    pub allow_author: bool,
    /// Maps GitLab users to Kubernetes users, to recognize the author of a pipeline. If the author is not
    /// listed, no Approval counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["gitlabUser"]))]
    pub identities: Vec<Identity>,
}

fn default_minimum_approvals() -> i32 {
    1
}

fn default_true() -> bool {
    true
}

/// The GitLab user and the Kubernetes users of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The GitLab username, or `*` for every user without an entry.
    #[schemars(length(min = 1, max = 255))]
    pub gitlab_user: String,
    /// The same person's usernames in Kubernetes. With `gitlabUser: "*"`, a `*` in them stands for the
    /// GitLab username: `oidc:*`.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub kubernetes_users: Vec<String>,
}

/// The manual job that approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitLabApproval {
    /// Name of a job with `when: manual` in the Release's pipeline. It approves if a user starts it after
    /// the gate opens and it succeeds.
    #[schemars(length(min = 1, max = 255))]
    pub manual_job: String,
    /// Whether the user of the pipeline may start the job.
    #[serde(default = "default_true")]
    pub allow_author: bool,
    /// Whether a bot may start the job: the user of a project or group access token, or a service account.
    #[serde(default)]
    pub allow_bots: bool,
}

/// A time window in which a stage may start. A stage that has started also finishes outside of it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When the window opens, as a cron expression: minute, hour, day of month, month, day of week, such as
    /// `0 9 * * MON-FRI`. It takes numbers, English names of three letters, `*`, `,`, `-` and `/`.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}$')")
        .message("must be a cron expression of five fields: minute, hour, day of month, month, day of week"))]
    pub schedule: String,
    /// The time zone of the schedule: an IANA name, such as `Europe/Berlin`, `CET` or `UTC`, or the name
    /// that GitLab shows.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches(\"^[A-Za-z][A-Za-z0-9 _+/.,&()'-]*$\")")
        .message("must be the name of a time zone, such as Europe/Berlin, CET or UTC"))]
    pub time_zone: String,
    /// How long the window stays open, such as `8h`.
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m))+$') && duration(self) >= duration('1m') && duration(self) <= duration('768h')")
        .message("must be a duration from 1m to 768h, such as 8h"))]
    pub duration: String,
}

/// Requirements of the platform team for every stage with a target in an Account, in addition to the
/// Deployment's own gate.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRequires {
    /// An approval, in addition to those that the Deployment's own gate requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<RequiredApproval>,
    /// The stage starts only within one of these windows, in addition to the Deployment's own windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
    /// Only Releases from a protected branch or tag are delivered to this account.
    #[serde(default)]
    pub protected_ref: bool,
    /// Requirements before Sluice deletes a serving resource in this account: because the Deployment is
    /// deleted, because a target or stage is removed from it, or because a Release no longer has a
    /// component. They don't apply if the deletion policy retains the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<RequiredForDeletion>,
}

/// Requirements before Sluice deletes a serving resource in an Account.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.approval) || has(self.windows) && self.windows.size() > 0")
        .message("deletion must require something: approval or windows"),
    validation = Rule::new("!has(self.approval) || self.approval.kubernetes.allowAuthor")
        .message("allowAuthor: false has no effect here: a deletion has no author")
)]
#[serde(rename_all = "camelCase")]
pub struct RequiredForDeletion {
    /// An approval of exactly the resources that are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<RequiredApproval>,
    /// The deletion begins only within one of these windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
}

/// An approval in Kubernetes. A manual job would be defined by the delivering team itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredApproval {
    /// Approval by Approvals in the Deployment's namespace.
    pub kubernetes: KubernetesApproval,
}

/// The observed state of a gate's manual job, for one opening of the gate.
///
/// GitLab reports neither when a user started a manual job nor, before that, who the user is. So only
/// what Sluice observes itself approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualJobStatus {
    /// Name of the job.
    #[schemars(length(max = 255))]
    pub job: String,
    /// The uid of the waiting Release.
    #[schemars(length(max = 64))]
    pub release_uid: String,
    /// The attempt number.
    pub attempt: i64,
    /// Digest of the stage's plan. Another plan opens the gate anew.
    #[schemars(length(max = 64))]
    pub stage_digest: String,
    /// When Sluice first read the job for this opening.
    pub opened_at: Time,
    /// GitLab's ID of the newest job of that name. A retry creates a new job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<i64>,
    /// Whether starting that job counts: Sluice has observed the job before its start, or it is a rerun
    /// that a user requested after the gate opened.
    #[serde(default)]
    pub armed: bool,
    /// When the job was first observed as armed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_at: Option<Time>,
    /// Whether that job had ended when Sluice last read it.
    #[serde(default)]
    pub ended: bool,
    /// GitLab's ID of the pipeline's user, who is the job's user until another user starts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_id: Option<i64>,
    /// Who started the job, once Sluice has observed the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub played: Option<PlayedBy>,
}

/// Who started a manual job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlayedBy {
    /// GitLab's ID of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// The GitLab username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub username: Option<String>,
    /// Whether the user is a bot, if GitLab reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<bool>,
    /// When Sluice first observed the job as started. GitLab does not report when a user started it.
    pub at: Time,
}

/// Who let a Release into a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatePassage {
    /// The Approvals that counted. None of them counts again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub approvals: Vec<UsedApproval>,
    /// The manual jobs that were started for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub jobs: Vec<PassedJob>,
}

/// An Approval that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedApproval {
    /// Name of the Approval.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The Approval's uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Who approved.
    #[schemars(length(max = 253))]
    pub username: String,
}

/// A manual job that approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassedJob {
    /// Name of the job.
    #[schemars(length(max = 255))]
    pub name: String,
    /// GitLab's ID of the job.
    pub job_id: i64,
    /// Who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub username: Option<String>,
    /// When Sluice first observed the job as started.
    pub at: Time,
}

/// A Release that waits at a stage's gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// The Release.
    pub release: ReleaseRef,
    /// The attempt number that the run would have.
    pub attempt: i64,
    /// Digest of the stage's plan, to which an Approval refers. It covers the plans of the stage's
    /// Targets, and is absent until they are complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub digest: Option<String>,
    /// Machine-readable reason in CamelCase: what the Release waits for first.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// Human-readable message: everything that the Release waits for.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// Since when the Release waits.
    pub since: Time,
    /// A short summary, for each Target of the stage, of what the Release would change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 1536)))]
    pub plan: Vec<String>,
    /// The manual jobs, as observed since this plan waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub manual_jobs: Vec<ManualJobStatus>,
}

/// How a Release passed a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassageStatus {
    /// The Release.
    pub release: ReleaseRef,
    /// The attempt number.
    pub attempt: i64,
    /// Digest of the stage's plan.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// When the Release passed.
    pub at: Time,
    /// Who let the Release pass.
    pub by: GatePassage,
}

/// A deletion for which the Account requires an approval or a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionStatus {
    /// The live Release, which an Approval names.
    pub release: ReleaseRef,
    /// Digest of the resources to delete. An Approval names it as `stageDigest`.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// Who let the deletion begin. Absent while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<GatePassage>,
}
