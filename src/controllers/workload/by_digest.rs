//! Objects of artifact buckets that are kept under their digest, so that all who need the same bytes share one.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    domain::digest::Sha256,
    ports::{
        CallError,
        store::{SHA256, Store},
    },
};

/// The metadata of an object with this digest.
pub fn metadata(digest: Sha256) -> BTreeMap<String, String> {
    BTreeMap::from([(SHA256.to_owned(), digest.to_string())])
}

/// The version of the object with this key and digest, if it exists.
pub async fn existing(
    store: &dyn Store,
    key: &str,
    digest: Sha256,
) -> Result<Option<String>, CallError> {
    let found = store.head(key).await?;
    let same = found.filter(|it| it.metadata.get(SHA256) == Some(&digest.to_string()));
    Ok(same.map(|object| object.version_id))
}

/// Puts an object with this key and digest, unless it exists; returns its version.
pub async fn put(
    store: &dyn Store,
    key: &str,
    digest: Sha256,
    bytes: Bytes,
) -> Result<String, CallError> {
    match existing(store, key, digest).await? {
        Some(version_id) => Ok(version_id),
        None => store.put(key, bytes, &metadata(digest)).await,
    }
}
