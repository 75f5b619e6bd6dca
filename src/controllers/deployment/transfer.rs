//! Artifacts on their way from GitLab into the artifact bucket, beside reconciling.
//!
//! Expected flow: a reconcile asks for each artifact it needs ([`Transfers::ensure`]), is told
//! [`TransferState::Running`], and ends. The transfer runs as a task of its own. When it ends, every
//! Deployment that asked for it is woken through the stream that [`Transfers::new`] gave out, asks
//! again, and is told [`TransferState::Done`].
//!
//! Guarantees
//! - At most one transfer of the same bytes to the same place runs at a time, whoever asks, and at
//!   most so many in all. Memory does not depend on the size of the artifact.
//! - No namespace takes all the turns: it has at most [`Limits::per_namespace`], and turns that come
//!   free go round among the namespaces that wait.
//! - Every transfer ends: it keeps to a rate, has a time for its size, and is given up once no
//!   Deployment has asked for it for some minutes.
//! - What is Done is complete, no longer and no shorter than GitLab said, and pinned by its SHA-256
//!   and the version of the object.
//! - A restart does not download again what was complete: a marker beside the object remembers.
//! - A failure that may pass is tried again, with backoff, when somebody asks; any other stays until
//!   [`Transfers::forget_failure`].
//!
//! Relies on: the artifacts of a job don't change (a retry is another job); an object's version pins
//! its bytes.

mod fetch;
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
pub use fetch::Transferred;
pub use job::TransferJob;
pub use key::{TransferKey, connection_digest, instance_name};
pub use pace::{DEFAULT_RATE, Slowest};

use crate::{
    api::v1alpha1::Deployment,
    fair_semaphore::FairSemaphore,
    metrics::Metrics,
    ports::{CallError, CallErrorKind},
};

/// The largest artifact that is taken: what one `PutObject` or one copy in S3 may have.
pub const DEFAULT_LIMIT: u64 = 5 << 30;

/// The waits between tries grow from here, doubling, up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);

/// What ended and was not asked for this long is forgotten; the marker in the bucket remembers.
const DONE_UNUSED: Duration = Duration::from_hours(1);
/// Longer, so that a poll that comes once a day does not try what can't succeed.
const FAILED_UNUSED: Duration = Duration::from_hours(25);

/// A transfer that no Deployment asks for this long is given up. Who waits for one asks every few
/// seconds; who has to do with a failed one besides, after [`LONGEST_BACKOFF`].
const UNASKED: Duration = Duration::from_mins(6);

/// How many transfers there are at a time, and how slow each may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many in all.
    pub parallel: usize,
    /// How many for one namespace.
    pub per_namespace: usize,
    /// How slow each may be: [`DEFAULT_RATE`].
    pub slowest: Slowest,
    /// How long one goes on that no Deployment asks for any more.
    pub unasked: Duration,
}

impl Limits {
    /// So many at a time, fewer for one namespace where that can be, each of so many bytes a second.
    pub fn new(parallel: usize, per_namespace: usize, rate: u64) -> Self {
        Self {
            parallel,
            per_namespace: per_namespace.min(parallel),
            slowest: Slowest::at(rate),
            unasked: UNASKED,
        }
    }
}

/// How far a transfer is.
#[derive(Clone, Debug)]
pub enum TransferState {
    /// Under way, or waiting for its turn.
    Running {
        /// Bytes that have arrived.
        bytes: u64,
        /// Bytes there will be, where that is known.
        total: Option<u64>,
    },
    /// Complete.
    Done(Arc<Transferred>),
    /// It failed.
    Failed {
        /// Why.
        error: CallError,
        /// When asking again starts it anew; `None` where that takes
        /// [`Transfers::forget_failure`].
        again_in: Option<Duration>,
    },
}

/// Artifacts on their way.
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
    /// Tells a task from an earlier one with the same key.
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
    /// Transfers within `limits`, their bytes counted in `metrics`. The stream gives the Deployments to
    /// wake.
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

    /// Sees to it that the transfer runs, ran, or is tried again, and says how far it is. `asking` is
    /// woken when it ends. `start` is called only where a task is started. Call it within a tokio
    /// runtime.
    pub fn ensure(
        self: &Arc<Self>,
        key: &TransferKey,
        asking: ObjectRef<Deployment>,
        start: impl FnOnce() -> TransferJob,
    ) -> TransferState {
        let now = Instant::now();
        let mut entries = self.entries();
        entries.collect(now);
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
                again_in: Some(FIRST_BACKOFF),
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

    /// Forgets that the transfer failed: the next one to ask starts it anew, without any wait. One
    /// that runs goes on, because others may wait for it too; what is Done stays.
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
                    () = progress.stop.cancelled() => return Err(key.unasked()),
                };
                fetch::fetch(
                    &key,
                    &job,
                    &progress,
                    transfers.limits.slowest,
                    &transfers.metrics,
                )
                .await
            };
            // An entry whose task is gone would say Running for good.
            let mut transfer = pin!(AssertUnwindSafe(transfer).catch_unwind());
            let result = tokio::select! {
                biased;
                result = &mut transfer => result,
                () = transfers.unasked(&key, id) => {
                    progress.stop.cancel();
                    // It ends with its next bytes, so that an upload is aborted and not left behind.
                    transfer.await
                }
            };
            let result = result.unwrap_or_else(|_| {
                let message = "the transfer broke off by a defect in Sluice; the log has more";
                Err(key.error(CallErrorKind::Unknown, message))
            });
            transfers.end(&key, id, result, progress.stop.is_cancelled());
        });
        task.abort_handle()
    }

    /// Ends once nobody has asked for it for long.
    async fn unasked(&self, key: &TransferKey, id: u64) {
        loop {
            let asked_at = {
                let entries = self.entries();
                let entry = entries.by_key.get(key).filter(|entry| entry.id == id);
                entry.map(|entry| entry.asked_at)
            };
            let given_up = asked_at.map(|asked_at| asked_at + self.limits.unasked);
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
                tracing::info!(transfer = key.resource(), "given up: nobody asks for it");
                // Who asked in the last moment asks again, and starts it anew.
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
            // Nobody listens any more when the controller stops.
            let _ = self.wake.unbounded_send(deployment);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn collect(&mut self, now: Instant) {
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
    /// Who is to be woken when it ends.
    fn into_waiting(self) -> Vec<ObjectRef<Deployment>> {
        match self {
            Self::Running { waiting, .. } => waiting,
            Self::Done(_) | Self::Failed { .. } => Vec::new(),
        }
    }
}

impl Entry {
    /// `None` where it is time to try again.
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
                again_in: again_at.map(|again_at| again_at - now),
            },
        })
    }
}

/// When to try again after so many tries; `None` where that is of no use.
fn backoff(error: &CallError, attempts: u32) -> Option<Duration> {
    if !error.is_transient() {
        return None;
    }
    let doubled = FIRST_BACKOFF.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let backoff = doubled.min(LONGEST_BACKOFF);
    Some(match error.kind {
        CallErrorKind::Throttled {
            retry_after: Some(wait),
        } => backoff.max(wait),
        _ => backoff,
    })
}
