//! The records of an S3 location in the Target's artifact bucket: manifests and snapshots, each under its
//! digest.

use bytes::Bytes;

use super::waves::Waves;
use crate::{
    controllers::workload::by_digest,
    domain::{
        digest::Sha256,
        workload::s3::site::{SiteManifest, SiteSnapshot, StoredRef, copy_key},
    },
    ports::{CallError, CallErrorKind, store::Store},
};

/// Larger than any manifest or snapshot: 20,000 files with a key of a KiB each.
pub(super) const MOST: u64 = 64 << 20;

/// Stores a record, unless it exists.
pub(super) async fn store(
    store: &dyn Store,
    base: &str,
    text: Bytes,
) -> Result<StoredRef, CallError> {
    let digest = Sha256::of(&text);
    let key = format!("{base}/{digest}.json");
    let version_id = by_digest::put(store, &key, digest, text).await?;
    Ok(StoredRef {
        key,
        version_id,
        sha256: digest.to_string(),
    })
}

pub(super) async fn manifest(
    store: &dyn Store,
    reference: &StoredRef,
) -> Result<SiteManifest, CallError> {
    let text = load(store, reference, "the manifest of the site").await?;
    SiteManifest::read(&text).map_err(|why| unusable(store, reference, why))
}

pub(super) async fn snapshot(
    store: &dyn Store,
    reference: &StoredRef,
) -> Result<SiteSnapshot, CallError> {
    let text = load(store, reference, "the snapshot").await?;
    SiteSnapshot::read(&text).map_err(|why| unusable(store, reference, why))
}

/// Deletes a record that nothing refers to any more.
pub async fn discard(store: &dyn Store, reference: &StoredRef) -> Result<(), CallError> {
    store.delete(&reference.key, &reference.version_id).await
}

/// Deletes a snapshot that no rollback needs, its copies first. `records` is the key prefix of the S3
/// location's records.
pub async fn discard_snapshot(
    waves: &Waves,
    store: &dyn Store,
    records: &str,
    reference: &StoredRef,
) -> Result<(), CallError> {
    let snapshot = snapshot(store, reference).await?;
    let below = format!("{records}/{}", snapshot.copies);
    let copies = snapshot.kept.iter().map(|(path, kept)| {
        let key = copy_key(&below, &snapshot.location, path, &kept.etag, kept.modified);
        (key, kept.version_id.clone())
    });
    let delete =
        |(key, version): (String, String)| async move { store.delete(&key, &version).await };
    let (_, failed) = waves.all(copies.collect(), delete).await;
    match failed.into_iter().next() {
        Some(error) => Err(error),
        None => discard(store, reference).await,
    }
}

async fn load(store: &dyn Store, reference: &StoredRef, what: &str) -> Result<Bytes, CallError> {
    let text = store
        .get(&reference.key, Some(&reference.version_id), MOST)
        .await?;
    let Some(text) = text else {
        let why = format!("{what} was removed from the artifact bucket");
        return Err(failed(store, reference, CallErrorKind::NotFound, why));
    };
    if Sha256::of(&text).to_string() == reference.sha256 {
        return Ok(text);
    }
    let why = format!("{what} is not the one that was stored: its digest differs");
    Err(unusable(store, reference, why))
}

fn unusable(store: &dyn Store, reference: &StoredRef, why: String) -> CallError {
    failed(store, reference, CallErrorKind::Invalid, why)
}

fn failed(store: &dyn Store, reference: &StoredRef, kind: CallErrorKind, why: String) -> CallError {
    let resource = format!("{}/{}", store.bucket(), reference.key);
    CallError::new("s3:GetObject", resource, kind, why)
}
