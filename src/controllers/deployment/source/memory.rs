//! The sources of all Deployments, kept in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use kube::ResourceExt as _;
use tokio::sync::Notify;

use super::rounds::Rounds;
use crate::{
    api::v1alpha1::Deployment,
    controllers::deployment::{
        artifact_retry::ArtifactRetry,
        artifacts::Fetching,
        resolve::{Answer, Unresolved},
    },
    domain::{digest::Sha256, pipeline::Project},
    ports::validators::Validators,
};

/// The sources of all Deployments, kept in memory.
#[derive(Default)]
pub struct Sources {
    pub(super) known: Mutex<Known>,
    /// Notified when a Deployment rests in a round that had none.
    pub(super) first_rest: Notify,
}

#[derive(Default)]
pub(super) struct Known {
    /// By the UID of the Deployment.
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
            self.rounds.remove_finished(now);
        }
        self.rounds.next(source, at, now)
    }
}

/// The state of one source.
#[derive(Clone, Default)]
pub(super) struct State {
    /// The digest of the spec that was asked for; another spec asks again.
    pub(super) question: Option<Sha256>,
    /// The value of the reconcile annotation that was answered.
    pub(super) command: Option<String>,
    pub(super) retry: ArtifactRetry,
    pub(super) next_poll: Option<Instant>,
    pub(super) project: Option<Project>,
    pub(super) answer: Option<Result<Arc<Answer>, Unresolved>>,
    /// The validators of the responses behind the answer.
    pub(super) read: Validators,
    /// Whether the answer differs from the one before.
    pub(super) is_news: bool,
    /// Whether the answer needs no further work.
    pub(super) is_settled: bool,
    /// The round in which the Deployment rests.
    pub(super) rests_in: Option<Sha256>,
    /// The fetch progress of the artifacts.
    pub(super) fetching: Fetching,
}

impl State {
    /// Whether the last poll brought nothing new, and GitLab can be asked whether that still holds.
    pub(super) fn can_rest(&self) -> bool {
        self.is_settled && !self.is_news && self.read.can_revalidate()
    }
}

/// The key of a Deployment in memory.
pub(super) fn key(deployment: &Deployment) -> String {
    deployment.uid().unwrap_or_default()
}
