//! The source of a Deployment: has GitLab asked when it is time, and the artifacts fetched.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;

use super::{
    fetch::{Fetching, Needs},
    resolve::{Answer, interval, resolve},
    transfer::Transfers,
};
use crate::{
    api::v1alpha1::{Deployment, PinnedArtifact, Release, ReleaseSource, annotation},
    controllers::{context::Context, runtime::Ended},
    domain::{digest::Sha256, outcome::Outcome, pipeline::Project},
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
    /// Whether that one was meant for artifacts that could not be fetched.
    retry_is_for_fetching: bool,
    next_poll: Option<Instant>,
    project: Option<Project>,
    answer: Option<Result<Arc<Answer>, Outcome>>,
    /// How far the answer's artifacts are.
    fetching: Fetching,
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
            let last = state.answer.take().and_then(Result::ok);
            let project = &mut state.project;
            let answer = resolve(context, deployment, releases, project, last.as_deref()).await;
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
                let needs = Needs {
                    context,
                    transfers,
                    deployment,
                    releases,
                    answer: &answer,
                };
                match state.fetching.fetched(&needs).await {
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

    /// Whether the retry that the Deployment carries was meant for artifacts that could not be
    /// fetched, and so not for a Release.
    pub fn has_taken_retry(&self, deployment: &Deployment) -> bool {
        let entries = self.entries();
        let retry = deployment.annotations().get(annotation::RETRY);
        let state = entries.get(&key(deployment));
        state.is_some_and(|state| state.retry.as_ref() == retry && state.retry_is_for_fetching)
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
        let Some(mut state) = known else {
            // No transfer is remembered to have failed either. After a restart, what was released
            // already is asked about in its own time: a thousand Deployments must not ask at once.
            let status = deployment.status.clone().unwrap_or_default();
            let unchanged = status.observed_generation == deployment.metadata.generation
                && status.last_handled_reconcile == command
                && status.last_handled_retry == retry
                && !releases.is_empty();
            let later = Instant::now() + interval(deployment).mul_f64(fastrand::f64());
            return State {
                question: Some(question),
                command,
                retry,
                next_poll: unchanged.then_some(later),
                ..State::default()
            };
        };
        if state.retry != retry {
            state.retry_is_for_fetching = retry.is_some() && state.fetching.has_failed();
            state.fetching.try_again = retry.is_some();
            state.next_poll = None;
            state.retry = retry;
        }
        if state.question == Some(question) && state.command == command {
            return state;
        }
        State {
            question: Some(question),
            command,
            retry: state.retry,
            retry_is_for_fetching: state.retry_is_for_fetching,
            fetching: state.fetching.anew(),
            project: state.project.filter(|_| state.question == Some(question)),
            ..State::default()
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

/// A tenth more or less, so that Deployments made together don't ask together for ever.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.95 + fastrand::f64() / 10.0)
}

#[cfg(test)]
mod tests;
