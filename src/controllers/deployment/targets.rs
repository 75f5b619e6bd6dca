//! Assigns runs and plans to Targets, which are created when they are first needed.

use std::collections::BTreeSet;

use kube::{
    ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    controller::DeploymentController,
    drift_status,
    failure::Failure,
    family::{Family, owner_reference},
    problems::Problems,
};
use crate::{
    api::v1alpha1::{
        Deployment, ReleaseRef, Run, StageTarget, Target, TargetSpec, finalizer, label,
    },
    controllers::access,
    domain::{outcome::Outcome, promotion::Plan, reason::Reason, release},
};

/// What a Target is assigned.
#[derive(Clone, Copy)]
pub enum Assignment<'a> {
    /// A run to carry out.
    Run(&'a Run),
    /// A Release to plan.
    Plan(&'a ReleaseRef),
}

impl DeploymentController {
    /// Assigns the Targets their runs, and asks them for plans. Returns whether all of them have their runs.
    ///
    /// A run that follows from an `unrecorded` outcome waits.
    pub(super) async fn assign(
        &self,
        deployment: &Deployment,
        family: &Family,
        plan: &Plan,
        unrecorded: &BTreeSet<String>,
        problems: &mut Problems,
    ) -> bool {
        self.announce_corrections(deployment, family, plan);
        let mut all = true;
        for (stage, stage_target, run) in &plan.runs {
            if unrecorded.contains(stage) || unrecorded.contains(&run.release.uid) {
                all = false;
                continue;
            }
            let assigned = self.assign_to(
                deployment,
                family,
                stage,
                stage_target,
                Assignment::Run(run),
            );
            all &= problems.note(assigned.await).is_some();
        }
        for (stage, stage_target, release) in &plan.plan_requests {
            let what = Assignment::Plan(release);
            problems.note(
                self.assign_to(deployment, family, stage, stage_target, what)
                    .await,
            );
        }
        all
    }

    async fn assign_to(
        &self,
        deployment: &Deployment,
        family: &Family,
        stage: &str,
        stage_target: &StageTarget,
        what: Assignment<'_>,
    ) -> Result<(), Failure> {
        let at = |target: &&std::sync::Arc<Target>| {
            target.spec.stage == stage
                && target.spec.account == stage_target.account
                && target.spec.region == stage_target.region
        };
        match family.targets.iter().find(at) {
            Some(target) => {
                let patch = match what {
                    Assignment::Run(run) => {
                        json!({"spec": {"run": run_patch(target.spec.run.as_ref(), run)}})
                    }
                    Assignment::Plan(release) => json!({"spec": {"plan": release}}),
                };
                self.patch_target(deployment, target, patch).await
            }
            None => {
                self.create_target(deployment, family, stage, stage_target, what)
                    .await
            }
        }
    }

    /// Deletes the Targets that no Release names any more. The deletion policy decides about their resources
    /// in AWS.
    pub(super) async fn delete_removed_targets(
        &self,
        deployment: &Deployment,
        family: &Family,
        removed: &[(String, StageTarget)],
    ) -> Result<(), Failure> {
        let named_no_more = |target: &&std::sync::Arc<Target>| {
            let spec = &target.spec;
            target.metadata.deletion_timestamp.is_none()
                && removed.iter().any(|(stage, stage_target)| {
                    *stage == spec.stage
                        && stage_target.account == spec.account
                        && stage_target.region == spec.region
                })
        };
        for target in family.targets.iter().filter(named_no_more) {
            self.delete_target(deployment, target).await?;
        }
        Ok(())
    }

    /// Deletes a Target.
    pub(super) async fn delete_target(
        &self,
        deployment: &Deployment,
        target: &Target,
    ) -> Result<(), Failure> {
        let api = self.api::<Target>(deployment);
        match api
            .delete(&target.name_any(), &DeleteParams::default())
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(error)) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        self.context.stores.targets.forget(target);
        Ok(())
    }

    /// Brings the deletion policy and the drift settings of every Target up to date.
    pub(super) async fn sync_target_settings(
        &self,
        deployment: &Deployment,
        family: &Family,
    ) -> Result<(), Failure> {
        let policy = deployment.spec.deletion_policy;
        let drift = drift_status::target_drift(deployment);
        let follows = |target: &Target| {
            target.spec.deletion_policy == policy && target.spec.drift.as_ref() == Some(&drift)
        };
        for target in family.targets.iter().filter(|target| !follows(target)) {
            let mut patch = json!({"spec": {"deletionPolicy": policy, "drift": drift}});
            patch["spec"]["drift"]["request"] = json!(drift.request);
            self.patch_target(deployment, target, patch).await?;
        }
        Ok(())
    }

    async fn create_target(
        &self,
        deployment: &Deployment,
        family: &Family,
        stage: &str,
        stage_target: &StageTarget,
        what: Assignment<'_>,
    ) -> Result<(), Failure> {
        let account = access::account(&self.context, &stage_target.account)
            .map_err(|missing| in_stage(stage, missing))?;
        if !account
            .spec
            .regions
            .iter()
            .any(|region| region.name == stage_target.region)
        {
            let message = format!(
                "spec.stages[{stage}].targets: Account {} has no region {}; ask the platform team to add it, with its \
                 artifact bucket",
                stage_target.account, stage_target.region
            );
            return Err(Outcome::stalled(Reason::RegionNotFound, message).into());
        }
        let name = free_name(deployment, family, stage, stage_target);
        let labels = [
            (label::DEPLOYMENT, deployment.name_any()),
            (label::STAGE, stage.to_owned()),
        ];
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: deployment.namespace(),
            labels: Some(
                labels
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            ),
            finalizers: Some(vec![finalizer::TARGET.to_owned()]),
            owner_references: owner_reference(deployment).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        let (plan, run) = match what {
            Assignment::Run(run) => (None, Some(run.clone())),
            Assignment::Plan(release) => (Some(release.clone()), None),
        };
        let spec = TargetSpec {
            deployment: deployment.name_any(),
            stage: stage.to_owned(),
            former_stage: None,
            account: stage_target.account.clone(),
            account_id: account.spec.account_id.clone(),
            region: stage_target.region.clone(),
            deletion_policy: deployment.spec.deletion_policy,
            drift: Some(drift_status::target_drift(deployment)),
            plan,
            run,
        };
        let target = Target {
            metadata,
            spec,
            status: None,
        };
        match self
            .api::<Target>(deployment)
            .create(&PostParams::default(), &target)
            .await
        {
            Ok(created) => {
                self.context.stores.targets.note(created);
                Ok(())
            }
            // It was created a moment ago, or belongs to a Deployment that is being deleted.
            Err(kube::Error::Api(error)) if error.is_already_exists() => Err(Outcome::Waiting {
                reason: Reason::TargetTaken,
                message: format!("Waiting for the existing Target {name} to appear in the cache"),
                after: std::time::Duration::from_secs(1),
            }
            .into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies a merge patch: a field to remove must be null in it.
    pub(super) async fn patch_target(
        &self,
        deployment: &Deployment,
        target: &Target,
        mut patch: serde_json::Value,
    ) -> Result<(), Failure> {
        patch["metadata"]["resourceVersion"] = target.resource_version().into();
        let api = self.api::<Target>(deployment);
        let patched = api
            .patch(
                &target.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await?;
        self.context.stores.targets.note(patched);
        Ok(())
    }
}

/// The name of a new Target. The plain name may be taken, because a Target keeps its name when its stage is
/// renamed.
fn free_name(
    deployment: &Deployment,
    family: &Family,
    stage: &str,
    stage_target: &StageTarget,
) -> String {
    let name = release::target_name(
        &deployment.name_any(),
        stage,
        &stage_target.account,
        &stage_target.region,
    );
    let taken = |name: &str| {
        family.targets.iter().any(|target| {
            let spec = &target.spec;
            let same = spec.stage == stage
                && spec.account == stage_target.account
                && spec.region == stage_target.region;
            target.name_any() == name && !same
        })
    };
    let mut names =
        std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    names.find(|name| !taken(name)).unwrap_or(name)
}

/// Prefixes the message with the field that names what is missing.
fn in_stage(stage: &str, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Stalled { reason, message } => {
            Outcome::stalled(reason, format!("spec.stages[{stage}].targets: {message}"))
        }
        other => other,
    }
}

/// The merge patch from the previous run to this one: fields that this one lacks become null.
fn run_patch(before: Option<&Run>, run: &Run) -> serde_json::Value {
    let mut patch = json!(run);
    let before = json!(before);
    for field in before.as_object().into_iter().flat_map(|it| it.keys()) {
        if patch.get(field).is_none() {
            patch[field] = serde_json::Value::Null;
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::Goal;

    #[test]
    fn run_patch_clears_fields_of_the_previous_run() {
        let release = ReleaseRef {
            name: "checkout-1".into(),
            uid: "uid-1".into(),
            revision: 1,
        };
        let run = Run::new(release, 1, Goal::Deliver, 1);
        let before = Run {
            plan_digest: Some("0".repeat(64)),
            reason: Some("it was aborted".into()),
            paused: true,
            immediate: true,
            rollback: true,
            ..run.clone()
        };
        let patch = run_patch(Some(&before), &run);
        for field in ["planDigest", "reason", "paused", "immediate", "rollback"] {
            assert_eq!(patch.get(field), Some(&serde_json::Value::Null), "{field}");
        }
        assert_eq!(patch["release"], json!(run.release));
        assert_eq!(run_patch(None, &run), json!(run));
    }
}
