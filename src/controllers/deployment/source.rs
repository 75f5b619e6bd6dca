//! The source of a Deployment: polls GitLab and fetches the artifacts.
//!
//! Deployments of a namespace that follow the same ref of the same project are polled at the same moments and
//! share the answers: the number of requests depends on the refs, not on the Deployments that follow them.
//! Resting Deployments are not even reconciled for a poll ([`rounds`]).

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
    memory::{Known, State, key},
    rest::{MAX_REST, shared_question},
};
use super::{
    artifact_retry::ArtifactRetry,
    artifacts::FetchInputs,
    controller::DeploymentController,
    family::Family,
    poll_interval::{jittered, poll_interval},
    resolve::{Answer, Unresolved, resolve},
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

/// The result of the source in a reconcile.
pub enum Source {
    /// Nothing: no poll is due, or nothing is new.
    Idle,
    /// The newest eligible pipeline and its artifacts, pinned.
    Fetched {
        source: Box<ReleaseSource>,
        artifacts: Vec<PinnedArtifact>,
        /// Which newer pipelines were passed over and why, or another note.
        note: Option<String>,
    },
    /// Why nothing can be released.
    Blocked(Unresolved),
}

/// Problems that don't affect a pipeline that was released: its Release is kept, and continues without
/// GitLab.
const HARMLESS_ONCE_RELEASED: [Reason; 5] = [
    Reason::ArtifactMissing,
    Reason::NotFound,
    Reason::ProjectNotFound,
    Reason::RefNotFound,
    Reason::RefNotProtected,
];

impl Source {
    /// Why nothing can be released, if that matters to the delivery.
    fn problem(&self) -> Option<&Outcome> {
        match self {
            Self::Blocked(blocked) if !blocked.is_harmless() => Some(&blocked.outcome),
            _ => None,
        }
    }

    /// Whether nothing more happens without news from GitLab.
    fn is_settled(&self) -> bool {
        match self {
            Self::Idle => false,
            Self::Fetched { .. } => true,
            Self::Blocked(Unresolved { outcome, .. }) => {
                matches!(outcome, Outcome::Waiting { reason, .. } if *reason != Reason::Fetching)
            }
        }
    }

    /// The source and the artifacts to release, if all of them are fetched.
    pub fn fetched(&self) -> Option<(ReleaseSource, Vec<PinnedArtifact>)> {
        match self {
            Self::Fetched {
                source, artifacts, ..
            } => Some(((**source).clone(), artifacts.clone())),
            Self::Idle | Self::Blocked(_) => None,
        }
    }

    /// The outcome of the reconcile, from the delivery and the source.
    pub fn conclude(&self, delivery: Outcome, nothing_yet: bool) -> Outcome {
        let (reason, message) = match (delivery, self.problem()) {
            (Outcome::Done { reason, message }, _) => (reason, message),
            // Reported as well, because a retry is for the latest failure.
            (Outcome::Stalled { reason, message }, Some(Outcome::Stalled { message: why, .. })) => {
                let message = format!("{message}; and nothing newer can be released: {why}");
                return Outcome::Stalled { reason, message };
            }
            (delivery, _) => return delivery,
        };
        let message = match self {
            Self::Blocked(blocked) if blocked.is_harmless() => {
                let why = blocked.outcome.reason();
                format!("{message}; nothing newer can be released ({why})")
            }
            _ => message,
        };
        match self.problem() {
            // The live Release keeps serving while GitLab is unavailable.
            Some(Outcome::Transient { message: why, .. }) if !nothing_yet => Outcome::Done {
                reason,
                message: format!("{message}; GitLab is unavailable: {why}"),
            },
            Some(Outcome::Waiting { .. }) if !nothing_yet => Outcome::Done { reason, message },
            Some(problem) => problem.clone(),
            None => Outcome::Done { reason, message },
        }
    }

    /// Sets the `SourceReady` condition, or keeps it if nothing is known.
    pub fn write_condition(&self, status: &mut DeploymentStatus, generation: Option<i64>) {
        let (is_ready, reason, message) = match self {
            Self::Idle => return,
            Self::Fetched { note, .. } => (
                "True",
                Reason::Resolved,
                note.as_deref()
                    .unwrap_or("The artifacts of the newest eligible pipeline are fetched"),
            ),
            Self::Blocked(Unresolved { outcome, .. }) => {
                let is_ready = match outcome {
                    // The summary reports the progress.
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
    /// Resolves the source; idle while the Deployment is suspended.
    pub(super) async fn resolve_source(&self, deployment: &Deployment, family: &Family) -> Source {
        if deployment.spec.suspend {
            return Source::Idle;
        }
        let (context, transfers) = (&self.context, &self.transfers);
        self.sources
            .poll(context, transfers, deployment, &family.releases)
            .await
    }
}

impl Unresolved {
    fn is_harmless(&self) -> bool {
        !self.is_new
            && matches!(self.outcome, Outcome::Stalled { .. })
            && HARMLESS_ONCE_RELEASED.contains(&self.outcome.reason())
    }
}

impl Sources {
    /// Polls GitLab if that is due, and fetches the artifacts of the answer.
    pub async fn poll(
        &self,
        context: &Context,
        transfers: &Arc<Transfers>,
        deployment: &Deployment,
        releases: &[Arc<Release>],
    ) -> Source {
        let mut state = self.state(deployment, releases);
        let now = Instant::now();
        if state.next_poll.is_none_or(|at| at <= now) {
            // An answer from before the poll was due or requested is not reused.
            let moment = AsOf(state.next_poll.unwrap_or(now).into());
            let last = state.answer.take().and_then(Result::ok);
            let project = &mut state.project;
            let resolved = resolve(context, deployment, releases, project, last.as_deref());
            let (resolved, read) = Validators::of(moment.scope(resolved)).await;
            state.is_news = is_news(deployment, releases, last.as_deref(), &resolved);
            state.answer = Some(resolved.map(Arc::new));
            state.read = read;
            state.next_poll =
                Some(self.next_round(deployment, jittered(poll_interval(deployment))));
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
                let needs = FetchInputs {
                    context,
                    transfers,
                    deployment,
                    releases,
                    answer: &answer,
                };
                match state.fetching.fetched(&needs, &mut state.retry).await {
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

    /// When to poll next: together with the Deployments of the same source, or after this time.
    fn next_round(&self, deployment: &Deployment, after: Duration) -> Instant {
        let now = Instant::now();
        self.known()
            .next_round(shared_question(deployment), now + after, now)
    }

    /// How long until the next poll.
    fn next_poll(&self, deployment: &Deployment) -> Duration {
        let known = self.known();
        let state = known.states.get(&key(deployment));
        let at = state.and_then(|state| state.next_poll);
        at.map_or(Duration::from_secs(1), |at| {
            at.saturating_duration_since(Instant::now())
        })
        .max(Duration::from_millis(50))
    }

    /// Whether the retry on the Deployment was for artifacts that could not be fetched, and so not for a
    /// Release.
    pub fn retry_was_for_artifacts(&self, deployment: &Deployment) -> bool {
        let known = self.known();
        let token = deployment.annotations().get(annotation::RETRY);
        let state = known.states.get(&key(deployment));
        state.is_some_and(|state| state.retry.was_for_artifacts(token))
    }

    /// The ending of the reconcile, followed by the next poll at the latest.
    pub fn until_next_poll(&self, deployment: &Deployment, outcome: Outcome) -> Ended {
        if deployment.spec.suspend {
            self.wake(deployment);
            return outcome.into();
        }
        if matches!(outcome, Outcome::Done { .. }) && self.rest(deployment) {
            return Ended::recheck(outcome, spread(MAX_REST));
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

    /// Drops the state of a deleted Deployment.
    pub fn forget(&self, deployment: &Deployment) {
        let mut known = self.known();
        let Known { states, rounds } = &mut *known;
        let uid = key(deployment);
        if let Some(source) = states.remove(&uid).and_then(|state| state.rests_in) {
            rounds.leave(source, &uid);
        }
    }

    /// The state of the source; a new one if the spec or a command asks for something else.
    fn state(&self, deployment: &Deployment, releases: &[Arc<Release>]) -> State {
        let spec = &deployment.spec;
        let question = Sha256::of_json(&(&spec.source, &spec.artifacts));
        let command = deployment.annotations().get(annotation::RECONCILE).cloned();
        let retry = deployment.annotations().get(annotation::RETRY).cloned();
        let Some(mut state) = self.wake(deployment) else {
            // No failed transfer is remembered either. After a restart, released sources are polled at random
            // moments: a thousand Deployments must not poll at once.
            let status = deployment.status.clone().unwrap_or_default();
            let unchanged = status.observed_generation == deployment.metadata.generation
                && status.last_handled_reconcile == command
                && status.last_handled_retry == retry
                && !releases.is_empty();
            let later = poll_interval(deployment).mul_f64(fastrand::f64());
            let later = self.next_round(deployment, later);
            return State {
                question: Some(question),
                command,
                retry: ArtifactRetry::answered(retry),
                next_poll: unchanged.then_some(later),
                ..State::default()
            };
        };
        if state.retry.observe(retry, state.fetching.has_failed()) {
            state.next_poll = None;
        }
        if state.question == Some(question) && state.command == command {
            return state;
        }
        State {
            question: Some(question),
            command,
            retry: state.retry,
            project: state.project.filter(|_| state.question == Some(question)),
            ..State::default()
        }
    }

    /// The state of a Deployment, which rests no longer.
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

/// Whether the answer differs from the `last` one, or from what was released. Then the next poll reads less
/// than this one did.
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
