//! Objects in users' buckets in one account and region.
//!
//! The adapter never retries writes and deletions. Each carries a condition, so that a late one fails:
//! with [`super::CallErrorKind::Stale`] if the object is not the expected one, with
//! [`super::CallErrorKind::Busy`] if S3 could not decide because of a concurrent write. Every call states
//! the bucket's owner: a bucket of another account is [`super::CallErrorKind::Denied`]. The adapter
//! refuses, without a call, a bucket that the grants don't name and an artifact bucket.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    CallError,
    store::{ByteStream, StoredObject},
};
use crate::domain::workload::s3::site::{Condition, Deletion, Listed, ObjectHead, Served};

/// One page of a listing, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most 1,000, in the order of their keys.
    pub objects: Vec<(String, Listed)>,
    /// The token of the next page; `None` after the last.
    pub next: Option<String>,
}

/// An object to put.
pub struct NewObject {
    /// The exact number of bytes.
    pub size: u64,
    /// The bytes. They are read only once the call is made. An error in the stream ends the call, and
    /// nothing becomes visible.
    pub body: ByteStream,
    /// The headers that the object is served with.
    pub served: Served,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// Users' buckets in one account and region, under one grant.
#[async_trait]
pub trait Sites: Send + Sync {
    /// `ListObjectsV2`: the objects whose keys begin with `prefix`, a page at a time.
    async fn list(&self, bucket: &str, prefix: &str, page: Option<&str>)
    -> Result<Page, CallError>;

    /// `HeadObject`; `None` if the key does not exist.
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>, CallError>;

    /// `PutObject` if the condition holds; returns the ETag. The adapter reads small bodies completely
    /// before it sends them, and streams larger ones.
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        object: NewObject,
        condition: &Condition,
    ) -> Result<String, CallError>;

    /// `CopyObject` of the object with this ETag into the artifact bucket, with all its metadata. An
    /// existing copy under `to` counts as the same, so the name has to identify the content.
    async fn keep(
        &self,
        bucket: &str,
        key: &str,
        etag: &str,
        size: u64,
        to: &str,
    ) -> Result<StoredObject, CallError>;

    /// `CopyObject` from the artifact bucket, with all its metadata, if the condition holds; returns the
    /// ETag.
    async fn restore(
        &self,
        from: &StoredCopy<'_>,
        bucket: &str,
        key: &str,
        condition: &Condition,
    ) -> Result<String, CallError>;

    /// `DeleteObjects`, each if it still has its ETag; returns the results in order. An object that no
    /// longer exists counts as deleted. `prefix` is prepended to the paths.
    async fn delete(
        &self,
        bucket: &str,
        prefix: &str,
        objects: &[Deletion],
    ) -> Result<Vec<Result<(), CallError>>, CallError>;
}

/// A copy in the artifact bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCopy<'a> {
    /// Key of the copy.
    pub key: &'a str,
    /// Version of the copy.
    pub version_id: &'a str,
    /// Size in bytes.
    pub size: u64,
}
