//! GitLabConnections: whether the token is good, for what and until when.
//!
//! # Expected flow
//! *token → standing → judged → published*, and again every ten minutes.
//!
//! # Guarantees
//! - After a restart, a connection that is Ready costs no request at once.
//! - A failure that may pass does not take Ready away until it has come several times in a row.
//! - The token is in no status, Event, log or error.

mod judge;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use jiff::{Timestamp, tz::TimeZone};
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use self::judge::{Answer, judge};
use super::{
    context::Context,
    recheck::Rechecks,
    report::{Found, publish},
    retry::Ended,
    written::Written,
};
use crate::{
    api::v1alpha1::{GitLabConnection, GitLabConnectionStatus, annotation, condition},
    domain::outcome::{Outcome, is_true},
};

/// The controller of GitLabConnections.
pub struct ConnectionController {
    context: Arc<Context>,
    rechecks: Rechecks,
    written: Written<GitLabConnection>,
}

impl ConnectionController {
    /// With nothing remembered.
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            rechecks: Rechecks::default(),
            written: Written::default(),
        }
    }

    /// Looks at one connection, if it is time.
    pub async fn reconcile(&self, connection: Arc<GitLabConnection>) -> Ended {
        let connection = self.written.newest(&connection);
        let uid = connection.uid().unwrap_or_default();
        if connection.metadata.deletion_timestamp.is_some() {
            self.rechecks.forget(&uid);
            return Outcome::done("Gone", "the connection is being deleted").into();
        }
        let mark = mark(&connection);
        let ready = is_ready(&connection);
        if let Some(rest) = self.rechecks.rest(&uid, mark, ready, Instant::now()) {
            return Ended::recheck(Outcome::done("Unchanged", "looked at not long ago"), rest);
        }
        let found = self.look(&connection).await;
        let outcome = found.outcome.clone();
        let after = self.rechecks.looked(&uid, mark, &outcome, Instant::now());
        let may_pass = matches!(outcome, Outcome::Transient { .. });
        if !(may_pass && ready && !self.rechecks.in_doubt(&uid)) {
            let namespace = connection.namespace().unwrap_or_default();
            let api = Api::namespaced(self.context.client.clone(), &namespace);
            let before = connection.status.clone().unwrap_or_default();
            match publish(&self.context, &api, &*connection, &before, &found).await {
                Ok(written) => self.written.note(written),
                Err(end) => {
                    self.rechecks.forget(&uid);
                    return end.into();
                }
            }
        }
        Ended {
            outcome,
            recheck: after,
        }
    }

    async fn look(&self, connection: &GitLabConnection) -> Found<GitLabConnectionStatus> {
        let answer = match self.context.gitlabs.client(connection).await {
            Ok(client) => Answer::OfGitLab(client.standing().await),
            Err(error) => Answer::NotAsked(error),
        };
        // GitLab's tokens end at the start of a day in UTC.
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        judge(connection, answer, today)
    }
}

/// What makes an earlier look worthless: another spec, or somebody who asks.
fn mark(connection: &GitLabConnection) -> u64 {
    let mut hasher = DefaultHasher::new();
    let asked = connection.annotations().get(annotation::RECONCILE);
    asked.hash(&mut hasher);
    connection.metadata.generation.hash(&mut hasher);
    hasher.finish()
}

fn is_ready(connection: &GitLabConnection) -> bool {
    connection.status.as_ref().is_some_and(|status| {
        status.observed_generation == connection.metadata.generation
            && is_true(&status.conditions, condition::READY)
    })
}
