//! Objects in users' buckets in one account and region.
//!
//! Writes and deletions are never retried by the adapter and carry a condition, so that a late one
//! finds it broken: [`super::CallErrorKind::Stale`] where something else stands there than was said,
//! [`super::CallErrorKind::Busy`] where S3 could not tell because of another write at the same moment.
//! Every call states the bucket's owner: a bucket of another account is
//! [`super::CallErrorKind::Denied`]. A bucket that the grants don't name, or that keeps artifacts, is
//! refused without asking.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    CallError,
    store::{ByteStream, StoredObject},
};
use crate::domain::workload::s3::site::{Condition, Deletion, Listed, ObjectHead, Served};

/// Objects as they are listed, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most 1,000, in the order of their keys.
    pub objects: Vec<(String, Listed)>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
}

/// An object to put.
pub struct NewObject {
    /// How many bytes, exactly.
    pub size: u64,
    /// The bytes. Nothing is read before the call is made; an error inside ends it, and nothing becomes
    /// visible.
    pub body: ByteStream,
    /// How it is served.
    pub served: Served,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// Buckets of users in one account and region, under one grant.
#[async_trait]
pub trait Sites: Send + Sync {
    /// `ListObjectsV2`: the objects whose keys begin with `prefix`, a page at a time.
    async fn list(&self, bucket: &str, prefix: &str, page: Option<&str>)
    -> Result<Page, CallError>;

    /// `HeadObject`; `None` where there is no such key.
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>, CallError>;

    /// `PutObject` if the condition holds; answers with the ETag. Small bodies are read whole before
    /// they are sent, larger ones stream.
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        object: NewObject,
        condition: &Condition,
    ) -> Result<String, CallError>;

    /// `CopyObject` of the object with this ETag into the artifact bucket, with all its metadata. A
    /// copy that is there under `to` already is taken for the same: the name has to say what of.
    async fn keep(
        &self,
        bucket: &str,
        key: &str,
        etag: &str,
        size: u64,
        to: &str,
    ) -> Result<StoredObject, CallError>;

    /// `CopyObject` from the artifact bucket, with all its metadata, if the condition holds; answers
    /// with the ETag.
    async fn put_back(
        &self,
        from: &StoredCopy<'_>,
        bucket: &str,
        key: &str,
        condition: &Condition,
    ) -> Result<String, CallError>;

    /// `DeleteObjects`, each if it still has its ETag: what came of each, in order. One that is gone
    /// is deleted. `prefix` goes before the paths.
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
    /// Its key.
    pub key: &'a str,
    /// Its version.
    pub version_id: &'a str,
    /// Bytes.
    pub size: u64,
}
