//! Many objects side by side, a few at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{Stream, StreamExt as _, stream};
use tokio::sync::Semaphore;

use super::failing;
use crate::{
    fence::Fence,
    ports::{CallError, CallErrorKind, store::ByteStream},
};

/// Objects of one wave at a time.
const OF_ONE_WAVE: usize = 16;

/// Objects at a time in the whole process. Each holds a quarter of a MiB at most, and what it takes to
/// inflate.
const OF_ALL: usize = 48;

/// So many failures and no more objects of the wave are begun: the rest would fail as well.
const ENOUGH: usize = 16;

/// How many objects are worked on at a time, and whether any may be. One for the whole process.
pub struct Waves {
    fence: Fence,
    turns: Semaphore,
}

impl Waves {
    /// Nothing is written once the fence is closed.
    pub fn new(fence: Fence) -> Self {
        Self {
            fence,
            turns: Semaphore::new(OF_ALL),
        }
    }

    /// Whether a write may begin.
    pub(super) fn may_write(&self, operation: &str, resource: &str) -> Result<(), CallError> {
        if self.fence.may_write() {
            return Ok(());
        }
        Err(lost(operation, resource))
    }

    /// A stream that ends in an error once the fence is closed: what it is put into never becomes
    /// visible then.
    pub(super) fn fenced(&self, body: ByteStream) -> ByteStream {
        let state = Some((body, self.fence.clone()));
        stream::unfold(state, |state| async move {
            let (mut body, fence) = state?;
            let piece = body.next().await;
            // Looked at last: the end of the stream is what completes the object.
            if !fence.may_write() {
                return Some((Err(lost("s3:PutObject", "its body")), None));
            }
            match piece? {
                Ok(piece) => Some((Ok(piece), Some((body, fence)))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    /// Works on all of them; what came of them, and what failed.
    pub(super) async fn writes<T, R, F>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> F,
    ) -> (Vec<R>, Vec<CallError>)
    where
        F: Future<Output = Result<R, CallError>>,
    {
        let fenced = |item| {
            let working = work(item);
            async {
                self.may_write("s3:PutObject", "the next object")?;
                working.await
            }
        };
        self.all(items, fenced).await
    }

    /// The same for what changes nothing.
    pub(super) async fn reads<T, R, F>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> F,
    ) -> (Vec<R>, Vec<CallError>)
    where
        F: Future<Output = Result<R, CallError>>,
    {
        self.all(items, work).await
    }

    async fn all<T, R, F>(&self, items: Vec<T>, work: impl Fn(T) -> F) -> (Vec<R>, Vec<CallError>)
    where
        F: Future<Output = Result<R, CallError>>,
    {
        let failures = AtomicUsize::new(0);
        let one = |item| {
            let working = work(item);
            let failures = &failures;
            async move {
                let _turn = self.turns.acquire().await.ok()?;
                if failures.load(Ordering::Relaxed) >= ENOUGH {
                    return None;
                }
                let end = working.await;
                if end.is_err() {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
                Some(end)
            }
        };
        let ends: Vec<_> = stream::iter(items)
            .map(one)
            .buffer_unordered(OF_ONE_WAVE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        sorted(ends)
    }
}

/// What was done, and what failed.
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

fn lost(operation: &str, resource: &str) -> CallError {
    let why = "not completed: another controller may lead by now";
    CallError::new(operation, resource, CallErrorKind::Unavailable, why)
}

/// A stream that is made when it is first asked for.
pub(super) fn lazy<F>(
    open: impl FnOnce() -> F + Send + 'static,
) -> impl Stream<Item = Result<bytes::Bytes, CallError>> + Send
where
    F: Future<Output = Result<ByteStream, CallError>> + Send,
{
    stream::once(async move { open().await.unwrap_or_else(failing) }).flatten()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Mutex};

    use bytes::Bytes;
    use futures::TryStreamExt as _;

    use super::*;

    fn denied(key: &str) -> CallError {
        CallError::new("s3:PutObject", key, CallErrorKind::Denied, "no")
    }

    #[tokio::test]
    async fn one_failure_stops_none_of_the_others() {
        let waves = Waves::new(Fence::open());
        let work = |n: usize| async move {
            tokio::task::yield_now().await;
            if n == 3 { Err(denied("3")) } else { Ok(n) }
        };
        let (mut done, failed) = waves.writes((0..100).collect(), work).await;
        done.sort_unstable();
        assert_eq!(done.len(), 99);
        assert!(!done.contains(&3));
        assert_eq!(failed, [denied("3")]);
    }

    #[tokio::test]
    async fn where_all_fail_not_all_are_tried() {
        let waves = Waves::new(Fence::open());
        let tried = AtomicUsize::new(0);
        let work = |_: usize| async {
            tried.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err::<(), _>(denied("k"))
        };
        let (_, failed) = waves.writes((0..1000).collect(), work).await;
        assert!(failed.len() >= ENOUGH && failed.len() < ENOUGH + OF_ONE_WAVE);
        assert_eq!(tried.load(Ordering::Relaxed), failed.len());
    }

    #[tokio::test]
    async fn so_many_at_a_time_and_no_more() {
        let waves = Waves::new(Fence::open());
        let (now, most) = (Cell::new(0), Cell::new(0));
        let work = |_: usize| async {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::task::yield_now().await;
            now.set(now.get() - 1);
            Ok(())
        };
        let wave = || waves.writes((0..100).collect(), &work);
        let _ = wave().await;
        assert_eq!(most.get(), OF_ONE_WAVE);
        most.set(0);
        let _ = futures::join!(wave(), wave(), wave(), wave(), wave());
        assert_eq!(most.get(), OF_ALL);
    }

    #[tokio::test]
    async fn nothing_is_begun_or_completed_behind_a_closed_fence() {
        let fence = Fence::open();
        let waves = Waves::new(fence.clone());
        let begun = Mutex::new(0);
        let work = |n: usize| {
            let (begun, fence) = (&begun, &fence);
            async move {
                *begun.lock().expect("not poisoned") += 1;
                fence.close();
                Ok(n)
            }
        };
        let (done, failed) = waves.writes((0..100).collect(), work).await;
        assert_eq!(done, [0]);
        assert_eq!(failed.len(), ENOUGH);
        assert_eq!(*begun.lock().expect("not poisoned"), 1);
        assert_eq!(failed[0].kind, CallErrorKind::Unavailable);

        let fence = Fence::open();
        let waves = Waves::new(fence.clone());
        let pieces = || stream::iter([Ok(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b"))]);
        let whole: Vec<Bytes> = waves
            .fenced(pieces().boxed())
            .try_collect()
            .await
            .expect("whole");
        assert_eq!(whole.concat(), b"ab");
        let mut body = waves.fenced(pieces().boxed());
        assert!(matches!(body.next().await, Some(Ok(_))));
        assert!(matches!(body.next().await, Some(Ok(_))));
        // All bytes are there, but the end is not.
        fence.close();
        assert!(matches!(body.next().await, Some(Err(_))));
        assert!(body.next().await.is_none());
    }
}
