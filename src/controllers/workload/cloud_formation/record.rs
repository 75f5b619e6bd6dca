//! The records of adopted stacks, in the Target's artifact bucket: the tags that name the owner.
//!
//! A record is created and never replaced, so that of two Deployments only one adopts a stack.

use std::collections::BTreeMap;

use crate::{
    controllers::access::Access,
    ports::{CallError, CallErrorKind},
};

/// The most bytes of a record: names in Kubernetes are short.
const SIZE: u64 = 4 << 10;

/// The record with this key, if there is one.
pub async fn read(
    access: &Access,
    key: &str,
) -> Result<Option<BTreeMap<String, String>>, CallError> {
    let Some(bytes) = access.store.get(key, None, SIZE).await? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let at = format!("s3://{}/{key}", access.store.bucket());
        let why = format!("it is no record of an adopted stack: {error}");
        CallError::new("s3:GetObject", at, CallErrorKind::Invalid, why)
    })
}

/// Writes a record, unless there is one: the next read of the stack shows whose it is.
pub async fn write(
    access: &Access,
    key: &str,
    owner: &BTreeMap<String, String>,
) -> Result<(), CallError> {
    let bytes = serde_json::to_vec(owner).unwrap_or_default();
    match access.store.create(key, bytes.into()).await {
        Err(error) if error.kind != CallErrorKind::Stale => Err(error),
        _ => Ok(()),
    }
}

/// Deletes a record.
pub async fn delete(access: &Access, key: &str) -> Result<(), CallError> {
    match access.store.head(key).await? {
        Some(found) => access.store.delete(key, &found.version_id).await,
        None => Ok(()),
    }
}
