//! GitLabConnections: whether the token is valid, for which scopes and until when.
//!
//! # Expected flow
//! *token → standing → judge → publish*, and again every ten minutes.
//!
//! # Guarantees
//! - After a restart, a connection that is Ready costs no request at once.
//! - A transient failure ends Ready only after several in a row.
//! - The token is in no status, Event, log or error.

mod judge;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use jiff::{Timestamp, tz::TimeZone};
use kube::{Api, ResourceExt as _};

use self::judge::judge;
use super::{context::Context, recheck::Watched, report::Found, retry::Ended};
use crate::api::v1alpha1::{GitLabConnection, GitLabConnectionStatus, annotation};

/// The controller of GitLabConnections.
pub struct ConnectionController {
    context: Arc<Context>,
    watched: Watched<GitLabConnection>,
}

impl ConnectionController {
    /// A controller that remembers nothing yet.
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            watched: Watched::new(context.stores.connections.clone()),
            context,
        }
    }

    /// Checks one connection, if a check is due.
    pub async fn reconcile(&self, connection: Arc<GitLabConnection>) -> Ended {
        let connection = self.watched.newest(&connection);
        let namespace = connection.namespace().unwrap_or_default();
        let api = Api::namespaced(self.context.client.clone(), &namespace);
        let (mark, check) = (mark(&connection), self.check(&connection));
        self.watched
            .reconcile(&self.context, &api, &connection, mark, check)
            .await
    }

    async fn check(&self, connection: &GitLabConnection) -> Found<GitLabConnectionStatus> {
        let answer = match self.context.gitlabs.client(connection).await {
            Ok(client) => client.standing().await,
            Err(error) => Err(error),
        };
        // GitLab's tokens end at the start of a day in UTC.
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        judge(connection, answer, today)
    }
}

/// Hashes what invalidates an earlier check: the spec, and a requested reconcile.
fn mark(connection: &GitLabConnection) -> u64 {
    let mut hasher = DefaultHasher::new();
    let requested = connection.annotations().get(annotation::RECONCILE);
    requested.hash(&mut hasher);
    connection.metadata.generation.hash(&mut hasher);
    hasher.finish()
}
