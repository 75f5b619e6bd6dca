//! The owner and urgency of calls, by which the queues of budgets order them.
//!
//! A caller makes its calls in [`Turn::scope`]; an adapter that delays a call reads [`Turn::current`]. So
//! ports and clients don't have to pass a turn on, and all users of an account can share its clients.
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

/// The owner and urgency of calls, and the calls that wait.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The most urgent calls go first.
    pub priority: Priority,
    /// Namespaces take turns with calls of equal urgency.
    pub namespace: Arc<str>,
    /// Within a namespace, the Deployments that began first take turns.
    pub deployment: Arc<str>,
    /// When the work began that the calls are part of.
    pub since: Timestamp,
    called_off: CancellationToken,
    line: Arc<Mutex<Line>>,
}

/// The waiting calls of a turn.
#[derive(Debug, Default)]
struct Line {
    waiting: usize,
    since: Option<Instant>,
    /// The position of the call that joined last.
    queue_position: Option<QueuePosition>,
    /// The total time of earlier waits, without the current one.
    waited: Duration,
}

/// The position of a call in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    /// Description of the budget: `Lambda control plane calls in account 111111111111, eu-west-1`.
    pub budget: String,
    /// The maximum number of calls before it.
    pub before: usize,
    /// When the call's turn comes, as the queue estimates it.
    pub ready_at: Instant,
}

/// A call in a queue. It leaves the queue when dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Mutex<Line>>);

impl Turn {
    /// A turn in which no call waits yet.
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

    /// Runs `work`, whose calls are made in this turn.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        CURRENT.scope(self.clone(), work).await
    }

    /// The caller's turn. Outside of a turn, a call has low urgency and no owner.
    pub fn current() -> Self {
        CURRENT
            .try_with(Self::clone)
            .unwrap_or_else(|_| Self::new(Priority::Planning, "", "", Timestamp::now()))
    }

    /// Removes the waiting calls from their queues. Calls that have been sent finish.
    pub fn call_off(&self) {
        self.called_off.cancel();
    }

    /// Whether the turn's calls were called off.
    pub fn is_called_off(&self) -> bool {
        self.called_off.is_cancelled()
    }

    /// Completes once the turn's calls are called off.
    pub fn called_off(&self) -> WaitForCancellationFuture<'_> {
        self.called_off.cancelled()
    }

    /// Registers a waiting call.
    pub fn waits(&self, queue_position: QueuePosition) -> Waiting {
        let mut line = lock(&self.line);
        line.waiting += 1;
        line.since.get_or_insert_with(Instant::now);
        line.queue_position = Some(queue_position);
        Waiting(Arc::clone(&self.line))
    }

    /// The position of the call that joined last, and since when calls have been waiting.
    pub fn queue_position(&self) -> Option<(QueuePosition, Instant)> {
        let line = lock(&self.line);
        line.queue_position.clone().zip(line.since)
    }

    /// The total time for which calls have waited.
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
            line.queue_position = None;
        }
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue_position() -> QueuePosition {
        QueuePosition {
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
        let (one, other) = (seen.waits(queue_position()), seen.waits(queue_position()));
        assert!(turn.queue_position().is_some());
        drop(one);
        assert!(turn.queue_position().is_some(), "another call waits");
        drop(other);
        assert_eq!(turn.queue_position(), None);
        turn.call_off();
        assert!(seen.is_called_off());
        assert_eq!(Turn::current().priority, Priority::Planning, "outside");
    }
}
