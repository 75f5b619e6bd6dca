//! The source of a Deployment: asks GitLab when it is time, and has the artifacts fetched.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use super::{
    connection_ref, released,
    transfer::{TransferJob, TransferKey, TransferState, Transferred, Transfers, instance_name},
};
use crate::{
    api::v1alpha1::{
        Artifact, Deployment, GitLabConnection, PinnedArtifact, Release, ReleaseSource, annotation,
    },
    controllers::{context::Context, runtime::Ended, target},
    domain::{
        archive,
        desired::{duration, source_variables},
        digest::Sha256,
        eligibility::{Known, Requirements, Verdict, missing_archive, newest_job},
        failure::CallErrorKind,
        grants,
        outcome::Outcome,
        pipeline::{Job, Pipeline, PipelineQuery, Project},
        release,
    },
    ports::{CallError, gitlab::GitLab, store::Store},
};

/// How often a message says how far a transfer is.
const TRANSFER_WATCH: Duration = Duration::from_secs(15);

/// What the source has to say.
pub enum Source {
    /// Nothing: it is not time to ask, or there is nothing new.
    Idle,
    /// The newest eligible pipeline and its artifacts, pinned.
    Fetched(Box<ReleaseSource>, Vec<PinnedArtifact>),
    /// Why there is nothing to release.
    Blocked(Outcome),
}

impl Source {
    /// Why there is nothing to release, where there is a reason.
    pub fn problem(&self) -> Option<&Outcome> {
        match self {
            Self::Blocked(outcome) => Some(outcome),
            _ => None,
        }
    }
}

/// What this process knows of the sources of all Deployments.
#[derive(Default)]
pub struct Sources(Mutex<HashMap<String, State>>);

#[derive(Clone, Default)]
struct State {
    /// What was asked for: another spec asks anew.
    question: Option<Sha256>,
    /// The value of the reconcile annotation that was answered.
    command: Option<String>,
    next_poll: Option<Instant>,
    project: Option<Project>,
    answer: Option<Result<Arc<Answer>, Outcome>>,
    /// What the answer's artifacts turned out to be.
    fetched: Option<Arc<Fetched>>,
}

/// The artifacts of a pipeline, with the jobs that they came from.
struct Fetched {
    pipeline_id: i64,
    jobs: Vec<i64>,
    source: ReleaseSource,
    artifacts: Vec<PinnedArtifact>,
}

/// The newest eligible pipeline.
struct Answer {
    gitlab: Arc<dyn GitLab>,
    project: Project,
    pipeline: Pipeline,
    user: Option<String>,
    jobs: Vec<Job>,
}

impl Sources {
    /// Asks GitLab if it is time, and has what it names fetched.
    pub async fn look(
        &self,
        context: &Context,
        transfers: &Arc<Transfers>,
        deployment: &Deployment,
        releases: &[Arc<Release>],
    ) -> Source {
        let mut state = self.state(deployment, releases);
        if state.next_poll.is_none_or(|at| at <= Instant::now()) {
            let answer = poll(context, deployment, &mut state).await;
            state.answer = match answer {
                Ok(answer) => answer.map(|answer| Ok(Arc::new(answer))),
                Err(outcome) => Some(Err(outcome)),
            };
            state.next_poll = Some(Instant::now() + jittered(interval(deployment)));
            if let Some(Err(Outcome::Transient {
                after: Some(after), ..
            })) = &state.answer
            {
                state.next_poll = Some(Instant::now() + *after);
            }
        }
        let source = match state.answer.clone() {
            None => Source::Idle,
            Some(Err(outcome)) => Source::Blocked(outcome),
            Some(Ok(answer)) => {
                match fetched(context, transfers, deployment, &answer, &mut state).await {
                    Ok(fetched) => {
                        Source::Fetched(Box::new(fetched.source.clone()), fetched.artifacts.clone())
                    }
                    Err(outcome) => Source::Blocked(outcome),
                }
            }
        };
        self.keep(deployment, state);
        source
    }

    /// How long until GitLab is asked again.
    fn next_poll(&self, deployment: &Deployment) -> Duration {
        let entries = self.entries();
        let at = entries
            .get(&key(deployment))
            .and_then(|state| state.next_poll);
        at.map_or(Duration::from_secs(1), |at| {
            at.saturating_duration_since(Instant::now())
        })
        .max(Duration::from_millis(50))
    }

    /// The ending, to be followed by the next poll at the latest.
    pub fn until_next_poll(&self, deployment: &Deployment, outcome: Outcome) -> Ended {
        if deployment.spec.suspend {
            return outcome.into();
        }
        let poll = self.next_poll(deployment);
        match outcome {
            Outcome::Waiting {
                reason,
                message,
                after,
            } => Outcome::Waiting {
                reason,
                message,
                after: after.min(poll),
            }
            .into(),
            other => Ended::recheck(other, poll),
        }
    }

    /// The Deployment is gone.
    pub fn forget(&self, deployment: &Deployment) {
        self.entries().remove(&key(deployment));
    }

    /// What is known, unless something else is asked now.
    fn state(&self, deployment: &Deployment, releases: &[Arc<Release>]) -> State {
        let spec = &deployment.spec;
        let question = Sha256::of_json(&(&spec.source, &spec.artifacts));
        let command = deployment.annotations().get(annotation::RECONCILE).cloned();
        let known = self.entries().get(&key(deployment)).cloned();
        match known {
            Some(state) if state.question == Some(question) && state.command == command => state,
            Some(state) => State {
                question: Some(question),
                command,
                project: state.project.filter(|_| state.question == Some(question)),
                ..State::default()
            },
            // After a restart, what was released already is asked about in its own time: a thousand
            // Deployments must not ask at once.
            None => {
                let status = deployment.status.clone().unwrap_or_default();
                let unchanged = status.observed_generation == deployment.metadata.generation
                    && status.last_handled_reconcile == command
                    && !releases.is_empty();
                let later = Instant::now() + interval(deployment).mul_f64(fastrand::f64());
                State {
                    question: Some(question),
                    command,
                    next_poll: unchanged.then_some(later),
                    ..State::default()
                }
            }
        }
    }

    fn keep(&self, deployment: &Deployment, state: State) {
        self.entries().insert(key(deployment), state);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(deployment: &Deployment) -> String {
    deployment.uid().unwrap_or_default()
}

fn interval(deployment: &Deployment) -> Duration {
    duration(&deployment.spec.source.interval).unwrap_or(Duration::from_secs(60))
}

/// A tenth more or less, so that Deployments made together don't ask together for ever.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.95 + fastrand::f64() / 10.0)
}

/// Finds the newest eligible pipeline; `None` where nothing is newer than what was released.
async fn poll(
    context: &Context,
    deployment: &Deployment,
    state: &mut State,
) -> Result<Option<Answer>, Outcome> {
    let spec = &deployment.spec.source;
    let gitlab = client(context, deployment).await?;
    let project = match &state.project {
        Some(project) => project.clone(),
        None => gitlab
            .project(&spec.project)
            .await
            .map_err(|error| about("spec.source.project", error))?,
    };
    state.project = Some(project.clone());
    let pipelines = pipelines(&*gitlab, &project, spec.git_ref.as_str()).await?;
    if pipelines.is_empty() {
        exists(&*gitlab, &project, &spec.git_ref).await?;
    }
    let status = deployment.status.clone().unwrap_or_default();
    // The pipeline that was released is looked at again: its jobs may have been run anew.
    let below = released(&status, project.id, &spec.git_ref).map(|id| id - 1);
    let (mut jobs, mut tests) = (BTreeMap::new(), BTreeMap::new());
    let requirements = Requirements::of(&deployment.spec);
    let chosen = loop {
        let known = Known {
            pipelines: &pipelines,
            jobs: &jobs,
            tests: &tests,
        };
        match requirements.next(known, below) {
            Verdict::NeedJobs(id) => {
                jobs.insert(
                    id,
                    gitlab.jobs(project.id, id).await.map_err(Outcome::from)?,
                );
            }
            Verdict::NeedTests(id) => {
                tests.insert(
                    id,
                    gitlab
                        .test_summary(project.id, id)
                        .await
                        .map_err(Outcome::from)?,
                );
            }
            Verdict::Eligible { pipeline, .. } => break pipeline,
            Verdict::Waiting { message, .. } => {
                return Err(Outcome::Waiting {
                    reason: "WaitingForPipeline",
                    message,
                    after: interval(deployment),
                });
            }
            Verdict::Problem { message, .. } => {
                return Err(Outcome::stalled("ArtifactMissing", message));
            }
            Verdict::Nothing { message } => {
                return Err(Outcome::Waiting {
                    reason: "WaitingForPipeline",
                    message,
                    after: interval(deployment),
                });
            }
        }
    };
    let Some(pipeline) = pipelines.into_iter().find(|pipeline| pipeline.id == chosen) else {
        return Ok(None);
    };
    if spec.require_protected_ref {
        let name = pipeline
            .git_ref
            .clone()
            .unwrap_or_else(|| spec.git_ref.clone());
        let state = gitlab
            .git_ref(project.id, &name)
            .await
            .map_err(Outcome::from)?;
        if !state.is_some_and(|state| state.protected) {
            let message = format!(
                "spec.source.requireProtectedRef: {name} of {} is not protected",
                project.path
            );
            return Err(Outcome::stalled("RefNotProtected", message));
        }
    }
    let user = gitlab
        .pipeline_user(project.id, chosen)
        .await
        .map_err(Outcome::from)?;
    let jobs = jobs.remove(&chosen).unwrap_or_default();
    Ok(Some(Answer {
        gitlab,
        project,
        pipeline,
        user,
        jobs,
    }))
}

/// The pipelines of a branch or tag, or of the tags that a pattern matches.
async fn pipelines(
    gitlab: &dyn GitLab,
    project: &Project,
    git_ref: &str,
) -> Result<Vec<Pipeline>, Outcome> {
    let pattern = git_ref.contains('*');
    let query = if pattern {
        PipelineQuery::Tags
    } else {
        PipelineQuery::Ref(git_ref.to_owned())
    };
    let mut pipelines = gitlab
        .pipelines(project.id, &query)
        .await
        .map_err(Outcome::from)?;
    if pattern {
        pipelines.retain(|pipeline| {
            pipeline
                .git_ref
                .as_deref()
                .is_some_and(|name| grants::matches(git_ref, name))
        });
    }
    Ok(pipelines)
}

/// Tells a ref without pipelines from a ref that is not there.
async fn exists(gitlab: &dyn GitLab, project: &Project, git_ref: &str) -> Result<(), Outcome> {
    if git_ref.contains('*')
        || gitlab
            .git_ref(project.id, git_ref)
            .await
            .map_err(Outcome::from)?
            .is_some()
    {
        return Ok(());
    }
    let message = format!(
        "spec.source.ref: project {} has no branch or tag {git_ref}",
        project.path
    );
    Err(Outcome::stalled("RefNotFound", message))
}

async fn client(context: &Context, deployment: &Deployment) -> Result<Arc<dyn GitLab>, Outcome> {
    let name = &deployment.spec.source.connection;
    let connection = connection(context, deployment)?;
    context
        .gitlabs
        .client(&connection)
        .await
        .map_err(|error| about(&format!("GitLabConnection {name}"), error))
}

fn connection(
    context: &Context,
    deployment: &Deployment,
) -> Result<Arc<GitLabConnection>, Outcome> {
    let name = &deployment.spec.source.connection;
    context
        .stores
        .connections
        .get(&connection_ref(deployment))
        .ok_or_else(|| {
            let message = format!(
                "spec.source.connection: there is no GitLabConnection {name} in this namespace"
            );
            Outcome::stalled("ConnectionNotFound", message)
        })
}

fn about(field: &str, error: CallError) -> Outcome {
    let message = format!("{field}: {error}");
    match Outcome::from(error) {
        Outcome::Stalled {
            reason: "NotFound", ..
        } if field.ends_with("project") => Outcome::Stalled {
            reason: "ProjectNotFound",
            message,
        },
        Outcome::Stalled { reason, .. } => Outcome::Stalled { reason, message },
        Outcome::Transient { reason, after, .. } => Outcome::Transient {
            reason,
            message,
            after,
        },
        other => other,
    }
}

/// The artifacts, once all of them are fetched; what was fetched is not asked for again.
async fn fetched(
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
        return Ok(Arc::clone(fetched));
    }
    let fetch = Fetch::prepare(context, transfers, deployment, answer).await?;
    let mut artifacts = Vec::new();
    let mut moving: Option<String> = None;
    for (artifact, job) in deployment.spec.artifacts.iter().zip(jobs) {
        match fetch.transfer(artifact, job)? {
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
        return Err(Outcome::Waiting {
            reason: "Fetching",
            message,
            after: TRANSFER_WATCH,
        });
    }
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

    /// Has one artifact fetched.
    fn transfer(&self, artifact: &Artifact, job: &Job) -> Result<TransferState, Outcome> {
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
        let key = TransferKey {
            connection: self.connection.uid().unwrap_or_default(),
            instance: instance_name(&self.connection.spec.url),
            project_id: self.answer.project.id,
            job_id: job.id,
            path: artifact.job.path.as_ref().map(expand).transpose()?,
            account: self.account.clone(),
            region: self.region.clone(),
        };
        let start = || TransferJob {
            gitlab: Arc::clone(&self.answer.gitlab),
            store: Arc::clone(&self.store),
            archive_size: job.archive_size,
            limit: self.context.settings.max_artifact_size,
        };
        Ok(self
            .transfers
            .ensure(&key, ObjectRef::from_obj(self.deployment), start))
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
