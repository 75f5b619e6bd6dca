//! Zips in artifact buckets, read in parts.

mod unpack;

use std::{fmt, sync::Arc};

use futures::TryStreamExt as _;

pub use self::unpack::{Tape, Unpacking};
use crate::{
    domain::archive::{ZipEntry, directory_length, index},
    ports::{
        CallError, CallErrorKind,
        store::{ByteStream, Store},
    },
};

/// How much of the archive's end is read first: enough for most directories, and for any end record with the
/// longest comment.
pub(super) const FIRST: u64 = 80 << 10;

/// All bytes of a body that is known to be small.
pub async fn whole_body(body: ByteStream) -> Result<Vec<u8>, CallError> {
    body.try_fold(Vec::new(), |mut bytes, piece| async move {
        bytes.extend_from_slice(&piece);
        Ok(bytes)
    })
    .await
}

/// A zip in an artifact bucket.
#[derive(Clone)]
pub struct Archive {
    /// Its bucket.
    pub store: Arc<dyn Store>,
    /// Its key.
    pub key: String,
    /// The object's version.
    pub version_id: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its name in messages: the field, the artifact and its job.
    pub origin: String,
}

impl Archive {
    /// The entries, by the archive's directory.
    pub async fn entries(&self) -> Result<Vec<ZipEntry>, CallError> {
        let mut tail = self.tail(FIRST).await?;
        let length = directory_length(&tail, self.size).map_err(|why| self.unfit(why))?;
        if length > tail.len() as u64 {
            tail = self.tail(length).await?;
        }
        index(&tail, self.size).map_err(|why| self.unfit(why))
    }

    /// The bytes from `start` to `end`, to be read sequentially.
    pub async fn tape(&self, start: u64, end: u64) -> Result<Tape, CallError> {
        let body = self
            .store
            .open_range(&self.key, &self.version_id, start..end)
            .await?;
        Ok(Tape::new(&self.uri(), start, body))
    }

    /// Reads the last `length` bytes.
    async fn tail(&self, length: u64) -> Result<Vec<u8>, CallError> {
        let start = self.size.saturating_sub(length);
        let body = self
            .store
            .open_range(&self.key, &self.version_id, start..self.size)
            .await?;
        whole_body(body).await
    }

    /// Its address.
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.store.bucket(), self.key)
    }

    /// The error of an archive whose content is unsuitable.
    pub fn unfit(&self, problem: impl fmt::Display) -> CallError {
        let what = format!("{} ({})", self.origin, self.uri());
        CallError::new("unpack", what, CallErrorKind::Invalid, problem.to_string())
    }
}
