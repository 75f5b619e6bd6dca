//! Snapshots and long plans in the Target's folder of the artifact bucket.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    api::v1alpha1::{PlannedChange, SnapshotRef, StoredRef, StoredSnapshot, TargetStatus},
    controllers::{access::Access, context::Context, workload},
    domain::{digest::Sha256, workload::snapshot::Snapshot},
    ports::{CallError, CallErrorKind, store::SHA256},
};

/// The key prefix of plans.
const PLANS: &str = "plans";

/// Larger than any snapshot: 100 functions with 4 KiB of environment each.
const MAX_SNAPSHOT: u64 = 4 * 1024 * 1024;

/// Stores the changes of a plan.
pub async fn store_plan(
    access: &Access,
    changes: &[PlannedChange],
) -> Result<StoredRef, CallError> {
    store_text(access, PLANS, &changes).await
}

/// Stores a snapshot with everything that a restore needs.
pub async fn store_snapshot(
    context: &Context,
    access: &Access,
    snapshot: &Snapshot,
) -> Result<SnapshotRef, CallError> {
    for component in &snapshot.components {
        workload::keep(context, access, component).await?;
    }
    let stored = store_text(access, "snapshots", snapshot).await?;
    Ok(SnapshotRef {
        key: stored.key,
        version_id: stored.version_id,
        sha256: stored.sha256,
        release: None,
    })
}

/// Loads the snapshot of the run and verifies its digest.
pub async fn load_snapshot(
    access: &Access,
    status: &TargetStatus,
) -> Result<(SnapshotRef, Snapshot), CallError> {
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
    let snapshot = serde_json::from_slice(&text).map_err(|error| {
        let why = format!(
            "this version of Sluice can't read the snapshot ({error}): let the version that wrote it finish the run"
        );
        failed(&reference.key, CallErrorKind::Invalid, why)
    })?;
    Ok((reference.clone(), snapshot))
}

/// Deletes a plan or snapshot that nothing needs, with everything kept for it.
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
    for component in snapshot.unwrap_or_default().components {
        workload::discard(context, access, &component).await?;
    }
    access.store.delete(&it.key, &it.version_id).await
}

/// Stores `what` as JSON in the artifact bucket.
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

async fn text(access: &Access, key: &str, version: &str) -> Result<Option<Bytes>, CallError> {
    let store = &access.store;
    store.get(key, Some(version), MAX_SNAPSHOT).await
}
