//! What every controller is given: the ways out, what is cached, and how the process was started.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Client, core::PartialObjectMeta};
use tokio_util::sync::CancellationToken;

use super::{
    approval::policy::ApprovalPolicy,
    cache::Cache,
    events::Events,
    target::Admissions,
    workload::{lambda::Invocations, s3::Waves},
};
use crate::{
    api::v1alpha1::{Account, Approval, Deployment, GitLabConnection, Release, Target},
    fence::Fence,
    metrics::Metrics,
    ports::{cloud::Cloud, gitlab::GitLabs, http::HttpProbe},
};

/// Shared by all reconciles.
pub struct Context {
    /// For the cluster's API: no retries of its own, and every call ends before the Lease does.
    pub client: Client,
    /// The way into AWS accounts.
    pub cloud: Arc<dyn Cloud>,
    /// How many objects are worked on at a time.
    pub waves: Waves,
    /// The way to GitLab.
    pub gitlabs: Arc<dyn GitLabs>,
    /// Invocations of functions that checks make.
    pub invocations: Arc<Invocations>,
    /// Which runs begin.
    pub admissions: Admissions,
    /// The way to URLs that checks name.
    pub http: Arc<dyn HttpProbe>,
    /// What vouches for Approvals.
    pub approval_policy: ApprovalPolicy,
    /// Where news goes.
    pub events: Events,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is cached.
    pub stores: Stores,
    /// How the process was started.
    pub settings: Settings,
    /// Whether a write may begin.
    pub fence: Fence,
    /// Cancelled when no new reconcile begins: what only waits gives up.
    pub stopping: CancellationToken,
}

/// What is cached of the cluster, without managedFields. May lag behind what others write.
#[derive(Clone)]
pub struct Stores {
    /// Every Account.
    pub accounts: Cache<Account>,
    /// Every namespace's metadata: grants select by its labels.
    pub namespaces: Cache<PartialObjectMeta<Namespace>>,
    /// Every GitLabConnection.
    pub connections: Cache<GitLabConnection>,
    /// Every Deployment.
    pub deployments: Cache<Deployment>,
    /// Every Release.
    pub releases: Cache<Release>,
    /// Every Target.
    pub targets: Cache<Target>,
    /// Every Approval.
    pub approvals: Cache<Approval>,
}

/// How the process was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where artifacts are kept; without one, in the first Target of the first stage.
    pub hub: Option<Hub>,
    /// The controller's own namespace: Accounts' Secrets are there.
    pub namespace: String,
    /// The uid of the namespace kube-system: tells this cluster from every other one.
    pub cluster_id: String,
    /// Larger artifacts are refused, in bytes.
    pub max_artifact_size: u64,
}

/// The account and region that keep the artifacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Name of the Account.
    pub account: String,
    /// One of its regions.
    pub region: String,
}
