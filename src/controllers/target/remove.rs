//! The end of a Target: AWS as the deletion policy says, from the Target's status alone.

use std::time::Duration;

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{TargetController, access::Access};
use crate::{
    api::v1alpha1::{DeletionPolicy, Target, annotation, finalizer},
    domain::{
        machine::{self, Observation},
        outcome::Outcome,
    },
};

impl TargetController {
    /// Undoes what is to be undone, then lets the Target go.
    pub(super) async fn remove(&self, target: &Target) -> Outcome {
        if !target
            .finalizers()
            .iter()
            .any(|name| name == finalizer::TARGET)
        {
            self.memory.forget(target);
            return gone();
        }
        let status = target.status.clone().unwrap_or_default();
        let unfinished = status.run.as_ref().is_some_and(|run| !machine::ended(run));
        let untouched = status.inventory.is_empty() && !unfinished;
        let kept = target.spec.deletion_policy == DeletionPolicy::Retain && !unfinished;
        if untouched || kept || target.annotations().contains_key(annotation::ABANDON) {
            return self.release(target).await;
        }
        let access = match Access::enter(&self.context, target).await {
            Ok(access) => access,
            Err(outcome) => {
                let outcome = with_way_out(outcome);
                return self.publish(target, status, outcome, Duration::ZERO).await;
            }
        };
        let mut known = self.memory.known(target, target.spec.run.as_ref());
        let policy = target.spec.deletion_policy;
        let decide = |status: &_, seen: &Observation, now| {
            machine::decide_removal(policy, status, &access.owner, seen, now)
        };
        let outcome = self.drive(target, &access, &mut known, true, decide).await;
        self.memory.keep(target, target.spec.run.as_ref(), known);
        match outcome {
            Outcome::Done {
                reason: "Removed", ..
            } => self.release(target).await,
            other => other,
        }
    }

    /// Takes our finalizer off.
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
                self.looks.forget(target);
                self.collections.forget(target);
                self.written.forget(target);
                gone()
            }
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => gone(),
            Err(error) => Outcome::Transient {
                reason: "ApiServer",
                message: format!("letting Target {} go: {error}", target.name_any()),
                after: None,
            },
        }
    }
}

fn gone() -> Outcome {
    Outcome::Done {
        reason: "Removed",
        message: "The Target is gone".to_owned(),
    }
}

fn with_way_out(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Stalled { reason, message } => Outcome::Stalled {
            reason,
            message: format!(
                "{message}. To let the Target go and leave AWS as it is, set the annotation {}=true on it",
                annotation::ABANDON
            ),
        },
        other => other,
    }
}
