//! For whom calls are made and how urgent they are: by this the queues of budgets order them.
//!
//! Whoever makes calls runs them in [`Turn::scope`]; an adapter that holds a call back asks for
//! [`Turn::current`]. So no port and no client has to carry it, and the clients of an account stay shared.
//!
//! # Guarantees
//! - A call that is called off has not been sent.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::domain::priority::Priority;

tokio::task_local! {
    static CURRENT: Turn;
}

/// For whom calls are made, how urgent they are, and which of them wait.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The most urgent calls go first.
    pub priority: Priority,
    /// Namespaces take turns with calls that are equally urgent.
    pub namespace: Arc<str>,
    /// Within a namespace, the Deployments that began first take turns.
    pub deployment: Arc<str>,
    /// Since when the work is under way that the calls are part of.
    pub since: Timestamp,
    called_off: CancellationToken,
    line: Arc<Mutex<Line>>,
}

/// The calls that wait.
#[derive(Debug, Default)]
struct Line {
    waiting: usize,
    since: Option<Instant>,
    /// Of the call that joined last.
    place: Option<Place>,
    /// The time in which calls waited, but for the present.
    waited: Duration,
}

/// Where a call waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The budget, in words: `Lambda control plane calls in account 111111111111, eu-west-1`.
    pub budget: String,
    /// How many calls go before it, at most.
    pub before: usize,
    /// When its turn comes, as far as the queue can tell.
    pub ready_at: Instant,
}

/// A call in a queue; leaves it when dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Mutex<Line>>);

impl Turn {
    /// No call waits yet.
    pub fn new(priority: Priority, namespace: &str, deployment: &str, since: Timestamp) -> Self {
        Self {
            priority,
            namespace: namespace.into(),
            deployment: deployment.into(),
            since,
            called_off: CancellationToken::new(),
            line: Arc::default(),
        }
    }

    /// Makes the calls of `work` in this turn.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        CURRENT.scope(self.clone(), work).await
    }

    /// The turn that the caller is in. Without one, a call is neither urgent nor anybody's.
    pub fn current() -> Self {
        CURRENT
            .try_with(Self::clone)
            .unwrap_or_else(|_| Self::new(Priority::Planning, "", "", Timestamp::now()))
    }

    /// Takes the calls that wait out of their queues. Those that were sent come to their end.
    pub fn call_off(&self) {
        self.called_off.cancel();
    }

    /// Whether its calls were called off.
    pub fn is_called_off(&self) -> bool {
        self.called_off.is_cancelled()
    }

    /// Ends once its calls are called off.
    pub fn called_off(&self) -> WaitForCancellationFuture<'_> {
        self.called_off.cancelled()
    }

    /// One call more waits.
    pub fn waits(&self, place: Place) -> Waiting {
        let mut line = lock(&self.line);
        line.waiting += 1;
        line.since.get_or_insert_with(Instant::now);
        line.place = Some(place);
        Waiting(Arc::clone(&self.line))
    }

    /// Where calls wait now, and since when some have.
    pub fn place(&self) -> Option<(Place, Instant)> {
        let line = lock(&self.line);
        line.place.clone().zip(line.since)
    }

    /// For how long calls have waited in all.
    pub fn waited(&self) -> Duration {
        let line = lock(&self.line);
        line.waited + line.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut line = lock(&self.0);
        line.waiting = line.waiting.saturating_sub(1);
        if line.waiting == 0
            && let Some(since) = line.since.take()
        {
            line.waited += since.elapsed();
            line.place = None;
        }
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            budget: "calls".into(),
            before: 0,
            ready_at: Instant::now(),
        }
    }

    #[tokio::test]
    async fn calls_share_their_turn() {
        let since = Timestamp::UNIX_EPOCH;
        let turn = Turn::new(Priority::Restore, "shop", "checkout", since);
        let seen = turn.scope(async { Turn::current() }).await;
        assert_eq!(seen.priority, Priority::Restore);
        assert_eq!(&*seen.deployment, "checkout");
        let (one, other) = (seen.waits(place()), seen.waits(place()));
        assert!(turn.place().is_some());
        drop(one);
        assert!(turn.place().is_some(), "another call waits");
        drop(other);
        assert_eq!(turn.place(), None);
        turn.call_off();
        assert!(seen.is_called_off());
        assert_eq!(Turn::current().priority, Priority::Planning, "outside");
    }
}
