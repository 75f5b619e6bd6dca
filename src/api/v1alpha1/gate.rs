//! What must be true before a stage starts: approvals, windows, freeze periods.
//!
//! A gate is policy, not content: it says who may let a Release pass, not what the Release is. So it
//! belongs to no Release's template; the gate in force is the one that the Deployment and the
//! Accounts say now.
//!
//! Who is who lies with the rule that needs it (`identities`), not on the GitLabConnection. A
//! connection is written by the team that delivers: with the mapping there, that team could undo what
//! the platform team asks for in an Account by mapping its authors to somebody else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ReleaseRef;

/// What must be true before a stage starts, all of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.approval) || has(self.windows) && self.windows.size() > 0 || has(self.respectFreezePeriods) && self.respectFreezePeriods")
    .message("a gate must ask for something: approval, windows or respectFreezePeriods"))]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// Somebody has to say yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalGate>,
    /// The stage starts only within one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
    /// The stage does not start within a freeze period of the GitLab project.
    #[serde(default)]
    pub respect_freeze_periods: bool,
}

/// Somebody has to say yes: in Kubernetes or in GitLab.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.kubernetes), has(self.gitlab)].filter(x, x).size() == 1")
    .message("exactly one of kubernetes and gitlab must be set"))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalGate {
    /// By Approvals in the Deployment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesApproval>,
    /// By a manual job of the Release's pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitlab: Option<GitLabApproval>,
}

/// Which Approvals count.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.users) && self.users.size() > 0 || has(self.groups) && self.groups.size() > 0")
        .message("name who may approve: users, groups or both"),
    validation = Rule::new("has(self.groups) && self.groups.size() > 0 || !has(self.users) || self.minimumApprovals <= self.users.size()")
        .message("minimumApprovals is more than there are users"),
    validation = Rule::new("self.allowAuthor || has(self.identities) && self.identities.size() > 0")
        .message("allowAuthor: false needs identities, which say who the author is in Kubernetes"),
    validation = Rule::new("!self.allowAuthor || !has(self.identities) || self.identities.size() == 0")
        .message("identities do nothing without allowAuthor: false")
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
    /// How many different people have to approve.
    #[serde(default = "default_minimum_approvals")]
    #[schemars(range(min = 1, max = 16))]
    pub minimum_approvals: i32,
    /// How old an Approval may be when the stage starts, such as `24h`; any age where it is left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m))+$') && duration(self) >= duration('1m') && duration(self) <= duration('8760h')")
        .message("must be a duration from 1m to 8760h, such as 24h"))]
    pub expires_after: Option<String>,
    /// Whether the user whose pipeline it is may approve it as well.
    #[serde(default = "default_true")]
    pub allow_author: bool,
    /// Who GitLab's users are in Kubernetes, so that the author is known again. An author who is not
    /// found here lets no Approval count.
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

/// One person, as GitLab and as Kubernetes call them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// GitLab's username, or `*` for everybody who has no entry of their own.
    #[schemars(length(min = 1, max = 255))]
    pub gitlab_user: String,
    /// The same person's usernames in Kubernetes. With `gitlabUser: "*"`, a `*` in them stands for
    /// GitLab's username: `oidc:*`.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub kubernetes_users: Vec<String>,
}

/// Which manual job approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitLabApproval {
    /// Name of a job with `when: manual` in the pipeline that the Release is made from. It approves
    /// when it was started after the gate opened and succeeds.
    #[schemars(length(min = 1, max = 255))]
    pub manual_job: String,
    /// Whether the user whose pipeline it is may start the job as well.
    #[serde(default = "default_true")]
    pub allow_author: bool,
    /// Whether a bot may: the user of a project or group access token, a service account.
    #[serde(default)]
    pub allow_bots: bool,
}

/// A time in which a stage may start; what has started comes to its end outside of it as well.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it opens, as cron says it: minute, hour, day of month, month, day of week, such as
    /// `0 9 * * MON-FRI`. Numbers, English names of three letters, `*`, `,`, `-` and `/`.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}$')")
        .message("must be five fields of cron: minute, hour, day of month, month, day of week"))]
    pub schedule: String,
    /// The time zone of the schedule, by its IANA name, such as `Europe/Berlin`, `CET` or `UTC`, or by the
    /// name that GitLab shows.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches(\"^[A-Za-z][A-Za-z0-9 _+/.,&()'-]*$\")")
        .message("must be the name of a time zone, such as Europe/Berlin, CET or UTC"))]
    pub time_zone: String,
    /// How long it stays open, such as `8h`.
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m))+$') && duration(self) >= duration('1m') && duration(self) <= duration('768h')")
        .message("must be a duration from 1m to 768h, such as 8h"))]
    pub duration: String,
}

/// What the platform team asks of every stage with a target in an Account, on top of whatever the
/// Deployment's own gate says.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRequires {
    /// Somebody has to say yes, besides those whom the Deployment's own gate asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<RequiredApproval>,
    /// The stage starts only within one of these, besides the Deployment's own windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
    /// Only a protected branch or tag is delivered here.
    #[serde(default)]
    pub protected_ref: bool,
    /// What is asked before anything that serves here is deleted: because the Deployment is deleted,
    /// because a target or stage is removed from it, or because a Release no longer has a component.
    /// Nothing is asked where the deletion policy leaves it in AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<RequiredForDeletion>,
}

/// What is asked before anything that serves in an Account is deleted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.approval) || has(self.windows) && self.windows.size() > 0")
        .message("deletion must ask for something: approval or windows"),
    validation = Rule::new("!has(self.approval) || self.approval.kubernetes.allowAuthor")
        .message("allowAuthor: false means nothing here: no pipeline asks for a deletion")
)]
#[serde(rename_all = "camelCase")]
pub struct RequiredForDeletion {
    /// Somebody has to say yes to exactly what is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<RequiredApproval>,
    /// It begins only within one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
}

/// Somebody has to say yes, in Kubernetes: a manual job is the delivering team's own to define.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredApproval {
    /// By Approvals in the Deployment's namespace.
    pub kubernetes: KubernetesApproval,
}

/// What was seen of a gate's manual job, for one opening of the gate.
///
/// GitLab tells neither when a job was started by hand nor, before that, by whom; so this is what
/// Sluice has seen itself, and nothing else approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualJobStatus {
    /// Name of the job.
    #[schemars(length(max = 255))]
    pub job: String,
    /// The Release that waits.
    #[schemars(length(max = 64))]
    pub release_uid: String,
    /// Which try it is.
    pub attempt: i64,
    /// What would be done: another plan opens the gate anew.
    #[schemars(length(max = 64))]
    pub stage_digest: String,
    /// When the job was first looked at for this opening.
    pub opened_at: Time,
    /// GitLab's id of the newest job of that name; a retry makes a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<i64>,
    /// Whether starting that job counts: it was seen waiting for it, or it is a rerun that was asked
    /// for after the gate opened.
    #[serde(default)]
    pub armed: bool,
    /// When it was first seen so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_at: Option<Time>,
    /// Whether that job had come to an end when it was last looked at.
    #[serde(default)]
    pub ended: bool,
    /// GitLab's id of the pipeline's user, which a job carries until somebody starts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_id: Option<i64>,
    /// Who started the job, once it was seen started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub played: Option<PlayedBy>,
}

/// Who started a manual job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlayedBy {
    /// GitLab's id of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// GitLab's username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub username: Option<String>,
    /// Whether that is a bot, where GitLab says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<bool>,
    /// When the job was first seen started: GitLab does not tell when somebody started it.
    pub at: Time,
}

/// Who let a Release into a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatePassage {
    /// The Approvals that counted; none of them counts again.
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
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid.
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
    /// Its name.
    #[schemars(length(max = 255))]
    pub name: String,
    /// GitLab's id of it.
    pub job_id: i64,
    /// Who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub username: Option<String>,
    /// When it was first seen started.
    pub at: Time,
}

/// A Release that waits at a stage's gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// The Release.
    pub release: ReleaseRef,
    /// Which try it would be.
    pub attempt: i64,
    /// Digest of the stage's plan, which is what an Approval speaks of: over the plans of its Targets.
    /// None as long as they are being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub digest: Option<String>,
    /// CamelCase, for programs: what it waits for first.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// For people: all that it waits for.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// Since when.
    pub since: Time,
    /// What the Release would change, for each Target of the stage, in short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 1536)))]
    pub plan: Vec<String>,
    /// What was seen of the manual jobs since this plan waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub manual_jobs: Vec<ManualJobStatus>,
}

/// What let a Release through a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassageStatus {
    /// The Release.
    pub release: ReleaseRef,
    /// Which try it was.
    pub attempt: i64,
    /// Digest of the stage's plan.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// When.
    pub at: Time,
    /// Who.
    pub by: GatePassage,
}

/// A deletion that the Account asks an approval or a window for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionStatus {
    /// The Release that serves, which an Approval names.
    pub release: ReleaseRef,
    /// Digest of what is deleted, which is what an Approval speaks of as `stageDigest`.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// What let it begin; none as long as it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<GatePassage>,
}
