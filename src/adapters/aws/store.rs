//! [`Store`] over the SDK.
//!
//! Every call states the bucket's owner, so that a bucket of that name in another account is never read or
//! written. The SDK retries all calls: a repeated write makes at most one more version, and Sluice reads only
//! versions that are pinned.

mod bucket;
mod checks;
mod client;
mod upload;

use std::{collections::BTreeMap, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;

use self::bucket::{CHECKSUM, version_id};
pub(super) use self::{bucket::S3Store, client::store_client};
use super::{
    body::{exactly, pieces},
    errors::Call,
};
use crate::ports::{
    CallError, CallErrorKind,
    store::{ByteStream, Store, StoredObject},
};

#[async_trait]
impl Store for S3Store {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn head(&self, key: &str) -> Result<Option<StoredObject>, CallError> {
        let call = self.read("s3:HeadObject", key);
        let request = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .expected_bucket_owner(&self.owner)
            .send();
        let answer = self.verified.sent(&call, request).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.kind == CallErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(StoredObject {
            version_id: version_id(&call, answer.version_id)?,
            size: size(&call, answer.content_length)?,
            metadata: answer.metadata.unwrap_or_default().into_iter().collect(),
        }))
    }

    async fn get(
        &self,
        key: &str,
        version_id: Option<&str>,
        limit: u64,
    ) -> Result<Option<Bytes>, CallError> {
        let call = self.read("s3:GetObject", key);
        let answer = match self.fetch(&call, key, version_id).await {
            Ok(answer) => answer,
            Err(error) if is_missing_object(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = size(&call, answer.content_length)?;
        if size > limit {
            let message = format!("it has {size} bytes, more than the limit of {limit}");
            return Err(call.error(CallErrorKind::TooLarge, message));
        }
        let mut body = exactly(call, size, pieces(answer.body));
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(Some(bytes.into()))
    }

    async fn open(&self, key: &str, version_id: &str) -> Result<(u64, ByteStream), CallError> {
        let call = self.read("s3:GetObject", key);
        let answer = self.fetch(&call, key, Some(version_id)).await?;
        let size = size(&call, answer.content_length)?;
        Ok((size, exactly(call, size, pieces(answer.body))))
    }

    async fn open_range(
        &self,
        key: &str,
        version_id: &str,
        range: Range<u64>,
    ) -> Result<ByteStream, CallError> {
        let call = self.read("s3:GetObject", key);
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return Ok(exactly(call, 0, futures::stream::empty()));
        };
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .version_id(version_id)
            .range(format!("bytes={}-{last}", range.start))
            .expected_bucket_owner(&self.owner)
            .send();
        let answer = self.verified.sent(&call, request).await?;
        // A server that does not support ranges, or lacks this one, would return other bytes.
        if answer.content_range().is_none() {
            return Err(call.unusable("the response has no Content-Range"));
        }
        Ok(exactly(call, range.end - range.start, pieces(answer.body)))
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        metadata: &BTreeMap<String, String>,
    ) -> Result<String, CallError> {
        let call = self.write("s3:PutObject", key);
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .expected_bucket_owner(&self.owner)
            .set_metadata(Some(metadata.clone().into_iter().collect()))
            .set_if_none_match(self.only_new())
            .checksum_algorithm(CHECKSUM)
            .body(bytes.into())
            .send();
        let answer = self.verified.sent(&call, request).await?;
        version_id(&call, answer.version_id)
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<String, CallError> {
        let store = self.clone().without_replacing();
        store.put(key, bytes, &BTreeMap::new()).await
    }

    async fn upload(
        &self,
        key: &str,
        body: ByteStream,
        metadata: &BTreeMap<String, String>,
    ) -> Result<String, CallError> {
        upload::upload(self, key, body, metadata).await
    }

    async fn delete(&self, key: &str, version_id: &str) -> Result<(), CallError> {
        let call = self.write("s3:DeleteObject", key);
        let request = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .version_id(version_id)
            .expected_bucket_owner(&self.owner)
            .send();
        let answer = self.verified.sent(&call, request).await;
        match answer {
            Err(error) if !is_missing_object(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn problems(&self, account_id: &str, region: &str) -> Result<Vec<String>, CallError> {
        checks::problems(self, account_id, region).await
    }
}

/// A missing bucket is a failure; a missing object is a result.
fn is_missing_object(error: &CallError) -> bool {
    error.kind == CallErrorKind::NotFound && !error.message.contains("NoSuchBucket")
}

fn size(call: &Call, length: Option<i64>) -> Result<u64, CallError> {
    length
        .and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| call.unusable("the response has no object size"))
}
