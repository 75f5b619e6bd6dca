//! Removes what nothing needs any more, once a Target's order is carried out.
//!
//! What can't be undone is decided from a fresh read: the cache may not have a Release that it can't
//! read, or has just missed. While a Deployment is being deleted its Releases go too, and what becomes of
//! AWS is then for the deletion policy to say.

use std::{collections::BTreeSet, sync::Arc};

use kube::{Api, Resource as _, ResourceExt, api::ListParams};

use super::{controller::TargetController, turn::Pace};
use crate::{
    api::v1alpha1::{Deployment, Release, Target, TargetStatus, label},
    controllers::{access::Access, events::EventType},
    domain::{
        engine::{self, Observation},
        outcome::Outcome,
        reason::Reason,
    },
};

impl TargetController {
    /// Removes versions and snapshots that nothing needs. What fails is told, and tried again later.
    pub(super) async fn collect(&self, target: &Arc<Target>) {
        let Some(garbage) = self.garbage(target) else {
            return;
        };
        let status = target.status.clone().unwrap_or_default();
        let ended = self.collect_now(target, &status).await;
        self.collections.tried(target, garbage);
        match ended {
            Ok(Outcome::Stalled { message, .. }) => {
                let message = format!("Garbage could not be removed: {message}");
                self.context.events.publish(
                    target.object_ref(&()),
                    EventType::Warning,
                    Reason::GarbageCollectionFailed,
                    &message,
                );
            }
            Ok(outcome) => tracing::debug!(reason = outcome.reason().as_str(), "collected"),
            Err(error) => tracing::warn!(%error, "the garbage of the Target is unknown"),
        }
    }

    /// What there is to remove now, as far as the cache knows.
    pub(super) fn garbage(&self, target: &Target) -> Option<BTreeSet<String>> {
        let status = target.status.as_ref()?;
        let namespace = target.namespace();
        let releases = &self.context.stores.releases;
        let ours = releases.belonging_to(namespace.as_deref(), &target.spec.deployment);
        let cached = ours.iter().filter_map(|release| release.uid()).collect();
        let garbage = engine::garbage(status, &cached);
        self.collections
            .are_due(target, &garbage)
            .then_some(garbage)
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
        let decide = |status: &TargetStatus, observed: &Observation, _| {
            engine::decide_garbage_collection(status, &kept, &owner, observed)
        };
        let pace = Pace::in_background();
        let outcome = self.drive(target, &access, &mut known, false, pace, decide);
        Ok(outcome.await)
    }

    /// The uids of the Releases that exist; `None` where their Deployment does not stand any more.
    async fn kept(&self, target: &Target) -> Result<Option<BTreeSet<String>>, kube::Error> {
        let namespace = target.namespace().unwrap_or_default();
        let client = &self.context.client;
        let releases: Api<Release> = Api::namespaced(client.clone(), &namespace);
        let of_deployment = format!("{}={}", label::DEPLOYMENT, target.spec.deployment);
        let params = ListParams::default().labels(&of_deployment);
        let listed = releases.list_metadata(&params).await?;
        // Read after the list: what is not being deleted now was not when the list was made.
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
        let named = format!("metadata.name={}", target.spec.deployment);
        let found = deployments
            .list_metadata(&ListParams::default().fields(&named))
            .await?;
        let mut found = found.iter();
        let stands = found.any(|it| it.metadata.deletion_timestamp.is_none());
        let uids = listed.iter().filter_map(ResourceExt::uid).collect();
        Ok(stands.then_some(uids))
    }
}
