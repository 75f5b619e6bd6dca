//! Has the artifacts of a pipeline fetched, and refuses what could never be deployed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use super::{
    source::{Answer, State, about, connection},
    transfer::{TransferJob, TransferKey, TransferState, Transferred, Transfers, instance_name},
};
use crate::{
    api::v1alpha1::{Artifact, Deployment, GitLabConnection, PinnedArtifact, ReleaseSource},
    controllers::{context::Context, target},
    domain::{
        archive,
        desired::source_variables,
        eligibility::{missing_archive, newest_job},
        failure::CallErrorKind,
        outcome::Outcome,
        pipeline::Job,
        release,
    },
    ports::{CallError, store::Store},
};

/// How often a message says how far a transfer is.
const TRANSFER_WATCH: Duration = Duration::from_secs(15);

/// A transfer that takes no longer is not worth a status write.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// Why a Deployment waits while artifacts are on their way.
const FETCHING: &str = "Fetching";

/// Whether this only waits for a transfer that may end any moment.
pub fn passes_soon(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Waiting { reason: FETCHING, after, .. } if *after <= WORTH_TELLING
    )
}

/// The artifacts of a pipeline, with the jobs that they came from.
pub struct Fetched {
    pipeline_id: i64,
    jobs: Vec<i64>,
    /// As the Release will name it.
    pub source: ReleaseSource,
    /// In the order of the spec.
    pub artifacts: Vec<PinnedArtifact>,
}

/// The artifacts, once all of them are fetched; what was fetched is not asked for again.
pub async fn fetched(
    context: &Context,
    transfers: &Arc<Transfers>,
    deployment: &Deployment,
    answer: &Answer,
    state: &mut State,
) -> Result<Arc<Fetched>, Outcome> {
    let jobs = deployment
        .spec
        .artifacts
        .iter()
        .map(|artifact| job(answer, artifact))
        .collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
    if let Some(fetched) = &state.fetched
        && fetched.pipeline_id == answer.pipeline.id
        && fetched.jobs == ids
    {
        state.try_again = false;
        return Ok(Arc::clone(fetched));
    }
    let fetch = Fetch::prepare(context, transfers, deployment, answer).await?;
    let wanted = deployment.spec.artifacts.iter().zip(jobs);
    let wanted = wanted
        .map(|(artifact, job)| Ok((artifact, job, fetch.key(artifact, job)?)))
        .collect::<Result<Vec<_>, Outcome>>()?;
    if std::mem::take(&mut state.try_again) {
        for (_, _, key) in &wanted {
            transfers.forget_failure(key);
        }
    }
    let mut artifacts = Vec::new();
    let mut moving: Option<String> = None;
    for (artifact, job, key) in wanted {
        match fetch.transfer(&key, job) {
            TransferState::Done(done) => {
                check(deployment, artifact, &done)?;
                artifacts.push(done.pinned(&artifact.name));
            }
            TransferState::Running { bytes, total } => {
                let of = total
                    .map(|total| format!(" of {total}"))
                    .unwrap_or_default();
                moving.get_or_insert(format!("artifact {}: {bytes}{of} bytes", artifact.name));
            }
            TransferState::Failed { error, again_in } => {
                return Err(fetch.failed(artifact, job, error, again_in));
            }
        }
    }
    if let Some(what) = moving {
        let message = format!("Fetching from pipeline {}: {what}", answer.pipeline.id);
        let since = match state.fetching {
            Some((pipeline, since)) if pipeline == answer.pipeline.id => since,
            _ => Instant::now(),
        };
        state.fetching = Some((answer.pipeline.id, since));
        let left = WORTH_TELLING.saturating_sub(since.elapsed());
        return Err(Outcome::Waiting {
            reason: FETCHING,
            message,
            after: if left.is_zero() { TRANSFER_WATCH } else { left },
        });
    }
    state.fetching = None;
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
    let fetched = Arc::new(Fetched {
        pipeline_id: pipeline.id,
        jobs: ids,
        source,
        artifacts,
    });
    state.fetched = Some(Arc::clone(&fetched));
    Ok(fetched)
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
                "NoHub",
                "spec.stages: there is no target to keep the artifacts",
            )
        })
}

fn job<'a>(answer: &'a Answer, artifact: &Artifact) -> Result<&'a Job, Outcome> {
    newest_job(&answer.jobs, &artifact.job.name).ok_or_else(|| {
        let message = format!(
            "pipeline {} has no job {}",
            answer.pipeline.id, artifact.job.name
        );
        Outcome::stalled(
            "ArtifactMissing",
            format!("spec.artifacts[{}].job.name: {message}", artifact.name),
        )
    })
}

/// Everything that the transfers of one pipeline have in common.
struct Fetch<'a> {
    context: &'a Context,
    transfers: &'a Arc<Transfers>,
    deployment: &'a Deployment,
    answer: &'a Answer,
    connection: Arc<GitLabConnection>,
    store: Arc<dyn Store>,
    account: String,
    region: String,
}

impl<'a> Fetch<'a> {
    async fn prepare(
        context: &'a Context,
        transfers: &'a Arc<Transfers>,
        deployment: &'a Deployment,
        answer: &'a Answer,
    ) -> Result<Self, Outcome> {
        let (account, region) = hub(context, deployment)?;
        let connection = connection(context, deployment)?;
        let keeper = target::account(context, &account)?;
        let store = context
            .cloud
            .store(&keeper, &region)
            .await
            .map_err(|error| about(&format!("Account {account}"), error))?;
        Ok(Self {
            context,
            transfers,
            deployment,
            answer,
            connection,
            store,
            account,
            region,
        })
    }

    /// Which bytes one artifact is, and where they go.
    fn key(&self, artifact: &Artifact, job: &Job) -> Result<TransferKey, Outcome> {
        let pipeline = &self.answer.pipeline;
        let git_ref = pipeline.git_ref.as_deref().unwrap_or_default();
        let variables = source_variables(
            &self.answer.project.path,
            git_ref,
            &pipeline.sha,
            pipeline.id,
        );
        let expand = |path: &String| {
            variables.expand(path).map_err(|error| {
                Outcome::stalled(
                    "InvalidSpec",
                    format!("spec.artifacts[{}].job.path: {error}", artifact.name),
                )
            })
        };
        Ok(TransferKey {
            connection: self.connection.uid().unwrap_or_default(),
            instance: instance_name(&self.connection.spec.url),
            project_id: self.answer.project.id,
            job_id: job.id,
            path: artifact.job.path.as_ref().map(expand).transpose()?,
            account: self.account.clone(),
            region: self.region.clone(),
        })
    }

    /// Has one artifact fetched.
    fn transfer(&self, key: &TransferKey, job: &Job) -> TransferState {
        let start = || TransferJob {
            gitlab: Arc::clone(&self.answer.gitlab),
            store: Arc::clone(&self.store),
            archive_size: job.archive_size,
            limit: self.context.settings.max_artifact_size,
        };
        self.transfers
            .ensure(key, ObjectRef::from_obj(self.deployment), start)
    }

    /// GitLab's own "404 Not Found" says less than what the job's listing tells.
    fn failed(
        &self,
        artifact: &Artifact,
        job: &Job,
        error: CallError,
        again_in: Option<Duration>,
    ) -> Outcome {
        let missing = missing_archive(self.answer.pipeline.id, job);
        if error.kind == CallErrorKind::NotFound
            && let Some(why) = missing
        {
            return Outcome::stalled("ArtifactMissing", why);
        }
        match about(
            &format!("artifact {} (job {})", artifact.name, artifact.job.name),
            error,
        ) {
            Outcome::Transient {
                reason, message, ..
            } => Outcome::Transient {
                reason,
                message,
                after: again_in,
            },
            other => other,
        }
    }
}

/// What is known to be unfit never becomes a Release.
fn check(deployment: &Deployment, artifact: &Artifact, done: &Transferred) -> Result<(), Outcome> {
    let consumer = deployment
        .spec
        .components
        .iter()
        .find(|component| component.lambda.artifact == artifact.name);
    let Some(consumer) = consumer else {
        return Ok(());
    };
    match archive::lambda_problem(done.archive.as_ref(), done.archive_problem.as_deref()) {
        None => Ok(()),
        Some(why) => {
            let message = format!(
                "artifact {} of component {}: {why}",
                artifact.name, consumer.name
            );
            Err(Outcome::stalled("InvalidArtifact", message))
        }
    }
}
