//! How recent a response must be: callers that read at the same moment can share one response.
//!
//! A caller makes its reads in [`AsOf::scope`]; an adapter that caches responses reads [`AsOf::current`].

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: AsOf;
}

/// A moment. A response to a request that was sent then or later is recent enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AsOf(pub Instant);

impl AsOf {
    /// Runs `work`, whose reads are as of this moment.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The moment that the caller named. Without one, only a new request is recent enough.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|moment| *moment).ok()
    }
}
