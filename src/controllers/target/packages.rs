//! Packages, snapshots and long plans in the Target's artifact bucket.
//!
//! A package is kept under its digest, so that every Release and every snapshot that needs the same
//! bytes shares one object: `packages/<sha256>.zip`.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::StreamExt as _;
use kube::runtime::reflector::ObjectRef;
use serde::Serialize;

use super::{access::Access, places};
use crate::{
    api::v1alpha1::{
        PlannedChange, SnapshotRef, StoreLocation, StoredRef, StoredSnapshot, TargetStatus,
    },
    controllers::context::Context,
    domain::{
        desired::DesiredFunction,
        digest::{Hasher, Sha256},
        function::CodeLocation,
        machine::{LatestSnapshot, PACKAGES, Snapshot},
    },
    ports::{
        CallError, CallErrorKind,
        store::{ByteStream, Store, StoredObject},
    },
};

/// The metadata that names an object's digest.
const SHA256: &str = "sha256";

/// What the keys of plans begin with.
const PLANS: &str = "plans";

/// More than any snapshot: 100 functions with 4 KiB of environment each.
const MAX_SNAPSHOT: u64 = 4 * 1024 * 1024;

/// Has the package of a Release in the Target's bucket.
pub async fn copy(
    context: &Context,
    access: &Access,
    want: &DesiredFunction,
) -> Result<CodeLocation, CallError> {
    if let Some(there) = existing(access, want.code_sha256).await? {
        return Ok(there);
    }
    let package = open_in_hub(context, &want.package).await?;
    keep(context, access, want.code_sha256, package).await
}

/// Finds the package of a snapshot, which was kept when the snapshot was taken.
pub async fn find(access: &Access, digest: Sha256) -> Result<CodeLocation, CallError> {
    existing(access, digest).await?.ok_or_else(|| {
        CallError::new(
            "s3:GetObject",
            format!("{}/{}", access.store.bucket(), key(digest)),
            CallErrorKind::NotFound,
            "the package that stood before was removed from the artifact bucket",
        )
    })
}

/// Stores what a plan would change.
pub async fn store_plan(
    access: &Access,
    changes: &[PlannedChange],
) -> Result<StoredRef, CallError> {
    store_text(access, PLANS, &changes).await
}

/// Stores a snapshot with every package that it names.
pub async fn store_snapshot(
    context: &Context,
    access: &Access,
    snapshot: &Snapshot,
) -> Result<SnapshotRef, CallError> {
    for component in &snapshot.components {
        let Some(function) = component.function() else {
            continue;
        };
        let Some(digest) = function.latest.as_ref().and_then(LatestSnapshot::digest) else {
            continue;
        };
        if existing(access, digest).await?.is_none() {
            let package = access.functions.package(&function.function_name).await?;
            keep(context, access, digest, package).await?;
        }
    }
    let stored = store_text(access, "snapshots", snapshot).await?;
    Ok(SnapshotRef {
        key: stored.key,
        version_id: stored.version_id,
        sha256: stored.sha256,
        release: None,
    })
}

/// Stores this as JSON in the artifact bucket.
async fn store_text(
    access: &Access,
    kind: &str,
    what: &impl Serialize,
) -> Result<StoredRef, CallError> {
    let text = serde_json::to_vec(what).map_err(|error| {
        let (kind, why) = (CallErrorKind::Invalid, error.to_string());
        CallError::new("s3:PutObject", &access.folder, kind, why)
    })?;
    let digest = Sha256::of(&text);
    let key = format!("{kind}/{}/{digest}.json", access.folder);
    let metadata = BTreeMap::from([(SHA256.to_owned(), digest.to_string())]);
    let version_id = access.store.put(&key, Bytes::from(text), &metadata).await?;
    Ok(StoredRef {
        key,
        version_id,
        sha256: digest.to_string(),
    })
}

/// Loads the snapshot that the run refers to, and makes sure that it is the one that was stored.
pub async fn load_snapshot(access: &Access, status: &TargetStatus) -> Result<Snapshot, CallError> {
    let failed = |key: &str, kind, why: String| {
        CallError::new(
            "s3:GetObject",
            format!("{}/{key}", access.store.bucket()),
            kind,
            why,
        )
    };
    let Some(reference) = status.run.as_ref().and_then(|run| run.snapshot.as_ref()) else {
        return Err(failed(
            "",
            CallErrorKind::NotFound,
            "the run has no snapshot on record".to_owned(),
        ));
    };
    let text = text(access, &reference.key, &reference.version_id).await?;
    let Some(text) = text else {
        let why = "the snapshot was removed from the artifact bucket".to_owned();
        return Err(failed(&reference.key, CallErrorKind::NotFound, why));
    };
    if Sha256::of(&text).to_string() != reference.sha256 {
        let why = "the snapshot is not the one that was stored: its digest differs".to_owned();
        return Err(failed(&reference.key, CallErrorKind::Invalid, why));
    }
    serde_json::from_slice(&text).map_err(|error| {
        let why = format!(
            "this version of Sluice can't read the snapshot ({error}): let the version that wrote it finish the run"
        );
        failed(&reference.key, CallErrorKind::Invalid, why)
    })
}

/// Deletes a snapshot that nobody goes back to any more, and what was put aside with it.
pub async fn discard(
    context: &Context,
    access: &Access,
    it: &StoredSnapshot,
) -> Result<(), CallError> {
    let text = if it.key.starts_with(PLANS) {
        None
    } else {
        text(access, &it.key, &it.version_id).await?
    };
    let snapshot: Option<Snapshot> = text.and_then(|text| serde_json::from_slice(&text).ok());
    let components = snapshot.map(|snapshot| snapshot.components);
    for component in components.unwrap_or_default() {
        if let Some(place) = component.place() {
            places::discard(context, access, place).await?;
        }
    }
    access.store.delete(&it.key, &it.version_id).await
}

async fn text(access: &Access, key: &str, version: &str) -> Result<Option<Bytes>, CallError> {
    let store = &access.store;
    store.get(key, Some(version), MAX_SNAPSHOT).await
}

fn key(digest: Sha256) -> String {
    format!("{PACKAGES}/{digest}.zip")
}

fn location(access: &Access, digest: Sha256, version_id: String) -> CodeLocation {
    CodeLocation {
        bucket: access.store.bucket().to_owned(),
        key: key(digest),
        version_id,
    }
}

async fn existing(access: &Access, digest: Sha256) -> Result<Option<CodeLocation>, CallError> {
    let found = access.store.head(&key(digest)).await?;
    let same = |object: &StoredObject| object.metadata.get(SHA256) == Some(&digest.to_string());
    Ok(found
        .filter(same)
        .map(|object| location(access, digest, object.version_id)))
}

/// Keeps a package, refusing bytes that are not what the digest says.
async fn keep(
    context: &Context,
    access: &Access,
    digest: Sha256,
    (length, bytes): (u64, ByteStream),
) -> Result<CodeLocation, CallError> {
    let metadata = BTreeMap::from([(SHA256.to_owned(), digest.to_string())]);
    let version_id = access
        .store
        .upload(&key(digest), verified(bytes, digest), &metadata)
        .await?;
    context.metrics.transferred_out(length);
    Ok(location(access, digest, version_id))
}

async fn open_in_hub(
    context: &Context,
    at: &StoreLocation,
) -> Result<(u64, ByteStream), CallError> {
    let store = hub(context, at).await?;
    store.open(&at.key, &at.version_id).await
}

/// The bucket that keeps an artifact.
pub async fn hub(context: &Context, at: &StoreLocation) -> Result<Arc<dyn Store>, CallError> {
    let account = context
        .stores
        .accounts
        .get(&ObjectRef::new(&at.account))
        .ok_or_else(|| {
            CallError::new(
                "s3:GetObject",
                format!("{}/{}", at.bucket, at.key),
                CallErrorKind::NotFound,
                format!("Account {}, which keeps the artifact, is gone", at.account),
            )
        })?;
    context.cloud.store(&account, &at.region).await
}

/// Passes bytes on, and ends in an error if they turn out not to have the digest.
fn verified(bytes: ByteStream, digest: Sha256) -> ByteStream {
    let state = (bytes, Some(Hasher::default()));
    futures::stream::unfold(state, move |(mut bytes, hasher)| async move {
        let mut hasher = hasher?;
        match bytes.next().await {
            Some(Ok(piece)) => {
                hasher.update(&piece);
                Some((Ok(piece), (bytes, Some(hasher))))
            }
            Some(Err(error)) => Some((Err(error), (bytes, None))),
            None if hasher.finish() == digest => None,
            None => {
                let error = CallError::new(
                    "s3:PutObject",
                    key(digest),
                    CallErrorKind::Corrupt,
                    "the bytes are not those that the Release pinned: their digest differs",
                );
                Some((Err(error), (bytes, None)))
            }
        }
    })
    .boxed()
}
