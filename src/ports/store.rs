//! The artifact bucket of one account and region.

use std::{collections::BTreeMap, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::CallError;

/// Bytes on their way. An error inside ends the transfer; nothing of it becomes visible.
pub type ByteStream = BoxStream<'static, Result<Bytes, CallError>>;

/// The metadata that names an object's digest.
pub const SHA256: &str = "sha256";

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Pins exactly these bytes.
    pub version_id: String,
    /// Bytes.
    pub size: u64,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// The artifact bucket of one account and region. Objects are encrypted at rest by the bucket's
/// default; versioning is on (checked by the Account), so that a version id pins bytes for good.
#[async_trait]
pub trait Store: Send + Sync {
    /// The bucket's name.
    fn bucket(&self) -> &str;

    /// `HeadObject`; `None` where there is no such key.
    async fn head(&self, key: &str) -> Result<Option<StoredObject>, CallError>;

    /// `GetObject` of something small; `None` where there is no such key or version.
    /// [`super::CallErrorKind::TooLarge`] above `limit` bytes.
    async fn get(
        &self,
        key: &str,
        version_id: Option<&str>,
        limit: u64,
    ) -> Result<Option<Bytes>, CallError>;

    /// `GetObject` as a stream, with its size.
    async fn open(&self, key: &str, version_id: &str) -> Result<(u64, ByteStream), CallError>;

    /// `GetObject` of a range of bytes as a stream: exactly those, or an error inside.
    async fn open_range(
        &self,
        key: &str,
        version_id: &str,
        range: Range<u64>,
    ) -> Result<ByteStream, CallError>;

    /// `PutObject` of something small; answers with the version id.
    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        metadata: &BTreeMap<String, String>,
    ) -> Result<String, CallError>;

    /// A stream of any size: one `PutObject` where it is small, else a multipart upload, with at most
    /// 15 MiB in memory. Aborted on every error. Answers with the version id.
    async fn upload(
        &self,
        key: &str,
        body: ByteStream,
        metadata: &BTreeMap<String, String>,
    ) -> Result<String, CallError>;

    /// `DeleteObject` of one version. Fine where there is none.
    async fn delete(&self, key: &str, version_id: &str) -> Result<(), CallError>;

    /// What is wrong with the bucket, in words with the way out: versioning off, another region or
    /// owner, no rule that aborts incomplete multipart uploads. Empty where it is fit.
    async fn problems(&self, account_id: &str, region: &str) -> Result<Vec<String>, CallError>;
}
