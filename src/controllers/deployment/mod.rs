//! Deployments: which Release there should be, and which Target gets it next.
//!
//! # Expected flow
//! *source → Release → preflight → order of stages → outcomes and orders written → published*. Transfers from
//! GitLab run beside this and wake it when they end; Targets wake it when they change.
//!
//! # Guarantees
//! - A revision is reserved in the status before its Release is created.
//! - What was released goes on without GitLab.
//! - An outcome is on record in its Release before the next order is given.
//! - A command is handled, and what it decided is on record, before any order is given that follows from it.
//! - What fails for one Target, Release or Approval keeps no order from another.

mod announce;
mod commands;
mod controller;
mod drift;
mod failure;
mod family;
mod fetch;
mod gates;
mod gitlab_failure;
mod history;
mod orphans;
mod overview;
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

use std::{collections::BTreeSet, sync::Arc};

use futures::Stream;
use jiff::Timestamp;
use kube::{Api, ResourceExt as _, runtime::reflector::ObjectRef};

pub use self::controller::DeploymentController;
use self::{
    failure::Failure,
    family::Family,
    overview::overview,
    problems::Problems,
    status::{ending, status},
    targets::Told,
};
use crate::{
    api::v1alpha1::{Deployment, DeploymentStatus, finalizer},
    controllers::runtime::Ended,
    domain::{
        outcome::Outcome,
        rollout::{self, Plan},
    },
};

impl DeploymentController {
    /// Asks GitLab for Deployments at rest, for ever.
    pub async fn attend(&self) {
        self.sources.attend(&self.context, &self.news).await;
    }

    /// The Deployments at rest for which GitLab has news; for the first who asks.
    pub fn woken(&self) -> impl Stream<Item = ObjectRef<Deployment>> + Send + 'static {
        self.news.woken()
    }

    /// Brings one Deployment a step further.
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

    /// Says what keeps the Deployment from going on; all else that its status says stays.
    async fn interrupted(&self, deployment: &Deployment, outcome: Outcome) -> Outcome {
        // Something may have been written on the way here.
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
        let mut deployment = self.hold(deployment).await?;
        // Without them the family is not whole: what is there already would be made a second time.
        // Where this fails the family is not whole, and what is there already would be made a second time.
        self.take_up_orphans(&deployment).await?;
        self.follow_renames(&deployment).await?;
        let mut family = self.family(&deployment);
        deployment = self.begin_rollback(deployment, &family).await?;
        let source = if deployment.spec.suspend {
            source::Source::Idle
        } else {
            self.sources
                .look(
                    &self.context,
                    &self.transfers,
                    &deployment,
                    &family.releases,
                )
                .await
        };
        let fetched = match &source {
            source::Source::Fetched {
                source, artifacts, ..
            } => Some(((**source).clone(), artifacts.clone())),
            _ => None,
        };
        if !deployment.spec.suspend
            && let Some(spec) = release::wanted(&deployment, &family.releases, fetched)
        {
            if !release::is_reserved(&deployment, &spec) {
                deployment = self.reserve(&deployment, &family, &spec, &source).await?;
            }
            let release = self.create_release(&deployment, spec).await;
            family.releases.extend(problems.note(release));
        }
        let mut gates = self.gates(&deployment, &family).await;
        let retry = self.retries_a_release(&deployment);
        let mut overview = overview(&deployment, &family, retry);
        overview.preflights = self.preflights(&deployment, &family)?;
        let mut plan = rollout::plan(&overview, &gates, Timestamp::now());
        if self.look_at_policy(&mut gates).await {
            plan = rollout::plan(&overview, &gates, Timestamp::now());
        }
        if self
            .look_for_new(&deployment, &family, &mut gates, &plan.stages)
            .await
        {
            plan = rollout::plan(&overview, &gates, Timestamp::now());
        }
        if !release::is_of_spec(&deployment, &family.releases) {
            let missing = "What the spec asks for now has no Release yet";
            plan.undelivered.get_or_insert_with(|| missing.to_owned());
        }
        let unrecorded = self
            .record_outcomes(&deployment, &family, &plan, &mut problems)
            .await;
        if plan.has_decided() {
            // What opened a gate is used up, and a command is handled, before anything starts.
            let status = status(&deployment, &plan, &plan.outcome);
            deployment = self
                .answer_commands(deployment, &plan, status, &plan.outcome)
                .await?;
        }
        self.announce_corrections(&deployment, &family, &plan);
        let given = self
            .give_orders(&deployment, &family, &plan, &unrecorded, &mut problems)
            .await;
        problems.note(self.dismiss(&deployment, &family, &plan.leavers).await);
        problems.note(self.follow_policy(&deployment, &family).await);
        problems.note(self.tidy(&deployment, &family, &overview).await);
        problems.note(
            self.answer(&deployment, &family, &gates, &plan.stages)
                .await,
        );
        let outcome = combine(
            plan.outcome.clone(),
            source.problem(),
            family.releases.is_empty(),
        );
        let outcome = source.remark(outcome);
        let outcome = remove::with_deletions(outcome, &family);
        let outcome = problems.told(outcome);
        let mut status = status(&deployment, &plan, &outcome);
        source.write_condition(&mut status, deployment.metadata.generation);
        if given {
            commands::note_given(&plan, &mut status);
        }
        if !fetch::passes_soon(&outcome) {
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

    /// Adds what became of Releases to them; the stages and Releases for which that failed.
    async fn record_outcomes(
        &self,
        deployment: &Deployment,
        family: &Family,
        plan: &Plan,
        problems: &mut Problems,
    ) -> BTreeSet<String> {
        let mut unrecorded = BTreeSet::new();
        for (reference, outcome) in &plan.outcomes {
            let recorded = self.record_outcome(deployment, family, reference, outcome);
            if problems.note(recorded.await).is_none() {
                unrecorded.extend([reference.uid.clone(), outcome.stage.clone()]);
            }
        }
        unrecorded
    }

    /// Gives the Targets their orders, and asks them for plans; whether all of them have their orders.
    async fn give_orders(
        &self,
        deployment: &Deployment,
        family: &Family,
        plan: &Plan,
        unrecorded: &BTreeSet<String>,
        problems: &mut Problems,
    ) -> bool {
        let mut given = true;
        for (stage, place, run) in &plan.orders {
            // It may follow from an outcome that is not on record.
            if unrecorded.contains(stage) || unrecorded.contains(&run.release.uid) {
                given = false;
                continue;
            }
            let told = self.tell(deployment, family, stage, place, Told::Run(run));
            given &= problems.note(told.await).is_some();
        }
        for (stage, place, release) in &plan.plans {
            let told = self.tell(deployment, family, stage, place, Told::Plan(release));
            problems.note(told.await);
        }
        given
    }

    async fn publish(
        &self,
        deployment: &Deployment,
        status: DeploymentStatus,
        outcome: &Outcome,
    ) -> Result<(), Failure> {
        // A small artifact is there before anybody could read that it is on its way.
        if deployment.status.as_ref() == Some(&status) || fetch::passes_soon(outcome) {
            return Ok(());
        }
        self.write_status(deployment, status, Some(outcome)).await?;
        Ok(())
    }

    /// Writes the status, and tells what is new in it: what is on record was told, however the rest of the
    /// reconcile goes. `outcome` is what its conditions say, where they were written anew.
    async fn write_status(
        &self,
        deployment: &Deployment,
        status: DeploymentStatus,
        outcome: Option<&Outcome>,
    ) -> Result<Deployment, Failure> {
        let api = self.api::<Deployment>(deployment);
        let before = deployment.status.clone().unwrap_or_default();
        let version = deployment.resource_version();
        let written =
            crate::controllers::status::publish_status(&api, deployment, version, &before, &status)
                .await?;
        self.context.stores.deployments.note(written.clone());
        self.announce(&written, &before, outcome);
        Ok(written)
    }

    /// Puts our finalizer on, before anything is made that it has to answer for.
    async fn hold(&self, deployment: &Deployment) -> Result<Deployment, Failure> {
        if deployment
            .finalizers()
            .iter()
            .any(|name| name == finalizer::DEPLOYMENT)
        {
            return Ok(deployment.clone());
        }
        let mut finalizers = deployment.finalizers().to_vec();
        finalizers.push(finalizer::DEPLOYMENT.to_owned());
        let held = self
            .patch_metadata(deployment, serde_json::json!({"finalizers": finalizers}))
            .await?;
        Ok(held)
    }

    async fn patch_metadata(
        &self,
        deployment: &Deployment,
        mut metadata: serde_json::Value,
    ) -> Result<Deployment, Failure> {
        metadata["resourceVersion"] = deployment.resource_version().into();
        let patch = kube::api::Patch::Merge(serde_json::json!({"metadata": metadata}));
        let patched = self
            .api::<Deployment>(deployment)
            .patch(
                &deployment.name_any(),
                &kube::api::PatchParams::default(),
                &patch,
            )
            .await?;
        self.context.stores.deployments.note(patched.clone());
        Ok(patched)
    }

    /// The Releases and Targets of a Deployment, by owner.
    fn family(&self, deployment: &Deployment) -> Family {
        let uid = deployment.uid();
        let owned = |meta: &kube::api::ObjectMeta| {
            let mut owners = meta.owner_references.iter().flatten();
            owners.any(|owner| Some(&owner.uid) == uid.as_ref())
        };
        let Family {
            mut releases,
            mut targets,
        } = self.named(deployment);
        releases.retain(|release| owned(&release.metadata));
        targets.retain(|target| owned(&target.metadata));
        Family { releases, targets }
    }

    /// The Releases and Targets that speak of a Deployment of this name.
    fn named(&self, deployment: &Deployment) -> Family {
        let (namespace, name) = (deployment.namespace(), deployment.name_any());
        let stores = &self.context.stores;
        Family {
            releases: stores.releases.belonging_to(namespace.as_deref(), &name),
            targets: stores.targets.belonging_to(namespace.as_deref(), &name),
        }
    }

    fn api<K>(&self, deployment: &Deployment) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(
            self.context.client.clone(),
            &deployment.namespace().unwrap_or_default(),
        )
    }
}

/// How the reconcile ends, from how the delivery stands and what the source says.
fn combine(delivery: Outcome, source: Option<&Outcome>, nothing_yet: bool) -> Outcome {
    let (reason, message) = match (delivery, source) {
        (Outcome::Done { reason, message }, _) => (reason, message),
        // Told as well, because a retry tries what failed last.
        (Outcome::Stalled { reason, message }, Some(Outcome::Stalled { message: why, .. })) => {
            let message = format!("{message}; and nothing newer can be released: {why}");
            return Outcome::Stalled { reason, message };
        }
        (delivery, _) => return delivery,
    };
    match source {
        // What serves goes on serving while GitLab can't be asked for a moment.
        Some(Outcome::Transient { message: why, .. }) if !nothing_yet => Outcome::Done {
            reason,
            message: format!("{message}; GitLab can't be asked: {why}"),
        },
        Some(Outcome::Waiting { .. }) if !nothing_yet => Outcome::Done { reason, message },
        Some(problem) => problem.clone(),
        None => Outcome::Done { reason, message },
    }
}
