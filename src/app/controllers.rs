//! Which controllers run, and what wakes each besides its own objects.

use std::{fmt::Debug, sync::Arc};

use futures::Stream;
use kube::{
    Resource, ResourceExt as _,
    runtime::{
        Controller,
        reflector::{ObjectRef, Store},
    },
};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::watches::Feeds;
use crate::{
    api::v1alpha1::{Account, Approval, Deployment, Release, ReleaseStatus, Target, label},
    controllers::{
        account::{self, AccountController},
        cache::Cache,
        connection::ConnectionController,
        context::{Context, Hub},
        deployment::{DeploymentController, transfer::Transfers},
        runtime::{Ended, run},
        target::TargetController,
    },
    domain::promotion,
};

/// Starts every controller as a task that ends after `stop`, once its reconciles have ended.
pub fn start(
    context: &Arc<Context>,
    feeds: &Feeds,
    transfers: &Arc<Transfers>,
    woken: impl Stream<Item = ObjectRef<Deployment>> + Send + 'static,
    stop: &CancellationToken,
) -> JoinSet<&'static str> {
    let mut tasks = Tasks {
        context,
        stop,
        running: JoinSet::new(),
    };
    let connections = Arc::new(ConnectionController::new(Arc::clone(context)));
    tasks.start("connection", feeds.connections.controller(), move |one| {
        let this = Arc::clone(&connections);
        async move { this.reconcile(one).await }
    });
    let accounts = Arc::new(AccountController::new(Arc::clone(context)));
    tasks.start("account", account_wakes(feeds), move |one| {
        let this = Arc::clone(&accounts);
        async move { this.reconcile(one).await }
    });
    let deployments = DeploymentController::new(Arc::clone(context), Arc::clone(transfers));
    let deployments = Arc::new(deployments);
    let woken = deployment_wakes(feeds, context.settings.hub.as_ref())
        .reconcile_on(woken)
        .reconcile_on(deployments.woken());
    let polling = Arc::clone(&deployments);
    let stopped = stop.clone();
    tasks.running.spawn(async move {
        tokio::select! {
            () = polling.poll_resting() => {}
            () = stopped.cancelled() => {}
        }
        "the poll of GitLab"
    });
    tasks.start("deployment", woken, move |one| {
        let this = Arc::clone(&deployments);
        async move { this.reconcile(one).await }
    });
    let targets = Arc::new(TargetController::new(Arc::clone(context)));
    let woken = target_wakes(feeds)
        .reconcile_on(context.invocations.woken())
        .reconcile_on(context.admissions.woken());
    tasks.start("target", woken, move |one| {
        let this = Arc::clone(&targets);
        async move { Box::pin(this.reconcile(one)).await }
    });
    tasks.running
}

struct Tasks<'a> {
    context: &'a Arc<Context>,
    stop: &'a CancellationToken,
    running: JoinSet<&'static str>,
}

impl Tasks<'_> {
    fn start<K, F, R, E>(&mut self, name: &'static str, controller: Controller<K>, reconcile: F)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        F: Fn(Arc<K>) -> R + Send + Sync + 'static,
        R: Future<Output = E> + Send + 'static,
        E: Into<Ended> + 'static,
    {
        let controller = run(
            name,
            controller,
            Arc::clone(self.context),
            self.stop.clone(),
            reconcile,
        );
        self.running.spawn(async move {
            controller.await;
            name
        });
    }
}

/// An Account is reconciled when an Account that its credentials go through changes.
fn account_wakes(feeds: &Feeds) -> Controller<Account> {
    let accounts = feeds.accounts.store();
    feeds.accounts.controller().watches_shared_stream(
        feeds.accounts.changed(),
        move |changed: Arc<Account>| {
            let via = changed.name_any();
            selected(&accounts, |one| account::credentials_via(one) == Some(&via))
        },
    )
}

/// A Deployment follows its Releases and Targets, its connection, the Accounts of its targets and its
/// artifacts, and its namespace's labels, by which grants select.
fn deployment_wakes(feeds: &Feeds, hub: Option<&Hub>) -> Controller<Deployment> {
    let deployments = feeds.deployments.store();
    let of_account = feeds.deployments.store();
    let of_namespace = feeds.deployments.store();
    let releases = feeds.releases.store();
    let hub = hub.map(|hub| hub.account.clone());
    feeds
        .deployments
        .controller()
        .owns_shared_stream(feeds.releases.changed())
        .watches_shared_stream(
            feeds.targets.reported(promotion::decisive),
            |target: Arc<Target>| {
                let deployment = ObjectRef::new(&target.spec.deployment);
                [deployment.within(&target.namespace().unwrap_or_default())]
            },
        )
        .watches_shared_stream(feeds.approvals.changed(), move |approval: Arc<Approval>| {
            let release = ObjectRef::<Release>::new(&approval.spec.release_ref.name);
            let namespace = approval.namespace().unwrap_or_default();
            let release = releases.get(&release.within(&namespace));
            let deployment =
                release.and_then(|release| release.labels().get(label::DEPLOYMENT).cloned());
            deployment.map(|name| ObjectRef::new(&name).within(&namespace))
        })
        .watches_shared_stream(feeds.connections.touched(), move |connection| {
            selected(&deployments, |one| {
                one.namespace() == connection.namespace()
                    && one.spec.source.connection == connection.name_any()
            })
        })
        .watches_shared_stream(feeds.accounts.touched(), move |account: Arc<Account>| {
            let name = account.name_any();
            selected(&of_account, |one| {
                let mut targets = one.spec.stages.iter().flat_map(|stage| &stage.targets);
                hub.as_ref() == Some(&name) || targets.any(|target| target.account == name)
            })
        })
        .watches_shared_stream(feeds.namespaces.changed(), move |namespace| {
            selected(&of_namespace, |one| {
                one.metadata.namespace == namespace.metadata.name
            })
        })
}

/// A Target follows the Release of its run, the deletion of the Deployment's other Releases, its Account, its
/// namespace's labels, and the Approvals of its deletion. It also follows its Deployment, so that a requested
/// reconcile (`sluice.dev/reconcile`) takes effect at once on a stalled Target.
fn target_wakes(feeds: &Feeds) -> Controller<Target> {
    let targets = || feeds.targets.store();
    let releases = feeds.releases.store();
    let (of_release, of_deployment) = (feeds.targets.cache(), feeds.targets.cache());
    let (of_account, of_namespace, of_approval) = (targets(), targets(), targets());
    feeds
        .targets
        .controller()
        .watches_shared_stream(
            feeds.releases.reported(outcomes),
            move |release: Arc<Release>| {
                // A deleted Release may leave versions that nothing needs, and a rejected one a proposal.
                let is_deleted = releases.get(&ObjectRef::from_obj(&*release)).is_none();
                let of = release.labels().get(label::DEPLOYMENT);
                belonging(&of_release, &*release, of, |one| {
                    let run = one.spec.run.as_ref();
                    let proposals = one.status.iter().flat_map(|status| &status.proposals);
                    let mut concerned = proposals
                        .map(|it| &it.release)
                        .chain(run.map(|it| &it.release));
                    is_deleted
                        || concerned.any(|it| Some(&it.name) == release.metadata.name.as_ref())
                })
            },
        )
        .watches_shared_stream(feeds.deployments.changed(), move |deployment| {
            let of = deployment.metadata.name.as_ref();
            belonging(&of_deployment, &*deployment, of, |_| true)
        })
        .watches_shared_stream(feeds.accounts.touched(), move |account: Arc<Account>| {
            selected(&of_account, |one| one.spec.account == account.name_any())
        })
        .watches_shared_stream(feeds.approvals.changed(), move |approval: Arc<Approval>| {
            selected(&of_approval, |one| {
                let waits = one.status.as_ref().and_then(|it| it.deletion.as_ref());
                one.namespace() == approval.namespace()
                    && waits.is_some_and(|it| it.digest == approval.spec.stage_digest)
            })
        })
        .watches_shared_stream(feeds.namespaces.changed(), move |namespace| {
            selected(&of_namespace, |one| {
                one.metadata.namespace == namespace.metadata.name
            })
        })
}

/// The outcomes of a Release, by which Targets decide what is garbage.
fn outcomes(status: &ReleaseStatus) -> Vec<(String, String)> {
    let outcomes = status.stages.iter();
    outcomes
        .map(|it| (it.stage.clone(), it.outcome.clone()))
        .collect()
}

/// The Targets of that Deployment in the object's namespace that `wanted` selects.
fn belonging(
    targets: &Cache<Target>,
    object: &impl kube::ResourceExt,
    deployment: Option<&String>,
    wanted: impl Fn(&Target) -> bool,
) -> Vec<ObjectRef<Target>> {
    let namespace = object.namespace();
    let of = |name: &String| targets.belonging_to(namespace.as_deref(), name);
    let members = deployment.map(of).unwrap_or_default();
    let members = members.iter().filter(|one| wanted(one));
    members.map(|one| ObjectRef::from_obj(&**one)).collect()
}

fn selected<K>(store: &Store<K>, wanted: impl Fn(&K) -> bool) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let objects = store.state_filter(wanted);
    objects
        .iter()
        .map(|object| ObjectRef::from_obj(&**object))
        .collect()
}
