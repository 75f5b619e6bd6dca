//! The source of a Deployment: has GitLab asked when it is time, and the artifacts fetched.
//!
//! Deployments of a namespace that follow the same ref of the same project are due at the same moments, and what
//! one of them is told then is told to all: as many requests as there are refs, however many Deployments follow
//! them. Those at rest don't even look then ([`rounds`]).

mod memory;
mod rest;
mod rounds;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt as _;

pub use self::memory::Sources;
use self::{
    memory::{Known, State, jittered, key},
    rest::{RESTED, question_of_all},
};
use super::{
    controller::DeploymentController,
    family::Family,
    fetch::Needs,
    resolve::{Answer, Unresolved, interval, resolve},
    transfer::Transfers,
};
use crate::{
    api::v1alpha1::{
        Deployment, DeploymentStatus, PinnedArtifact, Release, ReleaseSource, annotation, condition,
    },
    controllers::{
        context::Context,
        runtime::{Ended, spread},
    },
    domain::{
        digest::Sha256,
        outcome::{self, Outcome, Stamp},
        reason::Reason,
    },
    ports::{as_of::AsOf, validators::Validators},
};

/// What the source has to say.
pub enum Source {
    /// Nothing: it is not time to ask, or there is nothing new.
    Idle,
    /// The newest eligible pipeline and its artifacts, pinned.
    Fetched {
        source: Box<ReleaseSource>,
        artifacts: Vec<PinnedArtifact>,
        /// Which newer pipelines were passed over and why, or what else there is to know.
        note: Option<String>,
    },
    /// Why there is nothing to release.
    Blocked(Unresolved),
}

/// What can be wrong with what was released long ago: it is kept, and goes on without GitLab.
const OF_THE_PAST: [Reason; 5] = [
    Reason::ArtifactMissing,
    Reason::NotFound,
    Reason::ProjectNotFound,
    Reason::RefNotFound,
    Reason::RefNotProtected,
];

impl Source {
    /// Why there is nothing to release, where there is a reason that matters to the delivery.
    fn problem(&self) -> Option<&Outcome> {
        match self {
            Self::Blocked(blocked) if !blocked.is_past() => Some(&blocked.outcome),
            _ => None,
        }
    }

    /// Whether nothing more comes of it by itself.
    fn is_settled(&self) -> bool {
        match self {
            Self::Idle => false,
            Self::Fetched { .. } => true,
            Self::Blocked(Unresolved { outcome, .. }) => {
                matches!(outcome, Outcome::Waiting { reason, .. } if *reason != Reason::Fetching)
            }
        }
    }

    /// What was fetched to be released, where all of it was.
    pub fn fetched(&self) -> Option<(ReleaseSource, Vec<PinnedArtifact>)> {
        match self {
            Self::Fetched {
                source, artifacts, ..
            } => Some(((**source).clone(), artifacts.clone())),
            Self::Idle | Self::Blocked(_) => None,
        }
    }

    /// How the reconcile ends, from how the delivery stands and what the source says.
    pub fn conclude(&self, delivery: Outcome, nothing_yet: bool) -> Outcome {
        let (reason, message) = match (delivery, self.problem()) {
            (Outcome::Done { reason, message }, _) => (reason, message),
            // Told as well, because a retry tries what failed last.
            (Outcome::Stalled { reason, message }, Some(Outcome::Stalled { message: why, .. })) => {
                let message = format!("{message}; and nothing newer can be released: {why}");
                return Outcome::Stalled { reason, message };
            }
            (delivery, _) => return delivery,
        };
        let message = match self {
            Self::Blocked(blocked) if blocked.is_past() => {
                let why = blocked.outcome.reason();
                format!("{message}; nothing newer can be released ({why})")
            }
            _ => message,
        };
        match self.problem() {
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

    /// Says in a condition of its own how the source stands; what is not known stays as it was.
    pub fn write_condition(&self, status: &mut DeploymentStatus, generation: Option<i64>) {
        let (is_ready, reason, message) = match self {
            Self::Idle => return,
            Self::Fetched { note, .. } => (
                "True",
                Reason::Resolved,
                note.as_deref()
                    .unwrap_or("What GitLab has to release is fetched"),
            ),
            Self::Blocked(Unresolved { outcome, .. }) => {
                let is_ready = match outcome {
                    // How far that is, the summary tells.
                    Outcome::Waiting { reason, .. } if *reason == Reason::Fetching => return,
                    Outcome::Waiting { .. } | Outcome::Paused { .. } | Outcome::Done { .. } => {
                        "True"
                    }
                    Outcome::Stalled { .. } => "False",
                    Outcome::Transient { .. } => "Unknown",
                };
                (is_ready, outcome.reason(), outcome.message())
            }
        };
        let stamp = Stamp {
            reason,
            message,
            generation,
            now: Timestamp::now(),
        };
        let conditions = &mut status.conditions;
        outcome::set(conditions, condition::SOURCE_READY, is_ready, &stamp);
    }
}

impl DeploymentController {
    /// What the source has to say; nothing while the Deployment is suspended.
    pub(super) async fn resolve_source(&self, deployment: &Deployment, family: &Family) -> Source {
        if deployment.spec.suspend {
            return Source::Idle;
        }
        let (context, transfers) = (&self.context, &self.transfers);
        self.sources
            .look(context, transfers, deployment, &family.releases)
            .await
    }
}

impl Unresolved {
    fn is_past(&self) -> bool {
        !self.is_new
            && matches!(self.outcome, Outcome::Stalled { .. })
            && OF_THE_PAST.contains(&self.outcome.reason())
    }
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
        let now = Instant::now();
        if state.next_poll.is_none_or(|at| at <= now) {
            // Nothing that was answered before somebody asked for a look will do.
            let moment = AsOf(state.next_poll.unwrap_or(now).into());
            let last = state.answer.take().and_then(Result::ok);
            let project = &mut state.project;
            let resolved = resolve(context, deployment, releases, project, last.as_deref());
            let (resolved, read) = Validators::of(moment.scope(resolved)).await;
            state.is_news = is_news(deployment, releases, last.as_deref(), &resolved);
            state.answer = Some(resolved.map(Arc::new));
            state.read = read;
            state.next_poll = Some(self.next_round(deployment, jittered(interval(deployment))));
            if let Some(Err(Unresolved {
                outcome:
                    Outcome::Transient {
                        after: Some(after), ..
                    },
                ..
            })) = &state.answer
            {
                state.next_poll = Some(Instant::now() + *after);
            }
        }
        let source = match state.answer.clone() {
            None => Source::Idle,
            Some(Err(unresolved)) => Source::Blocked(unresolved),
            Some(Ok(answer)) => {
                let needs = Needs {
                    context,
                    transfers,
                    deployment,
                    releases,
                    answer: &answer,
                };
                match state.fetching.fetched(&needs).await {
                    Ok(fetched) => Source::Fetched {
                        source: Box::new(fetched.source.clone()),
                        artifacts: fetched.artifacts.clone(),
                        note: answer.note.clone(),
                    },
                    Err(outcome) => Source::Blocked(Unresolved {
                        outcome,
                        is_new: !has_release(deployment, releases, &answer),
                    }),
                }
            }
        };
        state.is_settled = source.is_settled();
        self.keep(deployment, state);
        source
    }

    /// When it is asked next: with the others that ask the same, or after this time.
    fn next_round(&self, deployment: &Deployment, after: Duration) -> Instant {
        let now = Instant::now();
        self.known()
            .next_round(question_of_all(deployment), now + after, now)
    }

    /// How long until GitLab is asked again.
    fn next_poll(&self, deployment: &Deployment) -> Duration {
        let known = self.known();
        let state = known.states.get(&key(deployment));
        let at = state.and_then(|state| state.next_poll);
        at.map_or(Duration::from_secs(1), |at| {
            at.saturating_duration_since(Instant::now())
        })
        .max(Duration::from_millis(50))
    }

    /// Whether the retry that the Deployment carries was meant for artifacts that could not be
    /// fetched, and so not for a Release.
    pub fn has_taken_retry(&self, deployment: &Deployment) -> bool {
        let known = self.known();
        let retry = deployment.annotations().get(annotation::RETRY);
        let state = known.states.get(&key(deployment));
        state.is_some_and(|state| state.retry.as_ref() == retry && state.retry_is_for_fetching)
    }

    /// The ending, to be followed by the next poll at the latest.
    pub fn until_next_poll(&self, deployment: &Deployment, outcome: Outcome) -> Ended {
        if deployment.spec.suspend {
            self.wake(deployment);
            return outcome.into();
        }
        if matches!(outcome, Outcome::Done { .. }) && self.rest(deployment) {
            return Ended::recheck(outcome, spread(RESTED));
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
        let mut known = self.known();
        let Known { states, rounds } = &mut *known;
        let uid = key(deployment);
        if let Some(source) = states.remove(&uid).and_then(|state| state.rests_in) {
            rounds.leave(source, &uid);
        }
    }

    /// What is known, unless something else is asked now.
    fn state(&self, deployment: &Deployment, releases: &[Arc<Release>]) -> State {
        let spec = &deployment.spec;
        let question = Sha256::of_json(&(&spec.source, &spec.artifacts));
        let command = deployment.annotations().get(annotation::RECONCILE).cloned();
        let retry = deployment.annotations().get(annotation::RETRY).cloned();
        let Some(mut state) = self.wake(deployment) else {
            // No transfer is remembered to have failed either. After a restart, what was released
            // already is asked about in its own time: a thousand Deployments must not ask at once.
            let status = deployment.status.clone().unwrap_or_default();
            let unchanged = status.observed_generation == deployment.metadata.generation
                && status.last_handled_reconcile == command
                && status.last_handled_retry == retry
                && !releases.is_empty();
            let later = interval(deployment).mul_f64(fastrand::f64());
            let later = self.next_round(deployment, later);
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

    /// What is known of one that looks for itself from now on.
    fn wake(&self, deployment: &Deployment) -> Option<State> {
        let mut known = self.known();
        let Known { states, rounds } = &mut *known;
        let uid = key(deployment);
        let state = states.get_mut(&uid)?;
        if let Some(source) = state.rests_in.take() {
            rounds.leave(source, &uid);
        }
        Some(state.clone())
    }

    fn keep(&self, deployment: &Deployment, state: State) {
        self.known().states.insert(key(deployment), state);
    }
}

/// Whether an answer is another one than the `last`, or than what was released: then more was read for it than will
/// be next time.
fn is_news(
    deployment: &Deployment,
    releases: &[Arc<Release>],
    last: Option<&Answer>,
    answer: &Result<Answer, Unresolved>,
) -> bool {
    match (last, answer) {
        (Some(last), Ok(answer)) => {
            last.pipeline.id != answer.pipeline.id
                || last.artifact_jobs(deployment) != answer.artifact_jobs(deployment)
        }
        (None, Ok(answer)) => !has_release(deployment, releases, answer),
        (_, Err(_)) => false,
    }
}

/// Whether the pipeline was released with the artifacts that the Deployment asks for.
fn has_release(deployment: &Deployment, releases: &[Arc<Release>], answer: &Answer) -> bool {
    releases.iter().any(|release| {
        let source = &release.spec.source;
        source.project_id == answer.project.id
            && source.pipeline_id == answer.pipeline.id
            && release.spec.template.artifacts == deployment.spec.artifacts
    })
}

#[cfg(test)]
mod tests;
