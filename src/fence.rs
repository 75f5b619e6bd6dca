//! Whether this process may begin a write.
//!
//! A leader that was paused, or cut off from the API server, must stop writing before another one
//! starts. The [`Fence`] closes by itself when the last renewal of the Lease expires, even if no task
//! has noticed yet. It relies on the monotonic clock only.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Open until an instant that each renewal of the Lease extends. Clones share it.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Instant,
    /// Milliseconds after `origin`.
    until: AtomicU64,
}

impl Fence {
    /// A fence that allows no writes until it is opened.
    pub fn closed() -> Self {
        Self(Arc::new(Inner {
            origin: Instant::now(),
            until: AtomicU64::new(0),
        }))
    }

    /// A fence that is always open: for a single process without leader election.
    pub fn open() -> Self {
        let fence = Self::closed();
        fence.0.until.store(u64::MAX, Ordering::Release);
        fence
    }

    /// Whether a write may begin now.
    pub fn may_write(&self) -> bool {
        self.may_write_at(Instant::now())
    }

    fn may_write_at(&self, now: Instant) -> bool {
        self.elapsed(now) < self.0.until.load(Ordering::Acquire)
    }

    /// Allows writes to begin until then.
    pub fn open_until(&self, until: Instant) {
        self.0.until.store(self.elapsed(until), Ordering::Release);
    }

    /// Allows no more writes.
    pub fn close(&self) {
        self.0.until.store(0, Ordering::Release);
    }

    fn elapsed(&self, at: Instant) -> u64 {
        let since: Duration = at.saturating_duration_since(self.0.origin);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fence_closes_at_its_deadline() {
        let fence = Fence::closed();
        let now = Instant::now();
        assert!(!fence.may_write_at(now));
        fence.open_until(now + Duration::from_secs(10));
        assert!(fence.may_write_at(now + Duration::from_secs(9)));
        assert!(!fence.may_write_at(now + Duration::from_secs(10)));
    }

    #[test]
    fn closing_a_fence_closes_every_clone() {
        let fence = Fence::open();
        let other = fence.clone();
        assert!(other.may_write());
        fence.close();
        assert!(!other.may_write());
    }
}
