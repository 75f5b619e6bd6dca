//! What all controllers share: clients, caches and settings.

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
    /// The client of the Kubernetes API. It does not retry, and every call ends before the Lease does.
    pub client: Client,
    /// The clients of AWS accounts.
    pub cloud: Arc<dyn Cloud>,
    /// The limits on concurrent S3 objects.
    pub waves: Waves,
    /// The clients of GitLab.
    pub gitlabs: Arc<dyn GitLabs>,
    /// The function invocations of checks.
    pub invocations: Arc<Invocations>,
    /// Decides which runs begin.
    pub admissions: Admissions,
    /// The client for the URLs of checks.
    pub http: Arc<dyn HttpProbe>,
    /// The admission policies that vouch for Approvals.
    pub approval_policy: ApprovalPolicy,
    /// Publishes Events.
    pub events: Events,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The caches.
    pub stores: Stores,
    /// How the process was started.
    pub settings: Settings,
    /// Whether a write may begin.
    pub fence: Fence,
    /// Cancelled when no new reconcile may begin: waits then end.
    pub stopping: CancellationToken,
}

/// The cached objects of the cluster, without managedFields. They may lag behind external writes.
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
    /// Where artifacts are kept. Without a hub, at the first Target of the first stage.
    pub hub: Option<Hub>,
    /// The controller's own namespace, which has the Secrets of Accounts.
    pub namespace: String,
    /// The uid of the namespace kube-system, which identifies this cluster.
    pub cluster_id: String,
    /// The largest accepted artifact, in bytes.
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
