//! Resting Deployments: one poll asks GitLab for all that follow a ref, and wakes them if there is news.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream::FuturesUnordered};
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use tracing::debug;

use super::{
    memory::{Known, Sources, key},
    rounds::Due,
};
use crate::{
    api::v1alpha1::Deployment,
    controllers::{
        context::Context,
        deployment::{
            poll_interval::{jittered, poll_interval},
            resolve::client,
        },
        wakes::Wakes,
    },
    domain::digest::Sha256,
    ports::{CallError, as_of::AsOf},
};

/// A resting Deployment is reconciled at least once in this time.
pub(super) const MAX_REST: Duration = Duration::from_hours(1);

impl Sources {
    /// Lets the Deployment rest until GitLab has news. Returns whether it may.
    pub(super) fn rest(&self, deployment: &Deployment) -> bool {
        let mut known = self.known();
        let Known { states, rounds } = &mut *known;
        let uid = key(deployment);
        let Some(state) = states.get_mut(&uid) else {
            return false;
        };
        if !state.can_rest() {
            return false;
        }
        let Some(at) = state.next_poll else {
            return false;
        };
        let source = shared_question(deployment);
        state.rests_in = Some(source);
        let reference = ObjectRef::from_obj(deployment);
        if rounds.rest((source, at), uid, reference, state.read.clone()) {
            self.first_rest.notify_one();
        }
        true
    }

    /// Polls GitLab for resting Deployments when that is due, and wakes those with news, forever.
    pub async fn poll_resting(&self, context: &Context, wakes: &Wakes<Deployment>) {
        let mut asking = FuturesUnordered::new();
        loop {
            let earliest = self.known().rounds.earliest();
            let is_time = async {
                match earliest {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.first_rest.notified() => {}
                () = is_time => {
                    let due = self.known().rounds.due(Instant::now());
                    asking.extend(due.into_iter().map(|due| ask(context, due)));
                }
                Some((source, unchanged)) = asking.next() => {
                    for deployment in self.end_poll(source, unchanged) {
                        wakes.wake(deployment);
                    }
                }
            }
        }
    }

    /// Ends a poll. If what the Deployments read still holds, `unchanged` is their poll interval; otherwise
    /// there may be news. Returns the Deployments to wake.
    pub(super) fn end_poll(
        &self,
        source: Sha256,
        unchanged: Option<Duration>,
    ) -> Vec<ObjectRef<Deployment>> {
        let mut known = self.known();
        let Known { states, rounds } = &mut *known;
        let Some(interval) = unchanged else {
            return rounds.news(source);
        };
        let at = Instant::now() + jittered(interval);
        for uid in rounds.unchanged(source, at) {
            if let Some(state) = states.get_mut(&uid) {
                state.next_poll = Some(at);
            }
        }
        Vec::new()
    }
}

/// Polls GitLab for all Deployments of a round. Returns their poll interval, if what they read still holds.
async fn ask(context: &Context, due: Due) -> (Sha256, Option<Duration>) {
    let follower = context.stores.deployments.get(&due.deployment);
    let unchanged = async {
        let follower = follower.filter(|_| due.read.can_revalidate())?;
        let gitlab = client(context, &follower).await.ok()?;
        let holds = gitlab.are_unchanged(&due.read).await;
        let holds = holds.inspect_err(|error: &CallError| {
            debug!(%error, "the conditional requests failed: resting Deployments poll for themselves");
        });
        (holds == Ok(true)).then(|| poll_interval(&follower))
    };
    let unchanged = AsOf(due.at.into()).scope(unchanged).await;
    (due.source, unchanged)
}

/// The identity of a source whose Deployments share the answers.
pub(super) fn shared_question(deployment: &Deployment) -> Sha256 {
    Sha256::of_json(&(deployment.namespace(), &deployment.spec.source))
}
