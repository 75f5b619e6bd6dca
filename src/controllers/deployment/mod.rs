//! Deployments: which Release there should be, and which Target gets it next.
//!
//! # Expected flow
//! *source → Release → order of stages → outcomes and orders written → published*. Transfers from
//! GitLab run beside this and wake it when they end; Targets wake it when they change.
//!
//! # Guarantees
//! - A revision is reserved in the status before its Release is created.
//! - What was released goes on without GitLab.
//! - An outcome is on record in its Release before the next order is given.

mod commands;
mod drift;
mod fetch;
mod gates;
mod history;
mod orphans;
mod release;
mod remove;
mod resolve;
mod source;
mod targets;
pub mod transfer;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Resource as _, ResourceExt as _};

use self::{gates::Readings, source::Sources, targets::Told, transfer::Transfers};
use crate::{
    api::v1alpha1::{
        Deployment, DeploymentStatus, DriftPolicy, InventoryItem, Release, Target, condition,
        finalizer,
    },
    controllers::{
        context::Context,
        events::EventType,
        runtime::{self, Ended},
        written::Written,
    },
    domain::{
        machine,
        outcome::{self, Outcome, Stamp, shorten},
        rollout::{self, Overview, Plan, ReleaseView, TargetView},
    },
};

/// The controller of Deployments.
pub struct DeploymentController {
    context: Arc<Context>,
    sources: Sources,
    transfers: Arc<Transfers>,
    deployments: Written<Deployment>,
    releases: Written<Release>,
    targets: Written<Target>,
    readings: Readings,
}

/// Everything that belongs to one Deployment.
struct Family {
    releases: Vec<Arc<Release>>,
    targets: Vec<Arc<Target>>,
}

impl DeploymentController {
    /// With nothing remembered.
    pub fn new(context: Arc<Context>, transfers: Arc<Transfers>) -> Self {
        Self {
            sources: Sources::default(),
            context,
            transfers,
            deployments: Written::default(),
            releases: Written::default(),
            targets: Written::default(),
            readings: Readings::default(),
        }
    }

    /// Brings one Deployment a step further.
    pub async fn reconcile(&self, deployment: Arc<Deployment>) -> Ended {
        let deployment = self.deployments.newest(&deployment);
        if deployment.metadata.deletion_timestamp.is_some() {
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
        let deployment = self.deployments.newest(&Arc::new(deployment.clone()));
        match self
            .publish(&deployment, ending(&deployment, &outcome), &outcome)
            .await
        {
            Ok(()) => outcome,
            Err(failure) => failure.into(),
        }
    }

    async fn advance(&self, deployment: &Deployment) -> Result<Ended, Failure> {
        let mut deployment = self.hold(deployment).await?;
        self.take_up_orphans(&deployment).await?;
        let family = self.family(&deployment);
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
            source::Source::Fetched(source, artifacts) => {
                Some(((**source).clone(), artifacts.clone()))
            }
            _ => None,
        };
        let mut family = family;
        if !deployment.spec.suspend
            && let Some(spec) = release::wanted(&deployment, &family.releases, fetched)
        {
            deployment = self.reserve(&deployment, &family, &spec).await?;
            let release = self.create_release(&deployment, spec).await?;
            family.releases.push(release);
        }
        let mut gates = self.gates(&deployment, &family).await;
        let retry = self.retries_a_release(&deployment);
        let overview = overview(&deployment, &family, retry);
        let mut plan = rollout::plan(&overview, &gates, Timestamp::now());
        if self.look_at_policy(&mut gates).await {
            plan = rollout::plan(&overview, &gates, Timestamp::now());
        }
        for (reference, outcome) in &plan.outcomes {
            self.record_outcome(&deployment, &family, reference, outcome)
                .await?;
        }
        if plan.passed {
            // What opened a gate is used up before anything starts.
            let status = status(&deployment, &plan, &plan.outcome);
            deployment = self.write_status(&deployment, status).await?;
        }
        self.announce_corrections(&deployment, &family, &plan);
        for (stage, place, run) in &plan.orders {
            let run = Told::Run(run);
            self.tell(&deployment, &family, stage, place, run).await?;
        }
        for (stage, place, release) in &plan.plans {
            let plan = Told::Plan(release);
            self.tell(&deployment, &family, stage, place, plan).await?;
        }
        self.dismiss(&deployment, &family, &plan.leavers).await?;
        self.follow_policy(&deployment, &family).await?;
        self.tidy(&deployment, &family).await?;
        self.answer(&deployment, &family, &gates, &plan.stages)
            .await?;
        let outcome = combine(
            plan.outcome.clone(),
            source.problem(),
            family.releases.is_empty(),
        );
        let mut status = status(&deployment, &plan, &outcome);
        commands::note_handled(&deployment, &plan, &mut status);
        self.publish(&deployment, status, &outcome).await?;
        let ended = self.sources.until_next_poll(&deployment, outcome);
        Ok(drift::until_correction(ended, &plan))
    }

    async fn publish(
        &self,
        deployment: &Deployment,
        status: DeploymentStatus,
        outcome: &Outcome,
    ) -> Result<(), Failure> {
        let before = deployment.status.clone().unwrap_or_default();
        // A small artifact is there before anybody could read that it is on its way.
        if before == status || fetch::passes_soon(outcome) {
            return Ok(());
        }
        let told = |status: &DeploymentStatus| {
            outcome::find(&status.conditions, condition::READY)
                .map(|ready| (ready.status.clone(), ready.reason.clone()))
        };
        let news = told(&before) != told(&status);
        self.announce_drift(deployment, &before, &status);
        self.write_status(deployment, status).await?;
        if news {
            let kind = match outcome {
                Outcome::Stalled { .. } => EventType::Warning,
                Outcome::Done { .. } => EventType::Normal,
                _ => return Ok(()),
            };
            let about = deployment.object_ref(&());
            self.context
                .events
                .publish(about, kind, outcome.reason(), outcome.message());
        }
        Ok(())
    }

    async fn write_status(
        &self,
        deployment: &Deployment,
        status: DeploymentStatus,
    ) -> Result<Deployment, Failure> {
        let api = self.api::<Deployment>(deployment);
        let before = deployment.status.clone().unwrap_or_default();
        let version = deployment.resource_version();
        let written =
            crate::controllers::status::publish_status(&api, deployment, version, &before, &status)
                .await?;
        self.deployments.note(written.clone());
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
        self.deployments.note(patched.clone());
        Ok(patched)
    }

    /// The Releases and Targets of a Deployment, by owner.
    fn family(&self, deployment: &Deployment) -> Family {
        let namespace = deployment.namespace();
        let uid = deployment.uid();
        let owned = move |meta: &kube::api::ObjectMeta| {
            meta.namespace == namespace
                && meta
                    .owner_references
                    .iter()
                    .flatten()
                    .any(|owner| Some(&owner.uid) == uid.as_ref())
        };
        let stores = &self.context.stores;
        let releases = stores
            .releases
            .state_filter(|release: &Release| owned(&release.metadata));
        let targets = stores
            .targets
            .state_filter(|target: &Target| owned(&target.metadata));
        Family {
            releases: self
                .releases
                .overlay(&releases, |release| owned(&release.metadata)),
            targets: self
                .targets
                .overlay(&targets, |target| owned(&target.metadata)),
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

/// The status that says how the reconcile ended; all else that it says stays.
fn ending(deployment: &Deployment, outcome: &Outcome) -> DeploymentStatus {
    let generation = deployment.metadata.generation;
    let mut status = deployment.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    status.summary = Some(shorten(outcome.message(), 1024));
    outcome.write_conditions(&mut status.conditions, generation, Timestamp::now());
    status
}

/// The status that also says what the plan is.
fn status(deployment: &Deployment, plan: &Plan, outcome: &Outcome) -> DeploymentStatus {
    let mut status = ending(deployment, outcome);
    status.stages.clone_from(&plan.stages);
    status.live = (!plan.live.is_empty()).then(|| plan.live.clone());
    let (available, reason, message) = if plan.available {
        ("True", "Serving", plan.live.as_str())
    } else {
        (
            "False",
            "NothingServes",
            "No good release serves in any stage",
        )
    };
    let stamp = Stamp {
        reason,
        message,
        generation: deployment.metadata.generation,
        now: Timestamp::now(),
    };
    outcome::set(
        &mut status.conditions,
        condition::AVAILABLE,
        available,
        &stamp,
    );
    drift::write_condition(&mut status, deployment, plan);
    status
}

/// What is on record, as the rollout wants it.
fn overview(deployment: &Deployment, family: &Family, retry: bool) -> Overview {
    let status = deployment.status.clone().unwrap_or_default();
    let target = |target: &Arc<Target>| {
        let status = target.status.clone().unwrap_or_default();
        let stalled = outcome::find(&status.conditions, condition::STALLED)
            .filter(|stalled| {
                stalled.status == "True" && status.observed_generation == target.metadata.generation
            })
            .map(|stalled| (stalled.reason.clone(), stalled.message.clone()));
        let settled = target
            .spec
            .run
            .as_ref()
            .is_some_and(|run| machine::settled(run, &status));
        let mut plan = target.spec.plan.iter();
        let planned = plan.all(|release| machine::planned(release, &status));
        TargetView {
            stage: target.spec.stage.clone(),
            place: crate::api::v1alpha1::StageTarget {
                account: target.spec.account.clone(),
                region: target.spec.region.clone(),
            },
            order: target.spec.run.clone(),
            // The end of a run is told by the run itself; what keeps a plan from being made is not.
            stalled: stalled.filter(|_| !settled || !planned),
            live: status.live.as_ref().map(|live| live.release.clone()),
            plan: status
                .plan
                .as_ref()
                .map(|plan| (plan.release.clone(), plan.digest.clone())),
            dropped: status.inventory.iter().any(InventoryItem::is_to_prune),
            drift: drift::view(&status),
            run: status.run,
            summary: status.summary,
        }
    };
    Overview {
        stages: deployment
            .spec
            .stages
            .iter()
            .map(|stage| stage.name.clone())
            .collect(),
        releases: family
            .releases
            .iter()
            .map(|release| release_view(release))
            .collect(),
        targets: family
            .targets
            .iter()
            .filter(|target| target.metadata.deletion_timestamp.is_none())
            .map(target)
            .collect(),
        suspended: deployment.spec.suspend,
        paused: commands::paused(deployment),
        superseding: deployment.spec.superseding,
        pin: deployment.spec.pin.clone(),
        correct: deployment.spec.drift.policy == DriftPolicy::Correct,
        commands: commands::given(deployment, retry),
        reported: status.stages,
    }
}

fn release_view(release: &Release) -> ReleaseView {
    ReleaseView {
        reference: release::reference(release),
        stages: release.spec.template.stages.clone(),
        outcomes: release
            .status
            .iter()
            .flat_map(|status| status.stages.clone())
            .collect(),
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

fn owner_reference(deployment: &Deployment) -> Option<OwnerReference> {
    deployment.controller_owner_ref(&())
}

/// What went wrong on the way.
enum Failure {
    Api(kube::Error),
    Outcome(Outcome),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl From<Outcome> for Failure {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(outcome)
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Outcome(outcome) => outcome,
            Failure::Api(error) => runtime::api_failure(error),
        }
    }
}
