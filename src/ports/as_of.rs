//! As of when an answer must be: who asks with others at the same moment can share what one of them is told.
//!
//! Whoever reads runs it in [`AsOf::scope`]; an adapter that keeps answers asks for [`AsOf::current`].

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: AsOf;
}

/// A moment. An answer to a question that was asked then or later will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AsOf(pub Instant);

impl AsOf {
    /// Lets what `work` reads be as of this moment.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The moment that the caller named; without one, only an answer that is asked for now will do.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|moment| *moment).ok()
    }
}
