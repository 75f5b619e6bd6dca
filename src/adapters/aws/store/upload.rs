//! A stream into one object, in constant memory.
//!
//! One part is filled while at most two are on their way: 24 MiB. Nothing of an upload is visible
//! before its end; whatever ends it early, a dropped future included, aborts it, so that no parts
//! are left to be paid for. (A process that dies leaves them to the bucket's lifecycle rule.)

use std::{collections::BTreeMap, mem};

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{Fuse, FuturesOrdered},
};
use tokio::runtime::Handle;

use super::{CHECKSUM, S3Store, version_id};
use crate::ports::{
    CallError, CallErrorKind,
    store::{ByteStream, Store as _},
};

/// Size of every part but the last.
const PART: usize = 8 * 1024 * 1024;
/// Parts on their way.
const IN_FLIGHT: usize = 2;
/// S3's limit.
const MOST_PARTS: i32 = 10_000;

pub(super) async fn upload(
    store: &S3Store,
    key: &str,
    body: ByteStream,
    metadata: &BTreeMap<String, String>,
) -> Result<String, CallError> {
    let mut parts = Parts::of(body);
    let first = parts.next().await?.unwrap_or_default();
    if first.len() < PART {
        return store.put(key, first, metadata).await;
    }
    let upload = Multipart::begin(store, key, metadata).await?;
    let done = upload.send(first, &mut parts).await?;
    upload.complete(done).await
}

/// Cuts a stream into parts, whatever the sizes of its pieces.
struct Parts {
    /// Fused: after a last part that is not full, its end is asked for once more.
    body: Fuse<ByteStream>,
    left: Bytes,
}

impl Parts {
    fn of(body: ByteStream) -> Self {
        Self {
            body: body.fuse(),
            left: Bytes::new(),
        }
    }

    /// The next part: full, or the last; `None` after that.
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let mut part = BytesMut::new();
        loop {
            let room = PART - part.len();
            let taken = self.left.split_to(room.min(self.left.len()));
            part.extend_from_slice(&taken);
            if part.len() == PART {
                return Ok(Some(part.freeze()));
            }
            match self.body.next().await.transpose()? {
                // All of it at once from here on: growing by doubling would hold twice the part.
                Some(piece) => {
                    part.reserve(PART - part.len());
                    self.left = piece;
                }
                None if part.is_empty() => return Ok(None),
                None => return Ok(Some(part.freeze())),
            }
        }
    }
}

/// A multipart upload under way; aborted when dropped before [`Multipart::complete`].
struct Multipart {
    store: S3Store,
    key: String,
    /// Empty when there is nothing to abort any more.
    id: String,
}

impl Multipart {
    async fn begin(
        store: &S3Store,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, CallError> {
        let call = store.write("s3:CreateMultipartUpload", key);
        let request = store
            .client
            .create_multipart_upload()
            .bucket(&store.bucket)
            .key(key)
            .expected_bucket_owner(&store.owner)
            .set_metadata(Some(metadata.clone().into_iter().collect()))
            .checksum_algorithm(CHECKSUM)
            .send();
        let answer = store.verified.sent(&call, request).await?;
        let id = answer
            .upload_id
            .ok_or_else(|| call.unusable("the answer has no upload id"))?;
        Ok(Self {
            store: store.clone(),
            key: key.to_owned(),
            id,
        })
    }

    async fn send(&self, first: Bytes, parts: &mut Parts) -> Result<Vec<CompletedPart>, CallError> {
        let mut number = 1;
        let mut on_their_way = FuturesOrdered::from_iter([self.part(number, first)]);
        let mut done = Vec::new();
        loop {
            // Parts go out while the next one fills; a failed one ends it at once.
            let next = {
                let filling = parts.next();
                tokio::pin!(filling);
                loop {
                    tokio::select! {
                        sent = on_their_way.try_next(), if !on_their_way.is_empty() => {
                            done.extend(sent?);
                        }
                        next = &mut filling => break next?,
                    }
                }
            };
            let Some(part) = next else { break };
            while on_their_way.len() >= IN_FLIGHT {
                done.extend(on_their_way.try_next().await?);
            }
            number += 1;
            if number > MOST_PARTS {
                let call = self.store.write("s3:UploadPart", &self.key);
                let message = format!("more than {MOST_PARTS} parts of {PART} bytes");
                return Err(call.error(CallErrorKind::TooLarge, message));
            }
            on_their_way.push_back(self.part(number, part));
        }
        while let Some(part) = on_their_way.try_next().await? {
            done.push(part);
        }
        Ok(done)
    }

    fn part(&self, number: i32, bytes: Bytes) -> BoxFuture<'_, Result<CompletedPart, CallError>> {
        let call = self.store.write("s3:UploadPart", &self.key);
        Box::pin(async move {
            let request = self
                .store
                .client
                .upload_part()
                .bucket(&self.store.bucket)
                .key(&self.key)
                .upload_id(&self.id)
                .part_number(number)
                .expected_bucket_owner(&self.store.owner)
                .checksum_algorithm(CHECKSUM)
                .body(bytes.into())
                .send();
            let answer = self.store.verified.sent(&call, request).await?;
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(answer.e_tag)
                .set_checksum_crc32(answer.checksum_crc32)
                .build())
        })
    }

    async fn complete(mut self, parts: Vec<CompletedPart>) -> Result<String, CallError> {
        let store = self.store.clone();
        let call = store.write("s3:CompleteMultipartUpload", &self.key);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let request = store
            .client
            .complete_multipart_upload()
            .bucket(&store.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .expected_bucket_owner(&store.owner)
            .multipart_upload(parts)
            .send();
        let answer = store.verified.sent(&call, request).await?;
        self.id.clear();
        version_id(&call, answer.version_id)
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        let id = mem::take(&mut self.id);
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if id.is_empty() {
            return;
        }
        let (store, key) = (self.store.clone(), mem::take(&mut self.key));
        runtime.spawn(async move {
            let call = store.write("s3:AbortMultipartUpload", &key);
            let request = store
                .client
                .abort_multipart_upload()
                .bucket(&store.bucket)
                .key(&key)
                .upload_id(&id)
                .expected_bucket_owner(&store.owner)
                .send();
            if let Err(error) = store.verified.sent(&call, request).await {
                tracing::warn!(%error, "an upload was not aborted; the bucket's lifecycle rule will do it");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    async fn cut(pieces: Vec<usize>) -> Vec<usize> {
        // Unlike an iterator's stream, this one must not be asked again after its end.
        let body = stream::unfold(pieces.into_iter(), |mut pieces| async move {
            let size = pieces.next()?;
            Some((Ok(Bytes::from(vec![7; size])), pieces))
        });
        let mut parts = Parts::of(body.boxed());
        let mut sizes = Vec::new();
        while let Some(part) = parts.next().await.expect("no errors here") {
            sizes.push(part.len());
        }
        sizes
    }

    #[tokio::test]
    async fn parts_are_full_whatever_the_pieces() {
        assert_eq!(cut(vec![]).await, [0; 0]);
        assert_eq!(cut(vec![3, 0, 4]).await, [7]);
        assert_eq!(cut(vec![PART]).await, [PART]);
        assert_eq!(cut(vec![PART + 1, 2 * PART]).await, [PART, PART, PART, 1]);
        assert_eq!(
            cut(vec![5 * 1024 * 1024; 4]).await,
            [PART, PART, 4 * 1024 * 1024]
        );
    }
}
