//! Which controllers run.

use std::sync::Arc;

use futures::Stream;
use kube::runtime::reflector::ObjectRef;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::watches::Feeds;
use crate::{
    api::v1alpha1::Deployment,
    controllers::{
        account, connection,
        context::Context,
        deployment::{self, transfer::Transfers},
        target,
    },
};

/// Starts every controller as a task that ends after `stop`, once its reconciles have ended.
pub fn start(
    context: &Arc<Context>,
    feeds: &Feeds,
    transfers: &Arc<Transfers>,
    fetched: impl Stream<Item = ObjectRef<Deployment>> + Send + 'static,
    stop: &CancellationToken,
) -> JoinSet<&'static str> {
    let mut tasks = JoinSet::new();
    let mut start = |name: &'static str, controller: futures::future::BoxFuture<'static, ()>| {
        tasks.spawn(async move {
            controller.await;
            name
        });
    };
    let context = || Arc::clone(context);
    start(
        "the controller of connections",
        Box::pin(connection::run(
            context(),
            feeds.connections.clone(),
            stop.clone(),
        )),
    );
    start(
        "the controller of accounts",
        Box::pin(account::run(
            context(),
            feeds.accounts.clone(),
            stop.clone(),
        )),
    );
    let of_deployments = deployment::Feeds {
        deployments: feeds.deployments.clone(),
        targets: feeds.targets.clone(),
        connections: feeds.connections.clone(),
        accounts: feeds.accounts.clone(),
    };
    start(
        "the controller of deployments",
        Box::pin(deployment::run(
            context(),
            of_deployments,
            Arc::clone(transfers),
            fetched,
            stop.clone(),
        )),
    );
    start(
        "the controller of targets",
        Box::pin(target::run(
            context(),
            feeds.targets.clone(),
            feeds.accounts.clone(),
            feeds.releases.clone(),
            feeds.namespaces.clone(),
            stop.clone(),
        )),
    );
    tasks
}
