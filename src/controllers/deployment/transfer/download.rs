//! One transfer: reads the marker, streams the bytes, checks them, and writes the marker.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::{
    job::{Progress, TransferJob},
    key::TransferKey,
    pace::{Pace, PaceLimits},
};
use crate::{
    api::v1alpha1::{ArchiveSummary, PinnedArtifact, StoreLocation},
    domain::{
        archive::Tail,
        digest::{Hasher, Sha256},
    },
    metrics::Metrics,
    ports::{CallError, CallErrorKind, store::ByteStream},
};

/// The maximum size of a marker, which is far smaller.
const MARKER_LIMIT: u64 = 64 << 10;

/// An artifact that arrived completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// The number of bytes.
    pub size: u64,
    /// Where the bytes are.
    pub location: StoreLocation,
    /// A summary of the files, if the bytes are a zip that may be used.
    pub archive: Option<ArchiveSummary>,
    /// Why the bytes are not such a zip.
    pub archive_problem: Option<String>,
}

impl Transferred {
    /// The artifact, as a Release pins it.
    pub fn pinned(&self, name: &str) -> PinnedArtifact {
        PinnedArtifact {
            name: name.to_owned(),
            sha256: self.sha256.to_string(),
            size: i64::try_from(self.size).unwrap_or(i64::MAX),
            location: self.location.clone(),
            archive: self.archive.clone(),
            assemblies: Vec::new(),
        }
    }
}

/// The marker of a complete transfer, stored beside the object.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    /// The source and the connection. A marker of any other one is ignored, wherever it lies.
    of: Source,
    sha256: String,
    size: u64,
    version_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveSummary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archive_problem: Option<String>,
}

/// The source that a marker is for.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    connection: Sha256,
    project_id: i64,
    job_id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl Source {
    fn of(key: &TransferKey) -> Self {
        Self {
            connection: key.connection,
            project_id: key.project_id,
            job_id: key.job_id,
            path: key.path.clone(),
        }
    }
}

pub(super) async fn fetch(
    key: &TransferKey,
    job: &TransferJob,
    progress: &Arc<Progress>,
    pace_limits: PaceLimits,
    metrics: &Arc<Metrics>,
) -> Result<Transferred, CallError> {
    if let Some(done) = remembered(key, job).await? {
        tracing::info!(object = done.location.key, "transferred before");
        return Ok(done);
    }
    let archive_size = job.archive_size.filter(|_| key.path.is_none());
    check_limit(key, archive_size, job.limit)?;
    let download = job
        .gitlab
        .artifact(key.project_id, key.job_id, key.path.as_deref())
        .await?;
    check_limit(key, download.declared_size, job.limit)?;
    if let (Some(listed), Some(declared)) = (archive_size, download.declared_size)
        && listed != declared
    {
        let word = if declared > listed {
            "longer"
        } else {
            "shorter"
        };
        return Err(key.error(
            CallErrorKind::Corrupt,
            format!("{word} than declared: GitLab lists {listed} bytes and sends {declared}"),
        ));
    }
    let expected = archive_size.or(download.declared_size);
    if let Some(expected) = expected {
        progress.total.store(expected, Ordering::Relaxed);
    }

    let meter = Arc::new(Mutex::new(Meter {
        key: key.clone(),
        hasher: Hasher::default(),
        tail: Tail::default(),
        pace: Pace::new(pace_limits, expected.unwrap_or(job.limit), Instant::now()),
        expected,
        limit: job.limit,
        progress: Arc::clone(progress),
        metrics: Arc::clone(metrics),
        end: End::Inconclusive,
    }));
    let object_key = key.object_key();
    let metadata = BTreeMap::from([
        ("gitlab-project-id".to_owned(), key.project_id.to_string()),
        ("gitlab-job-id".to_owned(), key.job_id.to_string()),
    ]);
    let body = metered(download.body, Arc::clone(&meter));
    let uploaded = job.store.upload(&object_key, body, &metadata).await;

    let (hasher, tail, end) = lock(&meter).take();
    let version_id = match (end, uploaded) {
        // An error of the stream explains that of the upload.
        (End::Failed(error), _) | (_, Err(error)) => return Err(error),
        (End::Reached, Ok(version_id)) => version_id,
        (End::Inconclusive, Ok(_)) => {
            return Err(key.error(
                CallErrorKind::Corrupt,
                "the upload ended before the download",
            ));
        }
    };
    let size = tail.total();
    metrics.transferred_out(size);
    let (archive, archive_problem) = match tail.summarize() {
        Ok(summary) => (Some(summary), None),
        Err(problem) => (None, Some(problem.to_string())),
    };
    let marker = Marker {
        of: Source::of(key),
        sha256: hasher.finish().to_string(),
        size,
        version_id,
        archive,
        archive_problem,
    };
    remember(key, job, &marker).await;
    let transferred = marker.transferred(key, job.store.bucket());
    tracing::info!(
        object = object_key,
        size,
        sha256 = marker.sha256,
        "transferred"
    );
    transferred.ok_or_else(|| key.error(CallErrorKind::Corrupt, "its digest can't be read"))
}

/// The result of an earlier transfer, if its object is still the current version.
async fn remembered(
    key: &TransferKey,
    job: &TransferJob,
) -> Result<Option<Transferred>, CallError> {
    let marker_key = key.marker_key();
    let Some(bytes) = job.store.get(&marker_key, None, MARKER_LIMIT).await? else {
        return Ok(None);
    };
    let marker: Marker = match serde_json::from_slice(&bytes) {
        Ok(marker) => marker,
        Err(error) => {
            tracing::warn!(object = marker_key, %error, "marker can't be read, downloading again");
            return Ok(None);
        }
    };
    if marker.of != Source::of(key) {
        tracing::warn!(
            object = marker_key,
            "the marker is of another artifact or connection, downloading again"
        );
        return Ok(None);
    }
    let object = job.store.head(&key.object_key()).await?;
    let still_there = object
        .is_some_and(|object| object.version_id == marker.version_id && object.size == marker.size);
    if !still_there {
        return Ok(None);
    }
    Ok(marker.transferred(key, job.store.bucket()))
}

async fn remember(key: &TransferKey, job: &TransferJob, marker: &Marker) {
    let marker_key = key.marker_key();
    let Ok(json) = serde_json::to_vec(marker) else {
        return;
    };
    let (bytes, metadata) = (Bytes::from(json), BTreeMap::new());
    if let Err(error) = job.store.put(&marker_key, bytes, &metadata).await {
        // The object is complete and pinned. Without the marker, it is only downloaded again after a restart.
        tracing::warn!(%error, "failed to write the marker of a transfer");
    }
}

impl Marker {
    fn transferred(&self, key: &TransferKey, bucket: &str) -> Option<Transferred> {
        Some(Transferred {
            sha256: Sha256::from_hex(&self.sha256)?,
            size: self.size,
            location: StoreLocation {
                account: key.account.clone(),
                region: key.region.clone(),
                bucket: bucket.to_owned(),
                key: key.object_key(),
                version_id: self.version_id.clone(),
            },
            archive: self.archive.clone(),
            archive_problem: self.archive_problem.clone(),
        })
    }
}

fn check_limit(key: &TransferKey, size: Option<u64>, limit: u64) -> Result<(), CallError> {
    match size {
        Some(size) if size > limit => Err(too_large(key, &format!("{size} bytes"), limit)),
        _ => Ok(()),
    }
}

fn too_large(key: &TransferKey, size: &str, limit: u64) -> CallError {
    key.error(
        CallErrorKind::TooLarge,
        format!("{size}, more than the limit of {limit} bytes"),
    )
}

/// Measures the bytes as they pass.
struct Meter {
    key: TransferKey,
    hasher: Hasher,
    tail: Tail,
    pace: Pace,
    expected: Option<u64>,
    limit: u64,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    end: End,
}

enum End {
    Inconclusive,
    Reached,
    Failed(CallError),
}

impl Meter {
    fn pass(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        self.hasher.update(bytes);
        self.tail.push(bytes);
        let total = self.tail.total();
        self.progress.bytes.store(total, Ordering::Relaxed);
        self.metrics.transferred_in(bytes.len() as u64);
        if total > self.limit {
            let size = format!("at least {total} bytes");
            return Err(too_large(&self.key, &size, self.limit));
        }
        match self.expected {
            Some(expected) if total > expected => Err(self.key.error(
                CallErrorKind::Corrupt,
                format!("longer than declared: at least {total} bytes instead of {expected}"),
            )),
            _ => Ok(()),
        }
    }

    fn complete(&self) -> Result<(), CallError> {
        let total = self.tail.total();
        match self.expected {
            Some(expected) if total < expected => Err(self.key.error(
                CallErrorKind::Corrupt,
                format!("cut off after {total} of {expected} bytes"),
            )),
            _ => Ok(()),
        }
    }

    fn take(&mut self) -> (Hasher, Tail, End) {
        (
            std::mem::take(&mut self.hasher),
            std::mem::take(&mut self.tail),
            std::mem::replace(&mut self.end, End::Inconclusive),
        )
    }
}

/// The same bytes, measured. A stream that ends too early or too late fails, so that the upload is aborted
/// and no object becomes visible.
fn metered(body: ByteStream, meter: Arc<Mutex<Meter>>) -> ByteStream {
    stream::unfold(Some((body, meter)), |state| async move {
        let (mut body, meter) = state?;
        let next = next(&mut body, &meter).await;
        let result = {
            let mut meter = lock(&meter);
            let result = match next {
                Some(Ok(bytes)) => meter.pass(&bytes).map(|()| Some(bytes)),
                Some(Err(error)) => Err(error),
                None => meter.complete().map(|()| None),
            };
            match &result {
                Ok(Some(_)) => {}
                Ok(None) => meter.end = End::Reached,
                Err(error) => meter.end = End::Failed(error.clone()),
            }
            result
        };
        match result {
            Ok(Some(bytes)) => Some((Ok(bytes), Some((body, meter)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// The next bytes, unless they come too slowly or no Deployment asks for them any more.
async fn next(body: &mut ByteStream, meter: &Mutex<Meter>) -> Option<Result<Bytes, CallError>> {
    let stop = lock(meter).progress.stop.clone();
    loop {
        let started = Instant::now();
        let patience = lock(meter).pace.patience(started);
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Some(Err(lock(meter).key.unrequested())),
            next = timeout(patience, body.next()) => next,
        };
        let bytes = match &next {
            Ok(Some(Ok(bytes))) => bytes.len(),
            // The pace of a download that ended or failed does not matter.
            Ok(_) => return next.ok().flatten(),
            Err(_) => 0,
        };
        let (mut meter, now) = (lock(meter), Instant::now());
        if let Err(problem) = meter.pace.waited(now - started, bytes, now) {
            let total = meter.tail.total() + bytes as u64;
            let message = format!("{problem}; {total} bytes have arrived");
            return Some(Err(meter.key.error(CallErrorKind::Unavailable, message)));
        }
        if let Ok(next) = next {
            return next;
        }
    }
}

fn lock(meter: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}
