//! What a transfer needs, and how far it is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::ports::{gitlab::GitLab, store::Store};

/// What a transfer needs, beyond its key.
pub struct TransferJob {
    /// The side it comes from.
    pub gitlab: Arc<dyn GitLab>,
    /// The bucket of the key's account and region.
    pub store: Arc<dyn Store>,
    /// What GitLab lists as the size of the whole archive; not looked at for a single file.
    pub archive_size: Option<u64>,
    /// The most bytes that are taken: [`super::DEFAULT_LIMIT`].
    pub limit: u64,
}

/// How far a running transfer is.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) bytes: AtomicU64,
    /// 0 where it is not known.
    pub(super) total: AtomicU64,
    /// Cancelled once nobody asks for it any more.
    pub(super) stop: CancellationToken,
}

impl Progress {
    pub(super) fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0)
    }
}
