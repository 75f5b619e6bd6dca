//! Fetches the artifacts of a pipeline, and rejects those that could never be deployed.

use std::{
    cmp::Reverse,
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use super::{
    artifact_retry::ArtifactRetry,
    assemblies::with_assemblies,
    gitlab_failure::failed_call,
    resolve::{Answer, connection},
    transfer::{
        TransferJob, TransferKey, TransferState, Transferred, Transfers, connection_digest,
        instance_name,
    },
};
use crate::{
    api::v1alpha1::{
        Account, ArchiveSummary, Artifact, Deployment, GitLabConnection, PinnedArtifact, Release,
        ReleaseSource,
    },
    controllers::{access, context::Context},
    domain::{
        desired::source_variables,
        eligibility::missing_archive,
        failure::CallErrorKind,
        outcome::Outcome,
        pipeline::Job,
        reason::Reason,
        release::{self, unread_assemblies},
        workload::spec,
    },
    ports::{CallError, store::Store},
};

/// How often the progress of a long transfer is reported.
const REPORT_PERIOD: Duration = Duration::from_secs(15);

/// How long a transfer runs before it is worth a status write.
const REPORT_DELAY: Duration = Duration::from_secs(5);

/// Whether the outcome is only a wait for a transfer that may end any moment.
pub fn is_brief_transfer(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Waiting { reason: Reason::Fetching, after, .. } if *after <= REPORT_DELAY
    )
}

/// The artifacts of a pipeline, with the jobs that produced them.
pub struct Fetched {
    pipeline_id: i64,
    jobs: Vec<i64>,
    /// The source, as the Release will name it.
    pub source: ReleaseSource,
    /// In the order of the spec.
    pub artifacts: Vec<PinnedArtifact>,
}

/// The inputs of a fetch.
#[derive(Clone, Copy)]
pub struct FetchInputs<'a> {
    pub context: &'a Context,
    pub transfers: &'a Arc<Transfers>,
    pub deployment: &'a Deployment,
    /// The Releases of the Deployment: what they pin is not fetched again.
    pub releases: &'a [Arc<Release>],
    /// The pipeline.
    pub answer: &'a Answer,
}

/// The fetch progress of the newest pipeline of one Deployment.
#[derive(Clone, Default)]
pub struct Fetching {
    fetched: Option<Arc<Fetched>>,
    /// The pipeline whose artifacts are being fetched, and since when.
    under_way: Option<(i64, Instant)>,
    failed: bool,
}

impl Fetching {
    /// Whether the last fetch failed in a way that is only retried by a command.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    #[cfg(test)]
    pub fn failed() -> Self {
        Self {
            failed: true,
            ..Self::default()
        }
    }

    /// Returns the artifacts once all of them are fetched. An unchanged source is not fetched again.
    pub async fn fetched(
        &mut self,
        needs: &FetchInputs<'_>,
        retry: &mut ArtifactRetry,
    ) -> Result<Arc<Fetched>, Outcome> {
        self.failed = false;
        let (deployment, answer) = (needs.deployment, needs.answer);
        let jobs = deployment
            .spec
            .artifacts
            .iter()
            .map(|artifact| job(answer, artifact))
            .collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
        let source = source(deployment, answer);
        if let Some(fetched) = &self.fetched
            && fetched.pipeline_id == answer.pipeline.id
            && fetched.jobs == ids
            && fetched.source == source
            && unread_assemblies(&deployment.spec, &fetched.artifacts)
                .next()
                .is_none()
        {
            retry.take_due();
            return Ok(Arc::clone(fetched));
        }
        let wanted: Vec<_> = deployment.spec.artifacts.iter().zip(jobs).collect();
        let artifacts = self.artifacts(needs, retry, &wanted).await?;
        let artifacts = with_assemblies(needs.context, deployment, artifacts).await?;
        self.under_way = None;
        let fetched = Arc::new(Fetched {
            pipeline_id: answer.pipeline.id,
            jobs: ids,
            source,
            artifacts,
        });
        self.fetched = Some(Arc::clone(&fetched));
        Ok(fetched)
    }

    async fn artifacts(
        &mut self,
        needs: &FetchInputs<'_>,
        retry: &mut ArtifactRetry,
        wanted: &[(&Artifact, &Job)],
    ) -> Result<Vec<PinnedArtifact>, Outcome> {
        let scope = TransferScope::find(needs)?;
        let keys = wanted
            .iter()
            .map(|(artifact, job)| scope.key(artifact, job));
        let keys = keys.collect::<Result<Vec<_>, Outcome>>()?;
        let released = wanted.iter().zip(&keys);
        let released = released.map(|((artifact, _), key)| scope.released(artifact, key));
        let retries = retry.take_due();
        if let Some(all) = released.collect() {
            return Ok(all);
        }
        if retries {
            for key in &keys {
                needs.transfers.forget_failure(key);
            }
        }
        let store = scope.store().await?;
        // Ask for every artifact, even if an earlier one failed: a transfer that no Deployment asks for is
        // given up.
        let states: Vec<_> = (wanted.iter().zip(&keys))
            .map(|((_, job), key)| scope.transfer(&store, key, job))
            .collect();
        let mut artifacts = Vec::new();
        let mut moving: Option<String> = None;
        for ((artifact, job), state) in wanted.iter().zip(states) {
            match state {
                TransferState::Done(done) => {
                    check(needs.deployment, artifact, &done)?;
                    artifacts.push(done.pinned(&artifact.name));
                }
                TransferState::Running { bytes, total } => {
                    let of = total
                        .map(|total| format!(" of {total}"))
                        .unwrap_or_default();
                    moving.get_or_insert(format!("artifact {}: {bytes}{of} bytes", artifact.name));
                }
                TransferState::Failed { error, retry_in } => {
                    self.failed = retry_in.is_none();
                    return Err(scope.failed(artifact, job, error, retry_in));
                }
            }
        }
        match moving {
            Some(what) => Err(self.waiting(needs.answer.pipeline.id, &what)),
            None => Ok(artifacts),
        }
    }

    /// The outcome while transfers run.
    fn waiting(&mut self, pipeline: i64, what: &str) -> Outcome {
        let since = match self.under_way {
            Some((same, since)) if same == pipeline => since,
            _ => Instant::now(),
        };
        self.under_way = Some((pipeline, since));
        let left = REPORT_DELAY.saturating_sub(since.elapsed());
        Outcome::Waiting {
            reason: Reason::Fetching,
            message: format!("Fetching from pipeline {pipeline}: {what}"),
            after: if left.is_zero() { REPORT_PERIOD } else { left },
        }
    }
}

/// The source, as a Release names it.
fn source(deployment: &Deployment, answer: &Answer) -> ReleaseSource {
    let pipeline = &answer.pipeline;
    let source = release::source(
        answer.project.id,
        &answer.project.path,
        pipeline
            .git_ref
            .as_deref()
            .unwrap_or(&deployment.spec.source.git_ref),
        &pipeline.sha,
        answer
            .jobs
            .iter()
            .find_map(|job| job.commit_title.as_deref()),
        pipeline.id,
        pipeline.web_url.as_deref(),
        answer.user.as_deref(),
    );
    ReleaseSource {
        url: Some(answer.url.clone()),
        ref_type: answer.reference.kind,
        ref_protected: answer.reference.protected,
        ..source
    }
}

/// The account and region that keep the artifacts.
fn hub(context: &Context, deployment: &Deployment) -> Result<(String, String), Outcome> {
    if let Some(hub) = &context.settings.hub {
        return Ok((hub.account.clone(), hub.region.clone()));
    }
    let first = deployment
        .spec
        .stages
        .first()
        .and_then(|stage| stage.targets.first());
    first
        .map(|target| (target.account.clone(), target.region.clone()))
        .ok_or_else(|| {
            Outcome::stalled(
                Reason::NoHub,
                "spec.stages: the first stage has no target, whose Account would keep the artifacts. Add a target to it",
            )
        })
}

fn job<'a>(answer: &'a Answer, artifact: &Artifact) -> Result<&'a Job, Outcome> {
    let found = answer.job(&artifact.job).map(|(_, job)| job);
    found.ok_or_else(|| {
        let message = format!(
            "pipeline {} has no job {}",
            answer.pipeline.id, artifact.job.name
        );
        Outcome::stalled(
            Reason::ArtifactMissing,
            format!("spec.artifacts[{}].job.name: {message}", artifact.name),
        )
    })
}

/// What the transfers of one pipeline share.
struct TransferScope<'a> {
    needs: FetchInputs<'a>,
    connection: Arc<GitLabConnection>,
    hub_account: Arc<Account>,
    region: String,
}

impl<'a> TransferScope<'a> {
    /// Reads the caches only.
    fn find(needs: &FetchInputs<'a>) -> Result<Self, Outcome> {
        let (account, region) = hub(needs.context, needs.deployment)?;
        Ok(Self {
            needs: *needs,
            connection: connection(needs.context, needs.deployment)?,
            hub_account: access::account(needs.context, &account)?,
            region,
        })
    }

    /// Opens the artifact bucket, if the namespace has a grant: without a hub, from the Account that keeps
    /// the artifacts; with one, from any Account that the Deployment delivers to.
    async fn store(&self) -> Result<Arc<dyn Store>, Outcome> {
        self.granted()?;
        let cloud = &self.needs.context.cloud;
        let store = cloud.store(&self.hub_account, &self.region).await;
        store.map_err(|error| {
            failed_call(&format!("Account {}", self.hub_account.name_any()), error)
        })
    }

    fn granted(&self) -> Result<(), Outcome> {
        let (context, deployment) = (self.needs.context, self.needs.deployment);
        let namespace = deployment.namespace().unwrap_or_default();
        if context.settings.hub.is_none() {
            let namespaces = &context.stores.namespaces;
            return access::permissions(namespaces, &self.hub_account, &namespace).map(drop);
        }
        let targets = deployment
            .spec
            .stages
            .iter()
            .flat_map(|stage| &stage.targets);
        let mut refused = None;
        for target in targets {
            let account = access::account(context, &target.account);
            let permissions = account.and_then(|account| {
                access::permissions(&context.stores.namespaces, &account, &namespace)
            });
            match permissions {
                Ok(_) => return Ok(()),
                Err(outcome) => refused = refused.or(Some(outcome)),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// The key of the transfer: which bytes the artifact is, and where they go.
    fn key(&self, artifact: &Artifact, job: &Job) -> Result<TransferKey, Outcome> {
        let answer = self.needs.answer;
        let pipeline = &answer.pipeline;
        let git_ref = pipeline.git_ref.as_deref().unwrap_or_default();
        let variables = source_variables(&answer.project.path, git_ref, &pipeline.sha, pipeline.id);
        let expand = |path: &String| {
            variables.expand(path).map_err(|error| {
                Outcome::stalled(
                    Reason::InvalidSpec,
                    format!("spec.artifacts[{}].job.path: {error}", artifact.name),
                )
            })
        };
        Ok(TransferKey {
            connection: connection_digest(
                &self.needs.context.settings.cluster_id,
                &self.connection,
            ),
            instance: instance_name(&self.connection.spec.url),
            project_id: answer.project.id,
            job_id: job.id,
            path: artifact.job.path.as_ref().map(expand).transpose()?,
            account: self.hub_account.name_any(),
            region: self.region.clone(),
        })
    }

    /// The artifact as a Release of this Deployment pins it. After a restart, neither the bucket nor its
    /// Account is asked for an artifact that a Release pins.
    ///
    /// The key of the object names connection, project, job and path, and the artifacts of a job don't
    /// change. An artifact that is not an archive is not reused where that matters: a Release does not record
    /// why.
    fn released(&self, artifact: &Artifact, key: &TransferKey) -> Option<PinnedArtifact> {
        let mut regions = self.hub_account.spec.regions.iter();
        let kept_in = regions.find(|region| region.name == self.region)?;
        let object = key.object_key();
        let here = |pinned: &&PinnedArtifact| {
            let at = &pinned.location;
            at.key == object
                && at.account == key.account
                && at.region == key.region
                && at.bucket == kept_in.artifact_bucket
        };
        let mut releases: Vec<_> = self.needs.releases.iter().collect();
        releases.sort_by_key(|release| Reverse(release.spec.revision));
        let mut pinned = releases.iter().flat_map(|release| &release.spec.artifacts);
        let pinned = pinned.find(here)?;
        let unfit = unfit(
            self.needs.deployment,
            artifact,
            pinned.archive.as_ref(),
            None,
        );
        unfit.is_none().then(|| PinnedArtifact {
            name: artifact.name.clone(),
            ..pinned.clone()
        })
    }

    /// Starts the transfer of one artifact, or returns its progress.
    fn transfer(&self, store: &Arc<dyn Store>, key: &TransferKey, job: &Job) -> TransferState {
        let start = || TransferJob {
            gitlab: Arc::clone(&self.needs.answer.gitlab),
            store: Arc::clone(store),
            archive_size: job.archive_size,
            limit: self.needs.context.settings.max_artifact_size,
        };
        let asking = ObjectRef::from_obj(self.needs.deployment);
        self.needs.transfers.ensure(key, asking, start)
    }

    /// The outcome of a failed transfer. For a "404 Not Found", the listing of the job gives a better reason.
    fn failed(
        &self,
        artifact: &Artifact,
        job: &Job,
        error: CallError,
        retry_in: Option<Duration>,
    ) -> Outcome {
        let answer = self.needs.answer;
        let of = answer.job(&artifact.job).map(|(of, _)| of);
        let missing = missing_archive(of.unwrap_or(answer.pipeline.id), job);
        if error.kind == CallErrorKind::NotFound
            && let Some(why) = missing
        {
            return Outcome::stalled(Reason::ArtifactMissing, why);
        }
        match failed_call(
            &format!("artifact {} (job {})", artifact.name, artifact.job.name),
            error,
        ) {
            Outcome::Transient {
                reason, message, ..
            } => Outcome::Transient {
                reason,
                message,
                after: retry_in,
            },
            other => other,
        }
    }
}

/// Why a component can't be made from the artifact, as far as its bytes show.
fn unfit(
    deployment: &Deployment,
    artifact: &Artifact,
    archive: Option<&ArchiveSummary>,
    problem: Option<&str>,
) -> Option<String> {
    let components = deployment.spec.components.iter();
    let mut consumers =
        components.filter(|component| spec::artifact(component) == Some(&artifact.name));
    consumers.find_map(|component| {
        let (path, why) = spec::artifact_problem(component, archive, problem)?;
        let (name, job) = (&artifact.name, &artifact.job.name);
        Some(format!(
            "{path}: artifact {name} of component {} (job {job}): {why}",
            component.name
        ))
    })
}

/// Rejects an artifact that no component can be made from, before it becomes part of a Release.
fn check(deployment: &Deployment, artifact: &Artifact, done: &Transferred) -> Result<(), Outcome> {
    let problem = done.archive_problem.as_deref();
    match unfit(deployment, artifact, done.archive.as_ref(), problem) {
        None => Ok(()),
        Some(why) => Err(Outcome::stalled(Reason::InvalidArtifact, why)),
    }
}
