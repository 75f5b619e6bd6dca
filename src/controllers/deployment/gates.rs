//! The gates of a Deployment's stages: their requirements, the readings from GitLab and the cluster that they
//! need, and the status of each Approval.
//!
//! # Expected flow
//! [`DeploymentController::decide`] plans with gates that have read nothing yet. If a gate needs a reading
//! ([`Unread`]), the controller makes it and plans again. [`DeploymentController::answer`] writes into each
//! Approval whether it counts.
//!
//! # Guarantees
//! - GitLab is asked only for a stage that waits, and not more often than the source is polled; the admission
//!   policy is read only when a gate is evaluated.
//! - A failed reading keeps the gate closed, and so does an Account that does not exist.

mod gitlab;
mod keeper;
mod readings;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use self::keeper::{Gates, StageGate};
pub use self::readings::Readings;
use super::{controller::DeploymentController, failure::Failure, family::Family};
use crate::{
    api::v1alpha1::{Approval, ApprovalStatus, Deployment, Release, StageStatus},
    controllers::access,
    domain::{
        gates::{approvals::unasked, requirements::protected_ref},
        promotion::{self, Overview, Plan, Unread},
    },
};

/// How long a reading of the admission policy is reused while no Approval exists.
const POLICY_AGE: Duration = Duration::from_secs(10);

impl DeploymentController {
    /// Plans the next writes, and makes all readings that a gate needs.
    pub(super) async fn decide(
        &self,
        deployment: &Deployment,
        family: &Family,
        overview: &Overview,
    ) -> (Plan, Vec<Arc<Approval>>) {
        let mut gates = self.unread_gates(deployment, family);
        loop {
            let plan = promotion::plan(overview, &gates, Timestamp::now());
            if plan.unread.is_empty() {
                return (plan, gates.approvals);
            }
            for unread in &plan.unread {
                match unread {
                    Unread::AdmissionPolicy => self.read_policy(&mut gates).await,
                    Unread::GitLab => {
                        self.read_gitlab(deployment, family, &plan.stages, &mut gates)
                            .await;
                    }
                }
            }
        }
    }

    /// The gates before any reading: they know their requirements, and stay closed.
    pub(super) fn unread_gates(&self, deployment: &Deployment, family: &Family) -> Gates {
        let spec = &deployment.spec;
        let stages = spec.stages.iter().map(|stage| {
            let targets = stage.targets.iter();
            let gate = StageGate {
                gate: stage.gate.clone(),
                accounts: targets.map(|it| it.account.clone()).collect(),
                job_readings: None,
            };
            (stage.name.clone(), gate)
        });
        let templates = family.releases.iter();
        let written = templates.flat_map(|release| &release.spec.template.stages);
        let targets = spec.stages.iter().chain(written).flat_map(|it| &it.targets);
        let names: BTreeSet<&String> = targets.map(|target| &target.account).collect();
        let accounts = names.into_iter().filter_map(|name| {
            let account = access::account(&self.context, name).ok()?;
            Some((name.clone(), account))
        });
        let reported = deployment.status.iter().flat_map(|status| &status.stages);
        Gates {
            namespace: deployment.namespace().unwrap_or_default(),
            stages: stages.collect(),
            protected_ref: protected_ref(
                spec.source.require_protected_ref,
                spec.stages.iter().any(|stage| stage.gate.is_some()),
                [],
            )
            .is_some(),
            accounts: accounts.collect(),
            approvals: self.approvals_of(family),
            used: used(reported),
            policy: None,
            is_gitlab_read: false,
            freezes: Err("GitLab was not asked yet".to_owned()),
        }
    }

    /// Reads whether the admission policy is in force.
    async fn read_policy(&self, gates: &mut Gates) {
        let may_open = !gates.approvals.is_empty();
        let age = if may_open { Duration::ZERO } else { POLICY_AGE };
        gates.policy = Some(self.context.approval_policy.force(age).await);
    }

    /// The Approvals that name a Release of this Deployment.
    fn approvals_of(&self, family: &Family) -> Vec<Arc<Approval>> {
        let approvals = &self.context.stores.approvals;
        let of = |release: &Arc<Release>| {
            approvals.belonging_to(release.namespace().as_deref(), &release.name_any())
        };
        family.releases.iter().flat_map(of).collect()
    }

    /// Makes the Release an owner of its Approval, so that both are deleted together.
    async fn bind(
        &self,
        api: &Api<Approval>,
        approval: &Approval,
        release: &Release,
    ) -> Result<(), Failure> {
        let uid = release.uid();
        let same = uid.as_deref() == Some(approval.spec.release_ref.uid.as_str());
        let owners = approval.owner_references();
        let bound = owners.iter().any(|owner| Some(&owner.uid) == uid.as_ref());
        if bound || !same {
            return Ok(());
        }
        let owners: Vec<_> = owners
            .iter()
            .cloned()
            .chain(release.owner_ref(&()))
            .collect();
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
        let name = approval.name_any();
        match api.patch(&name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(error)) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes into each Approval whether it counts, if that changed.
    pub(super) async fn answer(
        &self,
        deployment: &Deployment,
        family: &Family,
        approvals: &[Arc<Approval>],
        plan: &Plan,
    ) -> Result<(), Failure> {
        let used = used(&plan.stages);
        let api: Api<Approval> = self.api(deployment);
        for approval in approvals {
            let uid = approval.uid().unwrap_or_default();
            let release = family
                .releases
                .iter()
                .find(|release| release.name_any() == approval.spec.release_ref.name);
            // The Target controller answers the Approvals of a deletion.
            let of_deletion = family.targets.iter().any(|target| {
                let deletion = target.status.as_ref().and_then(|it| it.deletion.as_ref());
                deletion.is_some_and(|it| it.digest == approval.spec.stage_digest)
            });
            if of_deletion {
                continue;
            }
            let idle = || unasked(approval, release.and_then(|it| it.uid()).as_deref(), &used);
            let judgement = match plan.judgements.get(&uid) {
                Some(judgement) if !used.contains(&uid) => judgement.clone(),
                _ => idle(),
            };
            let before = approval.status.clone().unwrap_or_default();
            let mut status = ApprovalStatus {
                observed_generation: approval.metadata.generation,
                ..before.clone()
            };
            if let Some(release) = release {
                self.bind(&api, approval, release).await?;
            }
            judgement.write_condition(approval, &mut status.conditions, Timestamp::now());
            if status != before {
                // No version to compare: the answer follows from the Approval's spec, which never changes.
                let version = None;
                let written = crate::controllers::status::publish_status(
                    &api,
                    approval.as_ref(),
                    version,
                    &before,
                    &status,
                )
                .await;
                match written {
                    Err(kube::Error::Api(error)) if error.is_not_found() => {}
                    other => drop(other?),
                }
            }
        }
        Ok(())
    }
}

/// The UIDs of the Approvals with which stages have started.
fn used<'a>(stages: impl IntoIterator<Item = &'a StageStatus>) -> BTreeSet<String> {
    stages
        .into_iter()
        .filter_map(|stage| stage.passage.as_ref())
        .flat_map(|passage| &passage.by.approvals)
        .map(|approval| approval.uid.clone())
        .collect()
}

#[cfg(test)]
mod tests;
