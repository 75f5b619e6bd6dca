//! What a team wants delivered where: source, artifacts, components, stages.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, DeletionPolicy, Drift, Gate, GateStatus, Override, PassageStatus, ReleaseRef, Rollout,
    component::Component,
};

/// What a team wants delivered where.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Deployment",
    plural = "deployments",
    shortname = "sdep",
    category = "sluice",
    namespaced,
    status = "DeploymentStatus",
    doc = "Delivers what a GitLab pipeline built into AWS, stage by stage.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name may have at most 63 characters"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status"),
    printcolumn(name = "Drifted", type_ = "string", json_path = ".status.conditions[?(@.type=='Drifted')].status"),
    printcolumn(name = "Newest", type_ = "integer", json_path = ".status.newestRevision"),
    printcolumn(name = "Live", type_ = "string", json_path = ".status.live"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.conditions[?(@.type=='Ready')].lastTransitionTime"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.summary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", priority = "1")
)]
#[x_kube(
    validation = Rule::new("self.components.all(c, self.artifacts.exists(a, a.name == (has(c.lambda) ? c.lambda.artifact : c.s3.artifact)))")
        .message(Message::Expression("self.components.map(c, !self.artifacts.exists(a, a.name == (has(c.lambda) ? c.lambda.artifact : c.s3.artifact)), has(c.lambda) ? 'the artifact of each of components[] must be the name of one of artifacts[]; there is no ' + c.lambda.artifact + ' (component ' + c.name + ')' : 'the artifact of each of components[] must be the name of one of artifacts[]; there is no ' + c.s3.artifact + ' (component ' + c.name + ')')[0]".into())),
    validation = Rule::new("self.stages.all(s, !has(s.checks) || s.checks.all(k, !has(k.invoke) || self.components.exists(c, c.name == k.invoke.component && has(c.lambda))))")
        .message(Message::Expression("self.stages.map(s, has(s.checks) && s.checks.exists(k, has(k.invoke) && !self.components.exists(c, c.name == k.invoke.component && has(c.lambda))), 'stages[].checks[].invoke.component must be the name of a function among components[]; see stage ' + s.name)[0]".into())),
    validation = Rule::new("self.stages.all(s, !has(s.checks) || s.checks.all(k, !has(k.metric) || !has(k.metric.component) || self.components.exists(c, c.name == k.metric.component && has(c.lambda))))")
        .message(Message::Expression("self.stages.map(s, has(s.checks) && s.checks.exists(k, has(k.metric) && has(k.metric.component) && !self.components.exists(c, c.name == k.metric.component && has(c.lambda))), 'stages[].checks[].metric.component must be the name of a function among components[]; see stage ' + s.name)[0]".into())),
    validation = Rule::new("self.stages.all(s, !has(s.overrides) || s.overrides.all(o, self.components.exists(c, c.name == o.component && has(c.lambda))))")
        .message(Message::Expression("self.stages.map(s, has(s.overrides) && s.overrides.exists(k, !self.components.exists(c, c.name == k.component && has(c.lambda))), 'stages[].overrides[].component must be the name of a function among components[]; see stage ' + s.name)[0]".into())),
    validation = Rule::new("self.components.all(c, !has(c.dependsOn) || c.dependsOn.all(d, self.components.exists(o, o.name == d)))")
        .message(Message::Expression("self.components.map(c, has(c.dependsOn) && c.dependsOn.exists(d, !self.components.exists(o, o.name == d)), 'components[].dependsOn must be names of components[]; see component ' + c.name)[0]".into())),
    validation = Rule::new("!self.components.exists(c, has(c.lambda) ? !c.lambda.functionName.contains('$(') : !c.s3.bucket.contains('$(') && (!has(c.s3.prefix) || !c.s3.prefix.contains('$('))) || self.stages.all(s, s.targets.all(t, self.stages.all(o, o.name == s.name || !(t in o.targets))))")
        .message("two stages with the same account and region would change the same function or files: make functionName, bucket or prefix differ, such as by $(stage.name)")
)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// Which pipelines count.
    pub source: Source,
    /// What is taken from the pipeline.
    #[schemars(length(min = 1, max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub artifacts: Vec<Artifact>,
    /// What is deployed.
    #[schemars(length(min = 1, max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<Component>,
    /// Where, in this order: a stage starts once the one before it succeeded with the same Release.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<Stage>,
    /// What a failure leads to.
    #[serde(default)]
    pub rollback: Rollback,
    /// What is to be done about changes that somebody else made in AWS. An edit of it is no new Release.
    #[serde(default)]
    pub drift: Drift,
    /// What happens in AWS when this Deployment is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How many ended Releases are kept, besides those that are live.
    #[serde(default = "default_history_limit")]
    #[schemars(range(min = 1, max = 100))]
    pub history_limit: i32,
    /// How long a stage may go without progress before it has failed: `10m`. AWS at work does not
    /// count.
    #[serde(default = "default_progress_deadline")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) >= duration('10s') && duration(self) <= duration('24h')")
        .message("must be a duration from 10s to 24h, such as 10m"))]
    pub progress_deadline: String,
    /// Starts nothing new; what is moving comes to its end.
    #[serde(default)]
    pub suspend: bool,
    /// What happens to a Release that waits at a gate when a newer one has come as far.
    #[serde(default)]
    pub superseding: Superseding,
    /// Name of a Release to hold: no stage is given another one, and stages that serve another one get
    /// this one back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub pin: Option<String>,
}

fn default_history_limit() -> i32 {
    10
}

fn default_progress_deadline() -> String {
    "10m".to_owned()
}

/// Which pipelines count.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Name of the GitLabConnection in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub connection: String,
    /// Path (`shop/checkout`) or numeric id of the project.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("self.matches('^[0-9]+$') || self.contains('/')")
            .message("must be a numeric id or a path with its namespace, such as shop/checkout"),
        validation = Rule::new("!self.contains(':')")
            .message(Message::Expression("'must be the path of the project, not its address: write ' + [self.contains('://') ? self.substring(self.indexOf('://') + 3) : self].map(r, self.contains('://') ? r.substring(r.indexOf('/') + 1) : r.substring(r.indexOf(':') + 1)).map(p, p.split('/-/')[0]).map(p, p.endsWith('/') ? p.substring(0, p.size() - 1) : p).map(p, p.endsWith('.git') ? p.substring(0, p.size() - 4) : p).map(p, p.contains('/') ? p : 'it with its namespace, such as shop/checkout')[0]".into()))
    )]
    pub project: String,
    /// Branch, tag, or a tag pattern such as `v*`.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1, max = 255))]
    pub git_ref: String,
    /// How often GitLab is asked: `1m`.
    #[serde(default = "default_interval")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("must be a duration from 1s to 24h, such as 1m"))]
    pub interval: String,
    /// What a pipeline must have, besides the artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineRequirements>,
    /// Only a protected branch or tag counts. Where it is left out, that is so as soon as a stage has a
    /// gate: every developer can push an unprotected tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_protected_ref: Option<bool>,
}

fn default_interval() -> String {
    "1m".to_owned()
}

/// What a pipeline must have, besides the artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRequirements {
    /// Jobs, or trigger jobs, of the pipeline itself that must be there and have succeeded, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    pub required_jobs: Vec<String>,
    /// Jobs of child pipelines that must be there and have succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub required_child_jobs: Vec<ChildJob>,
    /// How many tests the pipeline's test report must have at least, none of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub minimum_tests: Option<i64>,
}

/// A job of a child pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChildJob {
    /// Name of the trigger job that starts the child pipeline.
    #[schemars(length(min = 1, max = 255))]
    pub pipeline: String,
    /// Name of the job in the child pipeline.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
}

/// Bytes to take from the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// How components refer to it.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// From a job's artifacts.
    pub job: JobArtifact,
}

/// A job's artifacts: one file of them, or the whole archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobArtifact {
    /// Name of the job.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Name of the trigger job that starts the child pipeline which has the job; left out where the
    /// pipeline itself has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub pipeline: Option<String>,
    /// One file of the archive, such as `dist/api.zip`; the whole archive where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: Option<String>,
}

/// An ordered step: all of its targets get the Release, or none keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Such as `dev`.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// The accounts and regions.
    #[schemars(length(min = 1, max = 50))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["account", "region"]))]
    pub targets: Vec<StageTarget>,
    /// What must be true before the stage starts, besides what the Accounts of its targets require.
    /// An edit of it is no new Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// How many of the targets are worked on at a time; all of them where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub max_concurrent_targets: Option<i32>,
    /// What becomes of the other targets when one fails.
    #[serde(default)]
    pub on_target_failure: OnTargetFailure,
    /// How traffic moves to the new versions; all at once where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What must be true before traffic moves and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<Check>,
    /// What is different in this stage: never the artifact or the function's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["component"]))]
    pub overrides: Vec<Override>,
}

/// One account and region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageTarget {
    /// Name of the Account.
    #[schemars(length(min = 1, max = 253))]
    pub account: String,
    /// One of the Account's regions.
    #[schemars(length(min = 1, max = 32))]
    pub region: String,
}

/// What happens to a Release that waits at a gate when a newer one has come as far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Superseding {
    /// The newer one waits in its place.
    #[default]
    Newest,
    /// It goes on waiting; the newer one comes after it.
    Hold,
}

/// What becomes of the other targets of a stage when one fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnTargetFailure {
    /// All targets of the stage are put back.
    #[default]
    RollbackStage,
    /// Only the one that failed is put back; the others keep the Release.
    RollbackTarget,
}

/// What a failure leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// What a failure leads to.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// All targets of the stage are put back.
    #[default]
    Automatic,
    /// Everything stays where it is and waits for `sluice.dev/promote`, `sluice.dev/retry` or
    /// `sluice.dev/abort`.
    Hold,
}

/// The part of a Deployment that a Release copies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// What is taken from the pipeline.
    #[schemars(length(max = 100))]
    pub artifacts: Vec<Artifact>,
    /// What is deployed.
    #[schemars(length(max = 100))]
    pub components: Vec<Component>,
    /// Where.
    #[schemars(length(max = 16))]
    pub stages: Vec<Stage>,
    /// What a failure leads to.
    pub rollback: Rollback,
    /// How long a stage may go without progress.
    #[schemars(length(max = 32))]
    pub progress_deadline: String,
}

/// Where the delivery stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One line: what is going on, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// What runs where, in one line: `dev=r3 prod=r2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub live: Option<String>,
    /// The source as last resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// The highest revision that was reserved for a Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_revision: Option<i64>,
    /// The reservation of that revision: what the Release of it is, or will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub newest_key: Option<String>,
    /// Each stage's state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub stages: Vec<StageStatus>,
    /// The value of `sluice.dev/reconcile` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_reconcile: Option<String>,
    /// The value of `sluice.dev/retry` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_retry: Option<String>,
    /// The value of `sluice.dev/rollback` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 511))]
    pub last_handled_rollback: Option<String>,
    /// The value of `sluice.dev/pause` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_pause: Option<String>,
    /// The value of `sluice.dev/resume` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_resume: Option<String>,
    /// The value of `sluice.dev/promote` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_promote: Option<String>,
    /// The value of `sluice.dev/abort` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_abort: Option<String>,
    /// Whether `sluice.dev/pause` holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The Release that `sluice.dev/rollback` takes back, until no stage has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackStatus>,
    /// What the last command came to, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_command: Option<String>,
    /// Annotations `sluice.dev/…` that Sluice does not know, such as a misspelt command: they do nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 317)))]
    pub unknown_annotations: Vec<String>,
    /// `Ready`, `Reconciling`, `Stalled`, `Available`, `Delivered`, `Drifted`, `SourceReady`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// A Release that is being rolled back by command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackStatus {
    /// The one that was found bad.
    pub from: ReleaseRef,
    /// The one that should serve; the last good one of each stage where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub to: Option<String>,
}

/// The source as last resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// GitLab's numeric id of the project.
    pub project_id: i64,
    /// `spec.source.project` when this was resolved; a project that moved has another path now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub project: Option<String>,
    /// The ref this was resolved for: another ref starts anew.
    #[serde(rename = "ref")]
    #[schemars(length(max = 255))]
    pub git_ref: String,
    /// The highest pipeline that became a Release; never an older one.
    pub pipeline_id: i64,
}

/// A stage's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// The stage.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The revision that serves on all of its targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_revision: Option<i64>,
    /// The revision it was last given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// `Pending`, `Progressing`, `Held`, `Succeeded`, `RollingBack`, `RolledBack`, `Failed`,
    /// `RollbackFailed`.
    #[schemars(length(max = 63))]
    pub state: String,
    /// Why, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// When that state began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The Release that waits at the stage's gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<GateStatus>,
    /// What let the last Release through the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passage: Option<PassageStatus>,
    /// What a command decided, until every Target of the stage has its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<DecidedOrder>,
    /// Percent of the traffic that the Release has while traffic moves: the least of all Targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// What a command decided for a stage: the order that its Targets get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecidedOrder {
    /// The Release.
    pub release: ReleaseRef,
    /// Which attempt it is.
    pub attempt: i64,
    /// Counts the orders of the stage.
    pub sequence: i64,
    /// `Deliver` or `Restore`.
    #[schemars(length(max = 63))]
    pub goal: String,
    /// Moves all traffic at once, without bakes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immediate: bool,
    /// It rolls back to a Release that has served before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback: bool,
    /// How often in a row the Release was delivered again to correct drift.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub correction: i64,
    /// Why it restores, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
    /// Digest of the stage's plan that was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub stage_digest: Option<String>,
    /// The deletion policy when the stage was given the Release: `Retain` or `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub deletion_policy: Option<String>,
}
