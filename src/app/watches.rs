//! The watches: one per kind, for the caches and for all listeners.

use std::{fmt::Debug, future::ready, sync::Arc};

use futures::{Stream, StreamExt as _};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, Store},
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tracing::warn;

use crate::{
    api::v1alpha1::{
        Account, Approval, Deployment, GitLabConnection, Release, Target,
        condition::{DRIFTED, READY, STALLED},
    },
    controllers::{
        cache::by_release,
        context::Stores,
        feed::{Feed, Source, feed, feed_by},
        malformed::Isolation,
    },
    domain::{outcome::is_true, reason::Reason},
    metrics::{Metrics, ObjectCounts},
    ports::cloud::AccountDirectory,
};

/// Every kind that is watched.
pub struct Feeds {
    pub accounts: Feed<Account>,
    pub namespaces: Feed<PartialObjectMeta<Namespace>>,
    pub connections: Feed<GitLabConnection>,
    pub deployments: Feed<Deployment>,
    pub releases: Feed<Release>,
    pub targets: Feed<Target>,
    pub approvals: Feed<Approval>,
}

impl Feeds {
    /// Starts the watches as tasks that end with `tasks`.
    pub fn start(
        client: &Client,
        isolation: &Isolation,
        metrics: &Metrics,
        tasks: &mut JoinSet<&'static str>,
    ) -> Self {
        let mut watches = Watches {
            client,
            isolation,
            metrics,
            tasks,
        };
        let feeds = Self {
            accounts: watches.start("Account", |one: &Account| {
                one.status.as_ref().map(|status| &status.conditions[..])
            }),
            connections: watches.start("GitLabConnection", |one: &GitLabConnection| {
                one.status.as_ref().map(|status| &status.conditions[..])
            }),
            deployments: watches.start("Deployment", |one: &Deployment| {
                one.status.as_ref().map(|status| &status.conditions[..])
            }),
            releases: watches.start("Release", |one: &Release| {
                one.status.as_ref().map(|status| &status.conditions[..])
            }),
            targets: watches.start("Target", |one: &Target| {
                one.status.as_ref().map(|status| &status.conditions[..])
            }),
            approvals: watches.fill(feed_by(by_release), "Approval", |one: &Approval| {
                one.status.as_ref().map(|status| &status.conditions[..])
            }),
            namespaces: namespaces(client, tasks),
        };
        let targets = feeds.targets.store();
        metrics.count_drifted(move || {
            let targets = targets.state();
            let drifted = targets.iter().filter_map(|target| target.status.as_ref());
            let drifted = drifted.filter(|status| is_true(&status.conditions, DRIFTED));
            u32::try_from(drifted.count()).unwrap_or(u32::MAX)
        });
        let deployments = feeds.deployments.store();
        metrics.count_waiting(move || {
            let deployments = deployments.state();
            let statuses = deployments.iter().filter_map(|it| it.status.as_ref());
            let waiting = statuses
                .flat_map(|status| &status.stages)
                .filter_map(|stage| stage.waiting.as_ref())
                .filter(|waiting| waiting.reason == Reason::WaitingForApproval.as_str());
            u32::try_from(waiting.count()).unwrap_or(u32::MAX)
        });
        feeds
    }

    /// Waits until every cache has been filled once.
    pub async fn filled(&self) {
        let stores = self.stores();
        // A store whose watch ended is never filled, but that ends the process anyway.
        let _ = tokio::join!(
            stores.accounts.store().wait_until_ready(),
            stores.namespaces.store().wait_until_ready(),
            stores.connections.store().wait_until_ready(),
            stores.deployments.store().wait_until_ready(),
            stores.releases.store().wait_until_ready(),
            stores.targets.store().wait_until_ready(),
            stores.approvals.store().wait_until_ready(),
        );
    }

    /// The caches.
    pub fn stores(&self) -> Stores {
        Stores {
            accounts: self.accounts.cache(),
            namespaces: self.namespaces.cache(),
            connections: self.connections.cache(),
            deployments: self.deployments.cache(),
            releases: self.releases.cache(),
            targets: self.targets.cache(),
            approvals: self.approvals.cache(),
        }
    }
}

struct Watches<'a> {
    client: &'a Client,
    isolation: &'a Isolation,
    metrics: &'a Metrics,
    tasks: &'a mut JoinSet<&'static str>,
}

impl Watches<'_> {
    fn start<K>(
        &mut self,
        kind: &'static str,
        conditions: impl Fn(&K) -> Option<&[Condition]> + Send + Sync + 'static,
    ) -> Feed<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        self.fill(feed(), kind, conditions)
    }

    fn fill<K>(
        &mut self,
        (feed, source): (Feed<K>, Source<K>),
        kind: &'static str,
        conditions: impl Fn(&K) -> Option<&[Condition]> + Send + Sync + 'static,
    ) -> Feed<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let store = feed.store();
        self.metrics.count_objects(kind, move || {
            count(&store, |one| conditions(one).unwrap_or_default())
        });
        let isolate = self.isolation.of::<K>(kind);
        let stream = watch(Api::all(self.client.clone()));
        self.tasks.spawn(async move {
            source.fill_guarded(stream, isolate).await;
            "a watch"
        });
        feed
    }
}

/// Watches namespaces, keeping only their labels.
fn namespaces(
    client: &Client,
    tasks: &mut JoinSet<&'static str>,
) -> Feed<PartialObjectMeta<Namespace>> {
    let (feed, source) = feed();
    let stream =
        watch(Api::<PartialObjectMeta<Namespace>>::all(client.clone())).modify(|namespace| {
            namespace.managed_fields_mut().clear();
            namespace.annotations_mut().clear();
        });
    tasks.spawn(async move {
        source.fill(stream).await;
        "the watch of namespaces"
    });
    feed
}

/// A watch that survives every failure. It begins as one stream, which needs no list in the memory of
/// either side, and falls back to a list if the server does not support that.
fn watch<K>(api: Api<K>) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let listed = watcher(api.clone(), watcher::Config::default());
    watcher(api, watcher::Config::default().streaming_lists())
        .take_while(|event| ready(!event.as_ref().is_err_and(refuses_to_stream)))
        .chain(listed)
        .default_backoff()
}

fn refuses_to_stream(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)) = error
    else {
        return false;
    };
    let refused = status.code == 422 || status.code == 400;
    if refused {
        warn!(reason = %status.message, "the API server does not stream lists; listing instead");
    }
    refused
}

fn count<K: Resource<DynamicType = ()> + Clone + 'static>(
    store: &Store<K>,
    conditions: impl Fn(&K) -> &[Condition],
) -> ObjectCounts {
    let mut counts = ObjectCounts::default();
    for object in store.state() {
        let conditions = conditions(&object);
        if is_true(conditions, STALLED) {
            counts.stalled += 1;
        } else if is_true(conditions, READY) {
            counts.ready += 1;
        } else {
            counts.moving += 1;
        }
    }
    counts
}

/// The cached Accounts, for credentials that go through another Account.
pub struct Directory(pub Store<Account>);

impl AccountDirectory for Directory {
    fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.0.get(&ObjectRef::new(name))
    }
}
