//! Assembles the process, runs it, and shuts it down in order.
//!
//! # Expected flow
//! *serve HTTP → watch → caches filled → elected → controllers → stop requested → drained → Lease
//! released*. A standby stays before "elected" with its caches filled.
//!
//! # Guarantees
//! - The Lease is released only once no reconcile runs any more; if one does not end in time, the
//!   Lease expires.
//! - Losing the Lease ends the process with an error; the fence is closed before anything else
//!   happens.

mod clients;
mod controllers;
mod error;
mod turns;
mod watches;

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{JoinError, JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::watches::Feeds;
pub use self::{clients::Clients, error::AppError};
use crate::{
    adapters::{
        aws::AwsCloud, gitlab::GitLabClients, http_probe::GuardedHttp, kubernetes::KubeSecrets,
    },
    cli::Run,
    controllers::{
        approval::policy::{ApprovalPolicy, Shipped},
        context::{Context, Settings},
        deployment::transfer::Transfers,
        events::{self, Events},
        malformed::{self, Isolation},
        target::Admissions,
        workload::s3::Waves,
    },
    domain::gates::PolicyForce,
    fence::Fence,
    http::{self, Readiness},
    leader::{Elector, Phase},
    metrics::Metrics,
    ports::{cloud::Cloud, gitlab::GitLabs, http::HttpProbe, secrets::Secrets},
};

/// How long the last Events may take to be written.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// How soon a failed call to the API server is repeated at start.
const RETRY: Duration = Duration::from_secs(2);

/// Runs the controller as a process until a signal stops it or it loses the Lease.
pub async fn run(options: Run) -> Result<(), AppError> {
    let stop = stop_on_signal()?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|source| AppError::Listen {
            address: options.listen,
            source,
        })?;
    let metrics = Arc::new(Metrics::new());
    let readiness = Readiness::default();
    let serving = CancellationToken::new();
    let answering = http::serve(
        listener,
        Arc::clone(&metrics),
        readiness.clone(),
        serving.clone(),
    );
    let server = tokio::spawn(answering);
    info!(version = env!("CARGO_PKG_VERSION"), listen = %options.listen, "started");

    let ended = match Clients::infer().await {
        Ok(clients) => work(&options, clients, &metrics, &readiness, stop).await,
        Err(error) => Err(error),
    };
    readiness.stopping();
    serving.cancel();
    if let Ok(Err(error)) = server.await {
        warn!(%error, "the HTTP server failed");
    }
    if let Err(error) = &ended {
        error!(%error, "ends");
    } else {
        info!("ends");
    }
    ended
}

/// Runs the controller with these clients until `stop` is cancelled or the Lease is lost. Needs neither
/// signals nor a port of the process.
pub async fn work(
    options: &Run,
    clients: Clients,
    metrics: &Arc<Metrics>,
    readiness: &Readiness,
    stop: CancellationToken,
) -> Result<(), AppError> {
    match Process::start(options, clients, metrics, &stop).await? {
        Some(process) => process.live(options, readiness, stop).await,
        None => Ok(()),
    }
}

/// Everything that runs on a standby too.
struct Process {
    clients: Clients,
    context: Arc<Context>,
    feeds: Feeds,
    /// Watches and the report of unreadable objects, which end with the process.
    background: JoinSet<&'static str>,
    events: JoinHandle<()>,
}

impl Process {
    /// `None` if the process is stopped meanwhile.
    async fn start(
        options: &Run,
        clients: Clients,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, AppError> {
        let cluster_id = tokio::select! {
            cluster_id = cluster_id(&clients.calls) => cluster_id,
            () = stop.cancelled() => return Ok(None),
        };
        let fence = if options.election.leader_elect {
            Fence::closed()
        } else {
            Fence::open()
        };
        let clients = Clients {
            calls: turns::in_turn(clients.calls, fence.clone()),
            ..clients
        };
        let mut background = JoinSet::new();
        let (events, inbox) = Events::channel(Arc::clone(metrics));
        let (isolation, unreadable) = Isolation::channel(Arc::clone(metrics));
        let feeds = Feeds::start(&clients.watches, &isolation, metrics, &mut background);
        let report = malformed::report(
            clients.calls.clone(),
            events.clone(),
            fence.clone(),
            unreadable,
        );
        background.spawn(async move {
            report.await;
            "the report of malformed objects"
        });
        let adapters = adapters(options, &clients, &feeds, metrics, &fence).await?;
        let writing = events::write(
            clients.calls.clone(),
            options.pod_name.clone(),
            Arc::clone(metrics),
            inbox,
        );
        let context = Arc::new(Context {
            client: clients.calls.clone(),
            cloud: adapters.cloud,
            waves: Waves::default(),
            gitlabs: adapters.gitlabs,
            invocations: Arc::default(),
            admissions: Admissions::default(),
            http: adapters.http,
            approval_policy: ApprovalPolicy::new(clients.calls.clone(), policies(options)),
            events,
            metrics: Arc::clone(metrics),
            stores: feeds.stores(),
            settings: Settings {
                hub: options.hub(),
                namespace: options.namespace.clone(),
                cluster_id,
                max_artifact_size: options.max_artifact_size,
            },
            fence,
            stopping: CancellationToken::new(),
        });
        Ok(Some(Self {
            clients,
            context,
            feeds,
            background,
            events: tokio::spawn(writing),
        }))
    }

    /// Stands by, leads, and shuts down in order.
    async fn live(
        mut self,
        options: &Run,
        readiness: &Readiness,
        stop: CancellationToken,
    ) -> Result<(), AppError> {
        tokio::select! {
            () = self.feeds.filled() => info!("caches filled"),
            Some(part) = self.background.join_next() => return Err(ended_early(part)),
            () = stop.cancelled() => return Ok(()),
        }
        readiness.ready();
        let finish = CancellationToken::new();
        let (mut election, mut phase) = self.stand(options, &finish);
        let led = tokio::select! {
            _ = phase.wait_for(|phase| *phase == Phase::Leading) => true,
            lost = &mut election => return lost.unwrap_or(Err(AppError::Ended("the election"))),
            Some(part) = self.background.join_next() => return Err(ended_early(part)),
            () = stop.cancelled() => false,
        };
        let mut drained = true;
        let mut ended = Ok(());
        if led {
            self.context.metrics.leading(true);
            self.check_policy().await;
            let (transfers, woken) =
                Transfers::new(options.transfers(), Arc::clone(&self.context.metrics));
            let stopping = self.context.stopping.clone();
            let mut controllers =
                controllers::start(&self.context, &self.feeds, &transfers, woken, &stopping);
            ended = tokio::select! {
                () = stop.cancelled() => Ok(()),
                lost = &mut election => lost.unwrap_or(Err(AppError::Ended("the election"))),
                Some(part) = self.background.join_next() => Err(ended_early(part)),
                Some(part) = controllers.join_next() => Err(ended_early(part)),
            };
            self.context.metrics.leading(false);
            readiness.stopping();
            info!("stopping: no new reconciles; running ones finish");
            stopping.cancel();
            drained =
                ended.is_ok() && drain(controllers, &transfers, options.shutdown_timeout).await;
        }
        if drained && ended.is_ok() {
            finish.cancel();
            ended = election
                .await
                .unwrap_or(Err(AppError::Ended("the election")));
        } else {
            warn!("the Lease is left to expire, because some reconciles have not ended");
            election.abort();
        }
        self.background.shutdown().await;
        drop((self.context, self.feeds));
        if timeout(LAST_EVENTS, self.events).await.is_err() {
            warn!("some Events were not written");
        }
        ended
    }

    /// Logs a warning if no Approval can count, so that the installer knows before a stage waits for one.
    async fn check_policy(&self) {
        let force = self.context.approval_policy.force(Duration::ZERO).await;
        if let PolicyForce::NotInForce(problem) = force {
            warn!(problem, "no Approval counts");
        }
    }

    /// Takes part in the election, if it is enabled. The task ends when `finish` is cancelled or the
    /// Lease is lost.
    fn stand(
        &self,
        options: &Run,
        finish: &CancellationToken,
    ) -> (JoinHandle<Result<(), AppError>>, watch::Receiver<Phase>) {
        let finish = finish.clone();
        let Some(lease) = options.lease() else {
            let (phase, phases) = watch::channel(Phase::Leading);
            let task = tokio::spawn(async move {
                finish.cancelled().await;
                drop(phase);
                Ok(())
            });
            return (task, phases);
        };
        let api = Api::namespaced(self.clients.leases.clone(), &options.namespace);
        let (elector, phases) = Elector::new(api, lease, self.context.fence.clone());
        let task = tokio::spawn(async move { elector.run(finish).await.map_err(AppError::from) });
        (task, phases)
    }
}

/// The admission policies that the chart installs.
fn policies(options: &Run) -> [Shipped; 2] {
    let (namespace, account) = (&options.namespace, &options.service_account);
    let controller = format!("system:serviceaccount:{namespace}:{account}");
    [
        Shipped::approvals(options.approval_policy.as_str()),
        Shipped::records(options.records_policy.as_str(), &controller),
    ]
}

/// The adapters of the external systems.
struct Adapters {
    cloud: Arc<dyn Cloud>,
    gitlabs: Arc<dyn GitLabs>,
    http: Arc<dyn HttpProbe>,
}

async fn adapters(
    options: &Run,
    clients: &Clients,
    feeds: &Feeds,
    metrics: &Arc<Metrics>,
    fence: &Fence,
) -> Result<Adapters, AppError> {
    let secrets: Arc<dyn Secrets> = Arc::new(KubeSecrets::new(
        clients.calls.clone(),
        &options.namespace,
        &options.service_account,
    ));
    let directory = Arc::new(watches::Directory(feeds.accounts.store()));
    let cloud = AwsCloud::new(
        Arc::clone(&secrets),
        directory,
        &options.namespace,
        Arc::clone(metrics),
        fence.clone(),
    )
    .await?;
    let gitlabs = GitLabClients::new(
        secrets,
        Arc::clone(metrics),
        options.gitlab_networks.clone(),
        options.gitlab_rates(),
    );
    let http = GuardedHttp::new(options.check_networks.clone(), Arc::clone(metrics))?;
    Ok(Adapters {
        cloud: Arc::new(cloud),
        gitlabs: Arc::new(gitlabs),
        http: Arc::new(http),
    })
}

/// Waits for running reconciles and transfers to end. Returns whether they did in time.
async fn drain(
    mut controllers: JoinSet<&'static str>,
    transfers: &Transfers,
    limit: Duration,
) -> bool {
    let end = async {
        while controllers.join_next().await.is_some() {}
        transfers.shutdown().await;
    };
    let drained = timeout(limit, end).await.is_ok();
    if !drained {
        warn!(?limit, "some reconciles did not end in time");
    }
    drained
}

fn ended_early(part: Result<&'static str, JoinError>) -> AppError {
    AppError::Ended(part.unwrap_or("a part of the process that panicked"))
}

/// Reads the uid of kube-system, until the API server answers.
async fn cluster_id(client: &Client) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    loop {
        match namespaces.get("kube-system").await {
            Ok(namespace) => {
                if let Some(uid) = namespace.metadata.uid {
                    return uid;
                }
                warn!("the namespace kube-system has no uid");
            }
            Err(error) => {
                warn!(%error, "the namespace kube-system, whose uid identifies this cluster, can't be read");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// A token that SIGTERM or SIGINT cancels.
fn stop_on_signal() -> Result<CancellationToken, AppError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AppError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppError::Signals)?;
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping on a signal");
        signalled.cancel();
    });
    Ok(stop)
}
