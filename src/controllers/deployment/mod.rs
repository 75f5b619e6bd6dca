//! The controller of Deployments: it creates Releases and assigns them to Targets.
//!
//! # Expected flow
//! [`DeploymentController::reconcile`] runs these steps in order: *family → source → Release → plan →
//! outcomes and decisions recorded → runs assigned → garbage removed → status*. Transfers from GitLab run
//! concurrently and wake it when they end; Targets wake it when they change.
//!
//! # Guarantees
//! - The controller decides nothing before it knows which Releases and Targets belong to the Deployment.
//! - A revision is reserved in the status before its Release is created.
//! - The delivery of an existing Release does not depend on GitLab.
//! - An outcome is recorded in its Release before the next run is assigned.
//! - A command is handled, and its decision is recorded, before any run that follows from it is assigned.
//! - A failure on one Target, Release or Approval does not block the runs of the others.

mod announce;
mod artifact_retry;
mod artifacts;
mod assemblies;
mod commands;
mod controller;
mod drift_status;
mod failure;
mod family;
mod gates;
mod gitlab_failure;
mod history;
mod orphans;
mod overview;
mod poll_interval;
mod preflight;
mod problems;
mod release;
mod remove;
mod reserve;
mod resolve;
mod rollback;
mod search;
mod source;
mod status;
mod targets;
pub mod transfer;
mod writes;

use std::sync::Arc;

use futures::Stream;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

pub use self::controller::DeploymentController;
use self::{
    failure::Failure,
    overview::overview,
    problems::Problems,
    status::{ending, status},
};
use crate::{api::v1alpha1::Deployment, controllers::runtime::Ended, domain::outcome::Outcome};

impl DeploymentController {
    /// Polls GitLab for resting Deployments, forever.
    pub async fn poll_resting(&self) {
        self.sources.poll_resting(&self.context, &self.news).await;
    }

    /// The resting Deployments for which GitLab has news. Only the first caller gets them.
    pub fn woken(&self) -> impl Stream<Item = ObjectRef<Deployment>> + Send + 'static {
        self.news.woken()
    }

    /// Reconciles one Deployment.
    pub async fn reconcile(&self, deployment: Arc<Deployment>) -> Ended {
        let deployment = self.context.stores.deployments.newest(&deployment);
        if deployment.metadata.deletion_timestamp.is_some() {
            self.preflights.forget(&deployment);
            return self.remove(&deployment).await.into();
        }
        match self.advance(&deployment).await {
            Ok(ended) => ended,
            Err(Failure::Outcome(outcome)) => self.interrupted(&deployment, outcome).await.into(),
            Err(failure) => Outcome::from(failure).into(),
        }
    }

    /// Writes the outcome of an interrupted reconcile to the status; keeps all other fields.
    async fn interrupted(&self, deployment: &Deployment, outcome: Outcome) -> Outcome {
        // The reconcile may have written the Deployment before it failed.
        let deployment = self
            .context
            .stores
            .deployments
            .newest(&Arc::new(deployment.clone()));
        match self
            .publish(&deployment, ending(&deployment, &outcome), &outcome)
            .await
        {
            Ok(()) => outcome,
            Err(failure) => failure.into(),
        }
    }

    async fn advance(&self, deployment: &Deployment) -> Result<Ended, Failure> {
        let mut problems = Problems::default();
        let deployment = self.add_finalizer(deployment).await?;
        // If this failed and the reconcile went on, it would create existing objects a second time.
        self.adopt_orphans(&deployment).await?;
        self.follow_renames(&deployment).await?;
        let mut family = self.family(&deployment);
        let deployment = self.begin_rollback(deployment, &family).await?;

        let source = self.resolve_source(&deployment, &family).await;
        let deployment = self
            .release(deployment, &mut family, &source, &mut problems)
            .await?;

        let mut overview = overview(&deployment, &family, self.retries_release(&deployment));
        overview.preflights = self.preflights(&deployment, &family)?;
        let (plan, approvals) = self.decide(&deployment, &family, &overview).await;

        let unrecorded = self
            .record_outcomes(&deployment, &family, &plan, &mut problems)
            .await;
        let mut deployment = self.record_decisions(deployment, &plan).await?;
        let all_assigned = self
            .assign(&deployment, &family, &plan, &unrecorded, &mut problems)
            .await;

        let removed = &plan.removed_targets;
        problems.note(
            self.delete_removed_targets(&deployment, &family, removed)
                .await,
        );
        problems.note(self.sync_target_settings(&deployment, &family).await);
        problems.note(
            self.delete_old_releases(&deployment, &family, &overview)
                .await,
        );
        problems.note(self.answer(&deployment, &family, &approvals, &plan).await);

        let outcome = source.conclude(plan.outcome.clone(), family.releases.is_empty());
        let outcome = remove::with_deletions(outcome, &family);
        let outcome = problems.combine(outcome);
        let mut status = status(&deployment, &plan, &outcome);
        source.write_condition(&mut status, deployment.metadata.generation);
        if all_assigned {
            commands::clear_decisions(&plan, &mut status);
        }
        // A short transfer is over before its progress is worth a status write.
        if !artifacts::is_brief_transfer(&outcome) {
            deployment = self
                .answer_commands(deployment, &plan, status, &outcome)
                .await?;
        }
        let ended = self.sources.until_next_poll(&deployment, outcome);
        let now = Timestamp::now();
        let ended = ended.by(plan.correction_at, now);
        let ended = ended.by(plan.gate_opens_at, now);
        Ok(problems.ended(ended))
    }
}
