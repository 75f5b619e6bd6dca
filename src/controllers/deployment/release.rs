//! Creates the wanted Release and records the outcomes of Releases.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Resource as _, ResourceExt as _,
    api::{ObjectMeta, PostParams},
    runtime::reflector::ObjectRef,
};

use super::{
    controller::DeploymentController,
    failure::Failure,
    family::{Family, owner_reference},
    problems::Problems,
    source::Source,
};
use crate::{
    api::v1alpha1::{
        Deployment, PinnedArtifact, Release, ReleaseRef, ReleaseSource, ReleaseSpec, ReleaseStatus,
        StageOutcome, label,
    },
    controllers::events::EventType,
    domain::{
        outcome::{self, Outcome, Stamp},
        promotion::{Plan, SpecRelease, failure_reason},
        reason::Reason,
        release::{self, ExistingRelease},
    },
};

/// The Release to create, if another one is wanted.
fn wanted(
    deployment: &Deployment,
    releases: &[Arc<Release>],
    fetched: Option<(ReleaseSource, Vec<PinnedArtifact>)>,
) -> Option<ReleaseSpec> {
    let former = |release: &Arc<Release>| ExistingRelease {
        spec: release.spec.clone(),
        failed: release
            .status
            .iter()
            .flat_map(|status| &status.stages)
            .any(|stage| stage.outcome != "Succeeded"),
    };
    let former: Vec<ExistingRelease> = releases.iter().map(former).collect();
    let mut spec = release::next(&deployment.spec, &former, fetched)?;
    let status = deployment.status.clone().unwrap_or_default();
    let highest = former
        .iter()
        .map(|former| former.spec.revision)
        .max()
        .unwrap_or_default();
    let reserved = status.newest_revision.unwrap_or_default();
    // A reservation for the same key that never became a Release is reused.
    let unused = reserved > highest && status.newest_key.as_ref() == Some(&spec.key);
    spec.revision = if unused {
        reserved
    } else {
        reserved.max(highest) + 1
    };
    Some(spec)
}

/// Whether the revision is already reserved for this Release: its creation failed, or the controller crashed.
fn is_reserved(deployment: &Deployment, spec: &ReleaseSpec) -> bool {
    deployment.status.as_ref().is_some_and(|status| {
        status.newest_revision == Some(spec.revision)
            && status.newest_key.as_ref() == Some(&spec.key)
    })
}

/// Whether the newest Release is what the spec asks for. A pin asks for another one, so this always holds with it.
pub fn spec_release(deployment: &Deployment, releases: &[Arc<Release>]) -> SpecRelease {
    let newest = releases.iter().max_by_key(|release| release.spec.revision);
    let matches = deployment.spec.pin.is_some()
        || newest.is_none_or(|newest| newest.spec.template == release::template(&deployment.spec));
    if matches {
        SpecRelease::Exists
    } else {
        SpecRelease::Missing
    }
}

/// A reference to a Release.
pub fn reference(release: &Release) -> ReleaseRef {
    ReleaseRef {
        name: release.name_any(),
        uid: release.uid().unwrap_or_default(),
        revision: release.spec.revision,
    }
}

impl DeploymentController {
    /// Creates the wanted Release, if it does not exist yet.
    pub(super) async fn release(
        &self,
        deployment: Deployment,
        family: &mut Family,
        source: &Source,
        problems: &mut Problems,
    ) -> Result<Deployment, Failure> {
        if deployment.spec.suspend {
            return Ok(deployment);
        }
        let Some(spec) = wanted(&deployment, &family.releases, source.fetched()) else {
            return Ok(deployment);
        };
        let deployment = if is_reserved(&deployment, &spec) {
            deployment
        } else {
            self.reserve(&deployment, family, &spec, source).await?
        };
        let created = self.create_release(&deployment, spec).await;
        family.releases.extend(problems.note(created));
        Ok(deployment)
    }

    /// Creates the Release, or finds the one that an earlier attempt created.
    async fn create_release(
        &self,
        deployment: &Deployment,
        spec: ReleaseSpec,
    ) -> Result<Arc<Release>, Failure> {
        let name = release::name(&deployment.name_any(), spec.revision);
        let api = self.api::<Release>(deployment);
        let mut release = Release::new(&name, spec);
        release.metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: deployment.namespace(),
            labels: Some([(label::DEPLOYMENT.to_owned(), deployment.name_any())].into()),
            owner_references: owner_reference(deployment).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        let created = match api.create(&PostParams::default(), &release).await {
            Ok(created) => {
                let source = &created.spec.source;
                let message = format!(
                    "Release {name} from pipeline {} of {} at {}",
                    source.pipeline_id, source.project, source.short_commit
                );
                self.context.events.publish(
                    deployment.object_ref(&()),
                    EventType::Normal,
                    Reason::Released,
                    &message,
                );
                created
            }
            Err(kube::Error::Api(error)) if error.is_already_exists() => {
                let existing = self.existing_release(deployment, &name)?;
                if existing.spec.key != release.spec.key {
                    return Err(Outcome::stalled(
                        Reason::ReleaseExists,
                        format!(
                            "Release {name} exists with other content. It belongs to a former Deployment of this \
                             name; delete it to continue"
                        ),
                    )
                    .into());
                }
                existing
            }
            Err(error) => return Err(error.into()),
        };
        self.context.stores.releases.note(created.clone());
        Ok(Arc::new(created))
    }

    fn existing_release(&self, deployment: &Deployment, name: &str) -> Result<Release, Failure> {
        let namespace = deployment.namespace().unwrap_or_default();
        let cached = self
            .context
            .stores
            .releases
            .get(&ObjectRef::new(name).within(&namespace));
        cached.map(Arc::unwrap_or_clone).ok_or_else(|| {
            Outcome::Waiting {
                reason: Reason::WaitingForRelease,
                message: format!("Waiting for the existing Release {name} to appear in the cache"),
                after: Duration::from_secs(1),
            }
            .into()
        })
    }

    /// Records outcomes in the status of Releases. Returns the stages and Release UIDs for which that failed.
    pub(super) async fn record_outcomes(
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

    /// Records the outcome of a stage in the status of its Release.
    async fn record_outcome(
        &self,
        deployment: &Deployment,
        family: &Family,
        reference: &ReleaseRef,
        outcome: &StageOutcome,
    ) -> Result<(), Failure> {
        let release = family
            .releases
            .iter()
            .find(|release| release.uid().as_ref() == Some(&reference.uid));
        let Some(release) = release else {
            return Ok(());
        };
        let before = release.status.clone().unwrap_or_default();
        let status = with_outcome(release, outcome);
        let api = self.api::<Release>(deployment);
        let version = release.resource_version();
        let written = crate::controllers::status::publish_status(
            &api,
            release.as_ref(),
            version,
            &before,
            &status,
        )
        .await?;
        self.context.stores.releases.note(written);
        Ok(())
    }
}

fn with_outcome(release: &Release, outcome: &StageOutcome) -> ReleaseStatus {
    let mut status = release.status.clone().unwrap_or_default();
    status.stages.retain(|stage| stage.stage != outcome.stage);
    status.stages.push(outcome.clone());
    let stages = &release.spec.template.stages;
    status
        .stages
        .sort_by_key(|one| stages.iter().position(|stage| stage.name == one.stage));
    let outcomes: Vec<String> = status
        .stages
        .iter()
        .map(|stage| format!("{} {}", stage.stage, stage.outcome))
        .collect();
    let summary = outcomes.join(", ");
    let failed = status
        .stages
        .iter()
        .find(|stage| stage.outcome != "Succeeded");
    let message = failed
        .and_then(|stage| stage.message.clone())
        .unwrap_or_else(|| summary.clone());
    let stamp = Stamp {
        reason: failed.map_or(Reason::Delivered, |stage| failure_reason(&stage.outcome)),
        message: &message,
        generation: release.metadata.generation,
        now: Timestamp::now(),
    };
    let complete = stages
        .iter()
        .all(|stage| status.stages.iter().any(|one| one.stage == stage.name));
    let succeeded = match (failed.is_some(), complete) {
        (true, _) => "False",
        (false, true) => "True",
        (false, false) => "Unknown",
    };
    outcome::set(&mut status.conditions, "Succeeded", succeeded, &stamp);
    status.summary = Some(outcome::line(&summary));
    status
}
