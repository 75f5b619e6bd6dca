//! The deletion of a Target: applies the deletion policy in AWS, from the Target's status alone.

use std::time::Duration;

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{controller::TargetController, delay::STALE, shared, turn::Pace};
use crate::{
    api::v1alpha1::{DeletionPolicy, Target, annotation, finalizer},
    controllers::{access::Access, api_failure::refusal, runtime::Ended},
    domain::{
        engine::{self, Observation},
        outcome::Outcome,
        reason::Reason,
    },
};

impl TargetController {
    /// Restores or deletes in AWS what the deletion policy says, then removes the finalizer.
    pub(super) async fn remove(&self, target: &Target) -> Ended {
        if !target
            .finalizers()
            .iter()
            .any(|name| name == finalizer::TARGET)
        {
            self.memory.forget(target);
            return gone().into();
        }
        let status = target.status.clone().unwrap_or_default();
        let unfinished = status.run.as_ref().is_some_and(|run| !engine::ended(run));
        let retains = target.spec.deletion_policy == DeletionPolicy::Retain;
        let deletes = !retains && !status.inventory.is_empty();
        // What was created only for plans goes in any case.
        let has_work = unfinished || deletes || !status.proposals.is_empty();
        if !has_work || target.annotations().contains_key(annotation::ABANDON) {
            return self.release(target).await.into();
        }
        // A run that has begun is restored, even while an approval is missing.
        let (target, policy, waits) = match self.may_delete(target).await {
            Ok(target) => {
                let policy = target.spec.deletion_policy;
                (target, policy, false)
            }
            Err(_) if unfinished => (target.clone(), DeletionPolicy::Retain, true),
            Err(not_yet) => {
                let Ended { outcome, recheck } = not_yet.ended;
                let outcome = self
                    .publish(target, not_yet.status, outcome, Duration::ZERO)
                    .await;
                return Ended { outcome, recheck };
            }
        };
        let target = &target;
        let status = target.status.clone().unwrap_or_default();
        let access = match Access::enter(&self.context, target).await {
            Ok(access) => access,
            Err(outcome) => {
                let outcome = with_abandon_hint(outcome);
                let outcome = self.publish(target, status, outcome, Duration::ZERO).await;
                return outcome.into();
            }
        };
        let mut known = self.memory.known(target, target.spec.run.as_ref());
        let others = shared::owned_by_others(&self.context, target);
        let decide = |status: &_, observed: &Observation, now| {
            let own = shared::without(status, &others);
            engine::decide_removal(policy, &own, &access.owner, observed, now)
        };
        let pace = Pace::in_foreground(&engine::urgency_of_removal);
        let outcome = self
            .drive(target, &access, &mut known, true, pace, decide)
            .await;
        self.memory.keep(target, target.spec.run.as_ref(), known);
        match outcome {
            Outcome::Done {
                reason: Reason::Removed,
                ..
            } if waits => Ended::from(Outcome::Waiting {
                reason: Reason::Deleting,
                message: "Restoring the unfinished run before the deletion".to_owned(),
                after: STALE,
            }),
            Outcome::Done {
                reason: Reason::Removed,
                ..
            } => self.release(target).await.into(),
            other => other.into(),
        }
    }

    /// Removes Sluice's finalizer.
    async fn release(&self, target: &Target) -> Outcome {
        let others: Vec<_> = target
            .finalizers()
            .iter()
            .filter(|name| *name != finalizer::TARGET)
            .collect();
        let patch = json!({"metadata": {"finalizers": others, "uid": target.uid()}});
        let api: Api<Target> = Api::namespaced(
            self.context.client.clone(),
            &target.namespace().unwrap_or_default(),
        );
        match api
            .patch(
                &target.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await
        {
            Ok(_) => {
                self.memory.forget(target);
                self.context.invocations.forget(target);
                self.drift_checks.forget(target);
                self.collections.forget(target);
                self.context.stores.targets.forget(target);
                gone()
            }
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => gone(),
            Err(error) => Outcome::Transient {
                reason: Reason::ApiServer,
                message: format!(
                    "removing the finalizer of Target {} failed: {}",
                    target.name_any(),
                    refusal(&error)
                ),
                after: None,
            },
        }
    }
}

fn gone() -> Outcome {
    Outcome::Done {
        reason: Reason::Removed,
        message: "The Target is deleted".to_owned(),
    }
}

/// Adds how to delete the Target without changing AWS.
pub(super) fn with_abandon_hint(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Stalled { reason, message } => Outcome::Stalled {
            reason,
            message: format!(
                "{message}. To delete the Target and leave AWS as it is, set its annotation {}=true",
                annotation::ABANDON
            ),
        },
        other => other,
    }
}
