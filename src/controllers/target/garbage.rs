//! Garbage collection, once a Target's run is carried out.
//!
//! A deletion can't be undone, so it is decided from a fresh read: the cache may lack a Release that it can't
//! parse or has just missed. While a Deployment is being deleted its Releases are deleted too, and the
//! deletion policy decides what happens in AWS.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{Api, Resource as _, ResourceExt, api::ListParams};

use super::{controller::TargetController, turn::Pace};
use crate::{
    api::v1alpha1::{Deployment, Release, Target, TargetStatus, label},
    controllers::{access::Access, events::EventType},
    domain::{
        engine::{self, Needed, Observation},
        outcome::Outcome,
        promotion::REJECTED,
        reason::Reason,
    },
};

impl TargetController {
    /// Removes versions and snapshots that nothing needs. A failure is reported and retried later.
    pub(super) async fn collect(&self, target: &Arc<Target>) {
        let garbage = self.garbage(target);
        let due_in = self.collections.due_in(target, &garbage, Instant::now());
        if due_in != Some(Duration::ZERO) {
            return;
        }
        let status = target.status.clone().unwrap_or_default();
        let ended = self.collect_now(target, &status).await;
        self.collections.record(target, garbage, Instant::now());
        match ended {
            Ok(Outcome::Stalled { message, .. }) => {
                let message = format!("Garbage collection failed: {message}");
                self.context.events.publish(
                    target.object_ref(&()),
                    EventType::Warning,
                    Reason::GarbageCollectionFailed,
                    &message,
                );
            }
            Ok(outcome) => tracing::debug!(reason = outcome.reason().as_str(), "collected"),
            Err(error) => {
                tracing::warn!(%error, "the Releases that the Target's garbage depends on can't be listed");
            }
        }
    }

    /// When the next garbage collection is due; `None` without garbage, as far as the cache knows.
    pub(super) fn next_collection(&self, target: &Target) -> Option<Duration> {
        let garbage = self.garbage(target);
        self.collections.due_in(target, &garbage, Instant::now())
    }

    /// The garbage, as far as the cache knows.
    fn garbage(&self, target: &Target) -> BTreeSet<String> {
        let Some(status) = &target.status else {
            return BTreeSet::new();
        };
        let members = self.releases_of(target);
        let needed = Needed {
            existing: members.iter().filter_map(|release| release.uid()).collect(),
            open: open_releases(target, status, &members),
        };
        engine::garbage(status, &needed)
    }

    async fn collect_now(
        &self,
        target: &Target,
        status: &TargetStatus,
    ) -> Result<Outcome, kube::Error> {
        let Some(kept) = self.kept(target).await? else {
            return Ok(engine::outcome(status));
        };
        let access = match Access::enter(&self.context, target).await {
            Ok(access) => access,
            Err(outcome) => return Ok(outcome),
        };
        let mut known = engine::Known::default();
        let owner = access.owner.clone();
        let needed = Needed {
            existing: kept,
            open: open_releases(target, status, &self.releases_of(target)),
        };
        let decide = |status: &TargetStatus, observed: &Observation, _| {
            engine::decide_garbage_collection(status, &needed, &owner, observed)
        };
        let pace = Pace::in_background();
        let outcome = self.drive(target, &access, &mut known, false, pace, decide);
        Ok(outcome.await)
    }

    /// The Releases of the Target's Deployment, as far as the cache knows.
    fn releases_of(&self, target: &Target) -> Vec<Arc<Release>> {
        let releases = &self.context.stores.releases;
        releases.belonging_to(target.namespace().as_deref(), &target.spec.deployment)
    }

    /// The uids of the existing Releases; `None` if their Deployment is deleted or being deleted.
    async fn kept(&self, target: &Target) -> Result<Option<BTreeSet<String>>, kube::Error> {
        let namespace = target.namespace().unwrap_or_default();
        let client = &self.context.client;
        let releases: Api<Release> = Api::namespaced(client.clone(), &namespace);
        let of_deployment = format!("{}={}", label::DEPLOYMENT, target.spec.deployment);
        let params = ListParams::default().labels(&of_deployment);
        let listed = releases.list_metadata(&params).await?;
        // Read after the list: a Deployment that is not being deleted now was not being deleted then either.
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
        let named = format!("metadata.name={}", target.spec.deployment);
        let found = deployments
            .list_metadata(&ListParams::default().fields(&named))
            .await?;
        let mut found = found.iter();
        let exists = found.any(|it| it.metadata.deletion_timestamp.is_none());
        let uids = listed.iter().filter_map(ResourceExt::uid).collect();
        Ok(exists.then_some(uids))
    }
}

/// The uids of the Releases that the Target is to plan or deliver, without the rejected ones.
fn open_releases(
    target: &Target,
    status: &TargetStatus,
    releases: &[Arc<Release>],
) -> BTreeSet<String> {
    let is_rejected = |uid: &String| {
        let of_uid = releases.iter().filter(|it| it.uid().as_ref() == Some(uid));
        let mut outcomes = of_uid.flat_map(|it| it.status.iter().flat_map(|it| &it.stages));
        outcomes.any(|it| it.stage == target.spec.stage && it.outcome == REJECTED)
    };
    let mut open = engine::open_releases(&target.spec, status);
    open.retain(|uid| !is_rejected(uid));
    open
}
