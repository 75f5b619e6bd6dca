//! The Deployment: source, artifacts, components and stages.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, DeletionPolicy, Drift, Gate, GateStatus, PassageStatus, ReleaseRef, Rollout,
    component::{Component, Override, artifacts_exist, overrides_match, stages_differ},
};

/// What a team delivers, and where.
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
    doc = "Delivers the artifacts of GitLab pipelines to AWS, stage by stage.",
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
    validation = artifacts_exist(),
    validation = Rule::new("self.stages.all(s, !has(s.checks) || s.checks.all(k, !has(k.invoke) || self.components.exists(c, c.name == k.invoke.component && has(c.lambda))))")
        .message(Message::Expression("self.stages.map(s, has(s.checks) && s.checks.exists(k, has(k.invoke) && !self.components.exists(c, c.name == k.invoke.component && has(c.lambda))), 'stages[].checks[].invoke.component must be the name of a function among components[]; see stage ' + s.name)[0]".into())),
    validation = Rule::new("self.stages.all(s, !has(s.checks) || s.checks.all(k, !has(k.metric) || !has(k.metric.component) || self.components.exists(c, c.name == k.metric.component && has(c.lambda))))")
        .message(Message::Expression("self.stages.map(s, has(s.checks) && s.checks.exists(k, has(k.metric) && has(k.metric.component) && !self.components.exists(c, c.name == k.metric.component && has(c.lambda))), 'stages[].checks[].metric.component must be the name of a function among components[]; see stage ' + s.name)[0]".into())),
    validation = overrides_match(),
    validation = Rule::new("self.components.all(c, !has(c.dependsOn) || c.dependsOn.all(d, self.components.exists(o, o.name == d)))")
        .message(Message::Expression("self.components.map(c, has(c.dependsOn) && c.dependsOn.exists(d, !self.components.exists(o, o.name == d)), 'components[].dependsOn must be names of components[]; see component ' + c.name)[0]".into())),
    validation = stages_differ()
)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// The GitLab project and ref whose pipelines are delivered.
    pub source: Source,
    /// The artifacts to take from the pipeline.
    #[schemars(length(min = 1, max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub artifacts: Vec<Artifact>,
    /// The components to deploy.
    #[schemars(length(min = 1, max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<Component>,
    /// The stages, in order. A stage starts once the one before it has succeeded with the same Release.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<Stage>,
    /// What Sluice does when a run fails.
    #[serde(default)]
    pub rollback: Rollback,
    /// How Sluice handles drift. Editing it creates no new Release.
    #[serde(default)]
    pub drift: Drift,
    /// What happens in AWS when this Deployment is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// The number of ended Releases to keep, besides the live ones.
    #[serde(default = "default_history_limit")]
    #[schemars(range(min = 1, max = 100))]
    pub history_limit: i32,
    /// How long a stage may go without progress before it fails, such as `10m`. Time in which Sluice
    /// waits for AWS does not count.
    #[serde(default = "default_progress_deadline")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) >= duration('10s') && duration(self) <= duration('24h')")
        .message("must be a duration from 10s to 24h, such as 10m"))]
    pub progress_deadline: String,
    /// Start nothing new. Runs under way finish.
    #[serde(default)]
    pub suspend: bool,
    /// What happens to a Release that waits at a gate when a newer one reaches the same gate.
    #[serde(default)]
    pub superseding: Superseding,
    /// Name of a Release to pin: no stage gets another Release, and stages that serve another one get
    /// this one again.
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

/// The GitLab project and ref whose pipelines are delivered.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Name of the GitLabConnection in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub connection: String,
    /// Path (`shop/checkout`) or numeric ID of the project.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("self.matches('^[0-9]+$') || self.contains('/')")
            .message("must be a numeric id or a path with its namespace, such as shop/checkout"),
        validation = Rule::new("!self.contains(':')")
            .message(Message::Expression("'must be the path of the project, not its URL: write ' + [self.contains('://') ? self.substring(self.indexOf('://') + 3) : self].map(r, self.contains('://') ? r.substring(r.indexOf('/') + 1) : r.substring(r.indexOf(':') + 1)).map(p, p.split('/-/')[0]).map(p, p.endsWith('/') ? p.substring(0, p.size() - 1) : p).map(p, p.endsWith('.git') ? p.substring(0, p.size() - 4) : p).map(p, p.contains('/') ? p : 'it with its namespace, such as shop/checkout')[0]".into()))
    )]
    pub project: String,
    /// A branch, a tag, or a tag pattern such as `v*`.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1, max = 255))]
    pub git_ref: String,
    /// How often Sluice polls GitLab, such as `1m`.
    #[serde(default = "default_interval")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("must be a duration from 1s to 24h, such as 1m"))]
    pub interval: String,
    /// Requirements on a pipeline, besides its artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineRequirements>,
    /// Deliver only from a protected branch or tag. Defaults to true if a stage has a gate, because every
    /// developer can push an unprotected tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_protected_ref: Option<bool>,
}

fn default_interval() -> String {
    "1m".to_owned()
}

/// Requirements on a pipeline, besides its artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRequirements {
    /// Names of jobs, or trigger jobs, of the pipeline itself that must exist and have succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    pub required_jobs: Vec<String>,
    /// Jobs of child pipelines that must exist and have succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub required_child_jobs: Vec<ChildJob>,
    /// Minimum number of tests in the pipeline's test report. None of them may have failed.
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

/// An artifact to take from the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Name by which components refer to the artifact.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// The job whose artifacts are taken.
    pub job: JobArtifact,
}

/// The artifacts of a job: one file, or the whole archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobArtifact {
    /// Name of the job.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Name of the trigger job that starts the job's child pipeline. Omit it for a job of the pipeline
    /// itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub pipeline: Option<String>,
    /// One file of the archive, such as `dist/api.zip`. Defaults to the whole archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: Option<String>,
}

/// An ordered step of a Deployment. All of its targets get the Release, or none keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Name of the stage, such as `dev`.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// The accounts and regions of the stage.
    #[schemars(length(min = 1, max = 50))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["account", "region"]))]
    pub targets: Vec<StageTarget>,
    /// What must be true before the stage starts, besides the requirements of its targets' Accounts.
    /// Editing it creates no new Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Maximum number of targets with a run at the same time. Defaults to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub max_concurrent_targets: Option<i32>,
    /// What happens to the other targets when one fails.
    #[serde(default)]
    pub on_target_failure: OnTargetFailure,
    /// How traffic moves to the new versions. Defaults to all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What must be true before, while and after traffic moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<Check>,
    /// Settings of components that are different in this stage. The artifact and the function's name
    /// can't be overridden.
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
    /// A region that the Account lists.
    #[schemars(length(min = 1, max = 32))]
    pub region: String,
}

/// What happens to a Release that waits at a gate when a newer one reaches the same gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Superseding {
    /// The newer one waits in its place.
    #[default]
    Newest,
    /// It keeps waiting, and the newer one comes after it.
    Hold,
}

/// What happens to the other targets of a stage when one fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnTargetFailure {
    /// Restore all targets of the stage.
    #[default]
    RollbackStage,
    /// Restore only the failed target. The others keep the Release.
    RollbackTarget,
}

/// How Sluice reacts to a failed run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// What Sluice does when a run fails.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What Sluice does when a run fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// Restore all targets of the stage.
    #[default]
    Automatic,
    /// Hold the stage in its current state until `sluice.dev/promote`, `sluice.dev/retry` or
    /// `sluice.dev/abort` is set.
    Hold,
}

/// The part of a Deployment that a Release copies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// The artifacts to take from the pipeline.
    #[schemars(length(max = 100))]
    pub artifacts: Vec<Artifact>,
    /// The components to deploy.
    #[schemars(length(max = 100))]
    pub components: Vec<Component>,
    /// The stages, in order.
    #[schemars(length(max = 16))]
    pub stages: Vec<Stage>,
    /// What Sluice does when a run fails.
    pub rollback: Rollback,
    /// How long a stage may go without progress before it fails.
    #[schemars(length(max = 32))]
    pub progress_deadline: String,
}

/// The observed state of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The generation that this status reflects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One line: what the Deployment is doing, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// The live revision of each stage, in one line: `dev=r3 prod=r2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub live: Option<String>,
    /// The source as last resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// The highest revision that was reserved for a Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_revision: Option<i64>,
    /// The key of the Release for which that revision was reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub newest_key: Option<String>,
    /// The state of each stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub stages: Vec<StageStatus>,
    /// The last handled value of `sluice.dev/reconcile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_reconcile: Option<String>,
    /// The last handled value of `sluice.dev/retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_retry: Option<String>,
    /// The last handled value of `sluice.dev/rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 511))]
    pub last_handled_rollback: Option<String>,
    /// The last handled value of `sluice.dev/pause`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_pause: Option<String>,
    /// The last handled value of `sluice.dev/resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_resume: Option<String>,
    /// The last handled value of `sluice.dev/promote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_promote: Option<String>,
    /// The last handled value of `sluice.dev/abort`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub last_handled_abort: Option<String>,
    /// Whether `sluice.dev/pause` is in force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The rollback that `sluice.dev/rollback` requested, until no stage has the old Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackStatus>,
    /// Human-readable result of the last command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_command: Option<String>,
    /// Annotations `sluice.dev/…` that Sluice does not know, such as a misspelt command. They have no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 317)))]
    pub unknown_annotations: Vec<String>,
    /// `Ready`, `Reconciling`, `Stalled`, `Available`, `Delivered`, `Drifted`, `SourceReady`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// A rollback that a command requested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackStatus {
    /// The Release to roll back from.
    pub from: ReleaseRef,
    /// Name of the Release that should serve. Absent for the last good Release of each stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub to: Option<String>,
}

/// The source as last resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// GitLab's numeric ID of the project.
    pub project_id: i64,
    /// `spec.source.project` when the source was resolved. A project that has moved has another path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub project: Option<String>,
    /// The ref for which the source was resolved. A change of the ref resolves it anew.
    #[serde(rename = "ref")]
    #[schemars(length(max = 255))]
    pub git_ref: String,
    /// The highest pipeline ID that became a Release. Sluice never delivers an older pipeline.
    pub pipeline_id: i64,
}

/// The state of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Name of the stage.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The revision that is live on all targets of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_revision: Option<i64>,
    /// The revision that was last assigned to the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// `Pending`, `Progressing`, `Held`, `Succeeded`, `RollingBack`, `RolledBack`, `Failed`,
    /// `RollbackFailed`.
    #[schemars(length(max = 63))]
    pub state: String,
    /// Human-readable explanation of the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// When that state began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The Release that waits at the stage's gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<GateStatus>,
    /// How the last Release passed the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passage: Option<PassageStatus>,
    /// The run that a command decided, until it is assigned to every Target of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<DecidedOrder>,
    /// Percentage of the traffic that the Release has while traffic moves: the minimum over all Targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// The run that a command decided for the Targets of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecidedOrder {
    /// The Release.
    pub release: ReleaseRef,
    /// The attempt number.
    pub attempt: i64,
    /// Sequence number of the run within the stage.
    pub sequence: i64,
    /// `Deliver` or `Restore`.
    #[schemars(length(max = 63))]
    pub goal: String,
    /// The run moves all traffic at once, without bakes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immediate: bool,
    /// The run rolls back to a Release that has served before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback: bool,
    /// The number of consecutive runs that delivered the Release again to correct drift.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub correction: i64,
    /// Human-readable reason for a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
    /// Digest of the stage's approved plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub stage_digest: Option<String>,
    /// The deletion policy when the Release was assigned to the stage: `Retain` or `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub deletion_policy: Option<String>,
}
