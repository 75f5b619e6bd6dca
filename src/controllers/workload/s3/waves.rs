//! Processes many objects concurrently, within limits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ports::CallError;

/// Concurrent objects of one wave: S3 is slow for each, but accepts thousands of requests per second.
const PER_WAVE: usize = 48;

/// Concurrent objects in the whole process. Each holds at most a quarter of a MiB and a decompressor.
const PER_PROCESS: usize = 96;

/// Batches of small files in memory, in the whole process.
const BATCHES: usize = 8;

/// After this many failures no other object of the wave begins: the rest would fail as well.
const MAX_FAILURES: usize = 16;

/// The limits on concurrent objects. The whole process shares one instance.
pub struct Waves {
    turns: Semaphore,
    batches: Arc<Semaphore>,
}

impl Default for Waves {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(PER_PROCESS),
            batches: Arc::new(Semaphore::new(BATCHES)),
        }
    }
}

impl Waves {
    /// Waits for a permit to read a batch of small files. The batch counts for as long as the permit is held.
    pub(super) async fn batch(&self) -> Option<Arc<OwnedSemaphorePermit>> {
        let permit = Arc::clone(&self.batches).acquire_owned().await;
        permit.ok().map(Arc::new)
    }

    /// Processes all items. Returns the results and the errors.
    pub(super) async fn all<T, R, F>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> F,
    ) -> (Vec<R>, Vec<CallError>)
    where
        F: Future<Output = Result<R, CallError>>,
    {
        self.each(stream::iter(items), work).await
    }

    /// As [`Waves::all`], for a stream of items.
    pub(super) async fn each<T, R, F>(
        &self,
        items: impl Stream<Item = T>,
        work: impl Fn(T) -> F,
    ) -> (Vec<R>, Vec<CallError>)
    where
        F: Future<Output = Result<R, CallError>>,
    {
        let failures = AtomicUsize::new(0);
        let one = |item| {
            let working = work(item);
            let failures = &failures;
            async move {
                let _turn = self.turns.acquire().await.ok()?;
                if failures.load(Ordering::Relaxed) >= MAX_FAILURES {
                    return None;
                }
                let end = working.await;
                if end.is_err() {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
                Some(end)
            }
        };
        let ends: Vec<_> = items
            .map(one)
            .buffer_unordered(PER_WAVE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        sorted(ends)
    }
}

/// Separates the results from the errors.
pub(super) fn sorted<R>(
    ends: impl IntoIterator<Item = Result<R, CallError>>,
) -> (Vec<R>, Vec<CallError>) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for end in ends {
        match end {
            Ok(end) => done.push(end),
            Err(error) => failed.push(error),
        }
    }
    (done, failed)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ports::CallErrorKind;

    fn denied(key: &str) -> CallError {
        CallError::new("s3:PutObject", key, CallErrorKind::Denied, "no")
    }

    #[tokio::test]
    async fn one_failed_object_does_not_stop_the_others() {
        let waves = Waves::default();
        let work = |n: usize| async move {
            tokio::task::yield_now().await;
            if n == 3 { Err(denied("3")) } else { Ok(n) }
        };
        let (mut done, failed) = waves.all((0..100).collect(), work).await;
        done.sort_unstable();
        assert_eq!(done.len(), 99);
        assert!(!done.contains(&3));
        assert_eq!(failed, [denied("3")]);
    }

    #[tokio::test]
    async fn wave_ends_early_if_every_object_fails() {
        let waves = Waves::default();
        let tried = AtomicUsize::new(0);
        let work = |_: usize| async {
            tried.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err::<(), _>(denied("k"))
        };
        let (_, failed) = waves.all((0..1000).collect(), work).await;
        assert!(failed.len() >= MAX_FAILURES && failed.len() < MAX_FAILURES + PER_WAVE);
        assert_eq!(tried.load(Ordering::Relaxed), failed.len());
    }

    #[tokio::test]
    async fn concurrency_is_limited_per_wave_and_per_process() {
        let waves = Waves::default();
        let (now, most) = (Cell::new(0), Cell::new(0));
        let work = |_: usize| async {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::task::yield_now().await;
            now.set(now.get() - 1);
            Ok(())
        };
        let wave = || waves.all((0..100).collect(), &work);
        let _ = wave().await;
        assert_eq!(most.get(), PER_WAVE);
        most.set(0);
        let _ = futures::join!(wave(), wave(), wave(), wave(), wave());
        assert_eq!(most.get(), PER_PROCESS);
    }
}
