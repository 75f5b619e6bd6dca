//! The source of a Deployment: asks GitLab when it is time, and has the artifacts fetched.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;

use super::{
    connection_ref,
    fetch::{Fetched, fetched},
    released,
    transfer::Transfers,
};
use crate::{
    api::v1alpha1::{
        Deployment, GitLabConnection, PinnedArtifact, Release, ReleaseSource, annotation,
    },
    controllers::{context::Context, runtime::Ended},
    domain::{
        desired::duration,
        digest::Sha256,
        eligibility::{Known, Requirements, Verdict},
        grants,
        outcome::Outcome,
        pipeline::{Job, Pipeline, PipelineQuery, Project},
    },
    ports::{CallError, gitlab::GitLab},
};

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

/// What is known of one source.
#[derive(Clone, Default)]
pub struct State {
    /// What was asked for: another spec asks anew.
    question: Option<Sha256>,
    /// The value of the reconcile annotation that was answered.
    command: Option<String>,
    /// The value of the retry annotation that was answered.
    retry: Option<String>,
    /// Whether transfers that failed are to be tried again, because somebody asked for it.
    pub try_again: bool,
    next_poll: Option<Instant>,
    project: Option<Project>,
    answer: Option<Result<Arc<Answer>, Outcome>>,
    /// What the answer's artifacts turned out to be.
    pub fetched: Option<Arc<Fetched>>,
    /// The pipeline whose artifacts are on their way, and since when.
    pub fetching: Option<(i64, Instant)>,
}

/// The newest eligible pipeline.
pub struct Answer {
    pub gitlab: Arc<dyn GitLab>,
    pub project: Project,
    pub pipeline: Pipeline,
    pub user: Option<String>,
    pub jobs: Vec<Job>,
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
        let retry = deployment.annotations().get(annotation::RETRY).cloned();
        let known = self.entries().get(&key(deployment)).cloned();
        match known {
            Some(mut state) if state.question == Some(question) && state.command == command => {
                if state.retry != retry {
                    state.try_again = retry.is_some();
                    state.next_poll = None;
                    state.retry = retry;
                }
                state
            }
            Some(state) => State {
                question: Some(question),
                command,
                try_again: state.try_again || (retry.is_some() && state.retry != retry),
                retry,
                project: state.project.filter(|_| state.question == Some(question)),
                ..State::default()
            },
            // No transfer is remembered to have failed either. After a restart, what was released already is asked about in its own time: a thousand
            // Deployments must not ask at once.
            None => {
                let status = deployment.status.clone().unwrap_or_default();
                let unchanged = status.observed_generation == deployment.metadata.generation
                    && status.last_handled_reconcile == command
                    && status.last_handled_retry == retry
                    && !releases.is_empty();
                let later = Instant::now() + interval(deployment).mul_f64(fastrand::f64());
                State {
                    question: Some(question),
                    command,
                    retry,
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
    duration(&deployment.spec.source.interval).unwrap_or(Duration::from_mins(1))
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
            Verdict::Waiting { message, .. } | Verdict::Nothing { message } => {
                return Err(Outcome::Waiting {
                    reason: "WaitingForPipeline",
                    message,
                    after: interval(deployment),
                });
            }
            Verdict::Problem { message, .. } => {
                return Err(Outcome::stalled("ArtifactMissing", message));
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
    let known = match &state.answer {
        Some(Ok(last)) if last.pipeline.id == chosen => Some(last.user.clone()),
        _ => None,
    };
    let user = match known {
        Some(user) => user,
        None => gitlab
            .pipeline_user(project.id, chosen)
            .await
            .map_err(Outcome::from)?,
    };
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

/// The GitLabConnection that a Deployment names.
pub fn connection(
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

/// A failed call, with the field or object that it is about.
pub fn about(field: &str, error: CallError) -> Outcome {
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

#[cfg(test)]
mod tests;
