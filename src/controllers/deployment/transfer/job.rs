//! The inputs and the progress of a transfer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::ports::{gitlab::GitLab, store::Store};

/// The inputs of a transfer, besides its key.
pub struct TransferJob {
    /// The GitLab that the artifact comes from.
    pub gitlab: Arc<dyn GitLab>,
    /// The bucket of the key's account and region.
    pub store: Arc<dyn Store>,
    /// The size that GitLab lists for the whole archive; ignored for a single file.
    pub archive_size: Option<u64>,
    /// The maximum number of bytes; by default [`super::DEFAULT_LIMIT`].
    pub limit: u64,
}

/// The progress of a running transfer.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) bytes: AtomicU64,
    /// 0 if it is unknown.
    pub(super) total: AtomicU64,
    /// Cancelled once no Deployment asks for the transfer any more.
    pub(super) stop: CancellationToken,
}

impl Progress {
    pub(super) fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0)
    }
}
