//! The artifact bucket of one account and region.

use std::{collections::BTreeMap, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::CallError;

/// A stream of bytes. An error in it ends the transfer, of which nothing becomes visible.
pub type ByteStream = BoxStream<'static, Result<Bytes, CallError>>;

/// The metadata key of an object's digest.
pub const SHA256: &str = "sha256";

/// An existing object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// The version id, which pins exactly these bytes.
    pub version_id: String,
    /// Size in bytes.
    pub size: u64,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// The artifact bucket of one account and region. The bucket's default encrypts objects at rest;
/// versioning is on (the Account checks it), so that a version id pins bytes permanently.
#[async_trait]
pub trait Store: Send + Sync {
    /// The bucket's name.
    fn bucket(&self) -> &str;

    /// `HeadObject`; `None` if the key does not exist.
    async fn head(&self, key: &str) -> Result<Option<StoredObject>, CallError>;

    /// `GetObject` of a small object; `None` if the key or version does not exist.
    /// [`super::CallErrorKind::TooLarge`] above `limit` bytes.
    async fn get(
        &self,
        key: &str,
        version_id: Option<&str>,
        limit: u64,
    ) -> Result<Option<Bytes>, CallError>;

    /// `GetObject` as a stream, with its size.
    async fn open(&self, key: &str, version_id: &str) -> Result<(u64, ByteStream), CallError>;

    /// `GetObject` of a range of bytes as a stream: exactly those bytes, or an error in the stream.
    async fn open_range(
        &self,
        key: &str,
        version_id: &str,
        range: Range<u64>,
    ) -> Result<ByteStream, CallError>;

    /// `PutObject` of a small object; returns the version id.
    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        metadata: &BTreeMap<String, String>,
    ) -> Result<String, CallError>;

    /// `PutObject` of a small object that does not exist; [`super::CallErrorKind::Stale`] if it does.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<String, CallError>;

    /// Uploads a stream of any size: by one `PutObject` if it is small, otherwise by a multipart upload, with
    /// at most 15 MiB in memory. Aborts the upload on every error. Returns the version id.
    async fn upload(
        &self,
        key: &str,
        body: ByteStream,
        metadata: &BTreeMap<String, String>,
    ) -> Result<String, CallError>;

    /// `DeleteObject` of one version. Succeeds if it does not exist.
    async fn delete(&self, key: &str, version_id: &str) -> Result<(), CallError>;

    /// Messages about problems of the bucket, each with its remedy: versioning off, another region or
    /// owner, no rule that aborts incomplete multipart uploads. Empty if the bucket is suitable.
    async fn problems(&self, account_id: &str, region: &str) -> Result<Vec<String>, CallError>;
}
