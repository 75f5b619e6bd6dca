//! Transfers of artifacts from GitLab into the artifact bucket, concurrent with reconciles.
//!
//! Expected flow: a reconcile calls [`Transfers::ensure`] for each artifact it needs, gets
//! [`TransferState::Running`], and ends. The transfer runs as a task of its own. When it ends, every
//! Deployment that asked for it is woken through the stream of [`Transfers::new`], asks again, and gets
//! [`TransferState::Done`].
//!
//! Guarantees
//! - At most one transfer of the same bytes to the same S3 location runs at a time, whoever asks, and at most
//!   [`Limits::parallel`] in all. Memory does not depend on the size of the artifact.
//! - No namespace takes all turns: it has at most [`Limits::per_namespace`], and free turns rotate among the
//!   namespaces that wait.
//! - Every transfer ends: it has a minimum rate, a time limit for its size, and is given up once no
//!   Deployment has asked for it for some minutes.
//! - An artifact that is Done is complete, has exactly the size that GitLab declared, and is pinned by its
//!   SHA-256 and the version of the object.
//! - A restart does not download a complete artifact again: a marker beside the object remembers it.
//! - A failure that may pass is retried with backoff when a Deployment asks; any other stays until
//!   [`Transfers::forget_failure`].
//!
//! Relies on: the artifacts of a job don't change (a retry is another job); an object's version pins its
//! bytes.

mod download;
mod job;
mod key;
mod pace;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures::{
    FutureExt as _, Stream,
    channel::mpsc::{UnboundedSender, unbounded},
};
use kube::runtime::reflector::ObjectRef;
use tokio::{task::AbortHandle, time::Instant};
use tokio_util::task::TaskTracker;

use self::job::Progress;
pub use download::Transferred;
pub use job::TransferJob;
pub use key::{TransferKey, connection_digest, instance_name};
pub use pace::{DEFAULT_RATE, PaceLimits};

use crate::{
    api::v1alpha1::Deployment,
    fair_semaphore::FairSemaphore,
    metrics::Metrics,
    ports::{CallError, CallErrorKind},
};

/// The default size limit of an artifact: the maximum of one `PutObject` or one copy in S3.
pub const DEFAULT_LIMIT: u64 = 5 << 30;

/// The first wait between attempts. It doubles up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// How long an artifact that is Done is remembered after the last request; its marker in the bucket stays.
const DONE_UNUSED: Duration = Duration::from_hours(1);
/// Longer, so that a daily poll does not retry what can't succeed.
const FAILED_UNUSED: Duration = Duration::from_hours(25);

/// How long a transfer runs after the last request. A Deployment that waits for it asks every few seconds;
/// one that also has a failed transfer asks after [`MAX_BACKOFF`].
const UNREQUESTED: Duration = Duration::from_mins(6);

/// How many transfers run at a time, and how slow each may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many run in all.
    pub parallel: usize,
    /// How many run for one namespace.
    pub per_namespace: usize,
    /// How slow each may be; by default [`DEFAULT_RATE`].
    pub pace_limits: PaceLimits,
    /// How long a transfer runs after the last request.
    pub unrequested: Duration,
}

impl Limits {
    /// Limits with this minimum rate in bytes a second. A namespace gets at most `parallel` turns.
    pub fn new(parallel: usize, per_namespace: usize, rate: u64) -> Self {
        Self {
            parallel,
            per_namespace: per_namespace.min(parallel),
            pace_limits: PaceLimits::at(rate),
            unrequested: UNREQUESTED,
        }
    }
}

/// The state of a transfer.
#[derive(Clone, Debug)]
pub enum TransferState {
    /// Running, or waiting for its turn.
    Running {
        /// The bytes that have arrived.
        bytes: u64,
        /// The bytes that are expected, if known.
        total: Option<u64>,
    },
    /// Complete.
    Done(Arc<Transferred>),
    /// It failed.
    Failed {
        /// Why.
        error: CallError,
        /// When a request starts it again; `None` if that needs [`Transfers::forget_failure`].
        retry_in: Option<Duration>,
    },
}

/// The transfers of this process.
pub struct Transfers {
    entries: Mutex<Entries>,
    turns: Arc<FairSemaphore>,
    limits: Limits,
    tasks: TaskTracker,
    wake: UnboundedSender<ObjectRef<Deployment>>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<TransferKey, Entry>,
    /// Distinguishes a task from an earlier one with the same key.
    last_id: u64,
    closed: bool,
}

struct Entry {
    id: u64,
    attempts: u32,
    asked_at: Instant,
    state: EntryState,
}

enum EntryState {
    Running {
        progress: Arc<Progress>,
        task: AbortHandle,
        waiting: Vec<ObjectRef<Deployment>>,
    },
    Done(Arc<Transferred>),
    Failed {
        error: CallError,
        again_at: Option<Instant>,
    },
}

impl Transfers {
    /// Creates transfers within `limits` that count their bytes in `metrics`. The stream yields the
    /// Deployments to wake.
    pub fn new(
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> (
        Arc<Self>,
        impl Stream<Item = ObjectRef<Deployment>> + Send + 'static,
    ) {
        let (wake, woken) = unbounded();
        let transfers = Arc::new(Self {
            entries: Mutex::default(),
            turns: FairSemaphore::new(limits.parallel, limits.per_namespace),
            limits,
            tasks: TaskTracker::new(),
            wake,
            metrics,
        });
        (transfers, woken)
    }

    /// Starts or retries the transfer if needed, and returns its state. `asking` is woken when it ends.
    /// `start` is called only if a task is started. Call it within a tokio runtime.
    pub fn ensure(
        self: &Arc<Self>,
        key: &TransferKey,
        asking: ObjectRef<Deployment>,
        start: impl FnOnce() -> TransferJob,
    ) -> TransferState {
        let now = Instant::now();
        let mut entries = self.entries();
        entries.remove_unused(now);
        let mut attempts = 1;
        if let Some(entry) = entries.by_key.get_mut(key) {
            entry.asked_at = now;
            if let Some(state) = entry.answer(asking.clone(), now) {
                return state;
            }
            attempts = entry.attempts + 1;
        }
        if entries.closed {
            return TransferState::Failed {
                error: key.error(CallErrorKind::Unavailable, "the controller is stopping"),
                retry_in: Some(FIRST_BACKOFF),
            };
        }
        entries.last_id += 1;
        let id = entries.last_id;
        let progress = Arc::<Progress>::default();
        let namespace = asking.namespace.clone().unwrap_or_default();
        let task = self.spawn(key.clone(), id, start(), Arc::clone(&progress), namespace);
        let total = progress.total();
        let entry = Entry {
            id,
            attempts,
            asked_at: now,
            state: EntryState::Running {
                progress,
                task,
                waiting: vec![asking],
            },
        };
        entries.by_key.insert(key.clone(), entry);
        TransferState::Running { bytes: 0, total }
    }

    /// Forgets that the transfer failed: the next request starts it again, without a wait. A running transfer
    /// continues, because others may wait for it too; what is Done stays.
    pub fn forget_failure(&self, key: &TransferKey) {
        let mut entries = self.entries();
        if let Some(entry) = entries.by_key.get(key)
            && matches!(entry.state, EntryState::Failed { .. })
        {
            entries.by_key.remove(key);
        }
    }

    /// Stops all transfers and starts no more. Returns when every task has ended.
    pub async fn shutdown(&self) {
        {
            let mut entries = self.entries();
            entries.closed = true;
            for (_, entry) in entries.by_key.drain() {
                if let EntryState::Running { task, .. } = entry.state {
                    task.abort();
                }
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn spawn(
        self: &Arc<Self>,
        key: TransferKey,
        id: u64,
        job: TransferJob,
        progress: Arc<Progress>,
        namespace: String,
    ) -> AbortHandle {
        let transfers = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            let transfer = async {
                let _turn = tokio::select! {
                    turn = transfers.turns.acquire(&namespace) => turn,
                    () = progress.stop.cancelled() => return Err(key.unrequested()),
                };
                download::fetch(
                    &key,
                    &job,
                    &progress,
                    transfers.limits.pace_limits,
                    &transfers.metrics,
                )
                .await
            };
            // Without the catch, the entry of a task that panicked would stay Running.
            let mut transfer = pin!(AssertUnwindSafe(transfer).catch_unwind());
            let result = tokio::select! {
                biased;
                result = &mut transfer => result,
                () = transfers.unrequested(&key, id) => {
                    progress.stop.cancel();
                    // The transfer ends at its next bytes, so that an upload is aborted and not left behind.
                    transfer.await
                }
            };
            let result = result.unwrap_or_else(|_| {
                let message =
                    "the transfer panicked, which is a defect in Sluice; see the controller's log";
                Err(key.error(CallErrorKind::Unknown, message))
            });
            transfers.end(&key, id, result, progress.stop.is_cancelled());
        });
        task.abort_handle()
    }

    /// Completes once no Deployment has asked for the transfer for [`Limits::unrequested`].
    async fn unrequested(&self, key: &TransferKey, id: u64) {
        loop {
            let asked_at = {
                let entries = self.entries();
                let entry = entries.by_key.get(key).filter(|entry| entry.id == id);
                entry.map(|entry| entry.asked_at)
            };
            let given_up = asked_at.map(|asked_at| asked_at + self.limits.unrequested);
            match given_up.filter(|given_up| *given_up > Instant::now()) {
                Some(given_up) => tokio::time::sleep_until(given_up).await,
                None => return,
            }
        }
    }

    fn end(
        &self,
        key: &TransferKey,
        id: u64,
        result: Result<Transferred, CallError>,
        given_up: bool,
    ) {
        let waiting = {
            let mut entries = self.entries();
            let Some(entry) = entries.by_key.get_mut(key).filter(|entry| entry.id == id) else {
                return;
            };
            if given_up && result.is_err() {
                tracing::info!(
                    transfer = key.resource(),
                    "transfer given up: no Deployment asks for it"
                );
                // A Deployment that asked at the last moment asks again, which starts it again.
                let entry = entries.by_key.remove(key);
                drop(entries);
                self.wake(
                    entry
                        .map(|entry| entry.state.into_waiting())
                        .unwrap_or_default(),
                );
                return;
            }
            let state = match result {
                Ok(transferred) => EntryState::Done(Arc::new(transferred)),
                Err(error) => {
                    tracing::warn!(%error, attempt = entry.attempts, "transfer failed");
                    let again_at =
                        backoff(&error, entry.attempts).map(|wait| Instant::now() + wait);
                    EntryState::Failed { error, again_at }
                }
            };
            std::mem::replace(&mut entry.state, state).into_waiting()
        };
        self.wake(waiting);
    }

    fn wake(&self, waiting: Vec<ObjectRef<Deployment>>) {
        for deployment in waiting {
            // The receiver is gone when the controller stops.
            let _ = self.wake.unbounded_send(deployment);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn remove_unused(&mut self, now: Instant) {
        self.by_key.retain(|_, entry| {
            let unused = now.duration_since(entry.asked_at);
            match entry.state {
                EntryState::Running { .. } => true,
                EntryState::Done(_) => unused < DONE_UNUSED,
                EntryState::Failed { .. } => unused < FAILED_UNUSED,
            }
        });
    }
}

impl EntryState {
    /// The Deployments to wake when it ends.
    fn into_waiting(self) -> Vec<ObjectRef<Deployment>> {
        match self {
            Self::Running { waiting, .. } => waiting,
            Self::Done(_) | Self::Failed { .. } => Vec::new(),
        }
    }
}

impl Entry {
    /// The state to report; `None` if it is time to try again.
    fn answer(&mut self, asking: ObjectRef<Deployment>, now: Instant) -> Option<TransferState> {
        Some(match &mut self.state {
            EntryState::Running {
                progress, waiting, ..
            } => {
                if !waiting.contains(&asking) {
                    waiting.push(asking);
                }
                TransferState::Running {
                    bytes: progress.bytes.load(Ordering::Relaxed),
                    total: progress.total(),
                }
            }
            EntryState::Done(transferred) => TransferState::Done(Arc::clone(transferred)),
            EntryState::Failed {
                again_at: Some(again_at),
                ..
            } if *again_at <= now => return None,
            EntryState::Failed { error, again_at } => TransferState::Failed {
                error: error.clone(),
                retry_in: again_at.map(|again_at| again_at - now),
            },
        })
    }
}

/// The wait before the next attempt; `None` if another attempt is of no use.
fn backoff(error: &CallError, attempts: u32) -> Option<Duration> {
    if !error.is_transient() {
        return None;
    }
    let doubled = FIRST_BACKOFF.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let backoff = doubled.min(MAX_BACKOFF);
    Some(match error.kind {
        CallErrorKind::Throttled {
            retry_after: Some(wait),
        } => backoff.max(wait),
        _ => backoff,
    })
}
