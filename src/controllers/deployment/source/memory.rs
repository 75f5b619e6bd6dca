//! What this process knows of the sources of all Deployments.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;
use tokio::sync::Notify;

use super::rounds::Rounds;
use crate::{
    api::v1alpha1::Deployment,
    controllers::deployment::{
        fetch::Fetching,
        resolve::{Answer, Unresolved},
    },
    domain::{digest::Sha256, pipeline::Project},
    ports::validators::Validators,
};

/// What this process knows of the sources of all Deployments.
#[derive(Default)]
pub struct Sources {
    pub(super) known: Mutex<Known>,
    /// Somebody rests in a round that nobody rested in before.
    pub(super) rested: Notify,
}

#[derive(Default)]
pub(super) struct Known {
    /// By the Deployment's uid.
    pub(super) states: HashMap<String, State>,
    pub(super) rounds: Rounds,
}

impl Sources {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    pub(super) fn next_round(&mut self, source: Sha256, at: Instant, now: Instant) -> Instant {
        if self.rounds.len() > 2 * self.states.len().max(16) {
            self.rounds.tidy(now);
        }
        self.rounds.next(source, at, now)
    }
}

/// What is known of one source.
#[derive(Clone, Default)]
pub(super) struct State {
    /// What was asked for: another spec asks anew.
    pub(super) question: Option<Sha256>,
    /// The value of the reconcile annotation that was answered.
    pub(super) command: Option<String>,
    /// The value of the retry annotation that was answered.
    pub(super) retry: Option<String>,
    /// Whether that one was meant for artifacts that could not be fetched.
    pub(super) retry_is_for_fetching: bool,
    pub(super) next_poll: Option<Instant>,
    pub(super) project: Option<Project>,
    pub(super) answer: Option<Result<Arc<Answer>, Unresolved>>,
    /// What the answer was worked out from.
    pub(super) read: Validators,
    /// Whether it is another one than before.
    pub(super) is_news: bool,
    /// Whether there is nothing left to do about it.
    pub(super) is_settled: bool,
    /// The round in which it rests.
    pub(super) rests_in: Option<Sha256>,
    /// How far the answer's artifacts are.
    pub(super) fetching: Fetching,
}

impl State {
    /// Whether nothing was new when GitLab was asked last, and it can be asked whether that is still so.
    pub(super) fn is_told_of_news(&self) -> bool {
        self.is_settled && !self.is_news && self.read.tell_all()
    }
}

/// By what it is remembered.
pub(super) fn key(deployment: &Deployment) -> String {
    deployment.uid().unwrap_or_default()
}

/// A tenth more or less, so that Deployments made together don't ask together for ever.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.95 + fastrand::f64() / 10.0)
}
