//! Uploads a stream into one object, in constant memory.
//!
//! One part is filled while at most two are in flight, and the next part reuses the memory of a sent one:
//! three parts, 15 MiB, allocated once for each upload. New buffers for every part would cost a multiple,
//! because the allocator keeps freed ones for each thread.
//!
//! # Guarantees
//! - Nothing of an upload is visible before its end.
//! - Any early end, a dropped future included, aborts the upload, so that no parts are left to be paid for.
//!   The calls that begin it and send its parts run as tasks of their own, and the abort waits for them: S3
//!   may still execute an abandoned call, and a part that arrives after the abort would stay.
//!
//! The bucket's lifecycle rule removes the uploads of a process that dies, and those of which the response to
//! `CreateMultipartUpload` was lost, because only that has the id.

use std::{collections::BTreeMap, mem};

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{Fuse, FuturesOrdered},
};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::task::TaskTracker;

use super::bucket::{CHECKSUM, S3Store, version_id};
use crate::{
    adapters::aws::{errors::Call, fence::fenced},
    ports::{
        CallError, CallErrorKind,
        store::{ByteStream, Store as _},
    },
};

/// Size of every part but the last: the least that S3 takes. With S3's limit of 10,000 parts, this is enough
/// for 48 GiB, far above the limit of a copy within S3, and so of an artifact.
const PART: usize = 5 * 1024 * 1024;
/// The most parts in flight.
const IN_FLIGHT: usize = 2;
/// S3's limit.
const MAX_PARTS: i32 = 10_000;

pub(super) async fn upload(
    store: &S3Store,
    key: &str,
    body: ByteStream,
    metadata: &BTreeMap<String, String>,
) -> Result<String, CallError> {
    let mut parts = Parts::of(fenced(body, &store.fence));
    let first = parts.next(BytesMut::new()).await?.unwrap_or_default();
    if first.len() < PART {
        return store.put(key, first, metadata).await;
    }
    let upload = Multipart::begin(store, key, metadata).await?;
    let done = upload.send(first, &mut parts).await?;
    upload.complete(done).await
}

/// Cuts a stream into parts, whatever the sizes of its pieces.
struct Parts {
    /// Fused: after a last part that is not full, the stream is polled once more.
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

    /// The next part: full, or the last; `None` after that. It overwrites `part`.
    async fn next(&mut self, mut part: BytesMut) -> Result<Option<Bytes>, CallError> {
        part.clear();
        loop {
            if self.left.is_empty() {
                match self.body.next().await.transpose()? {
                    Some(piece) => self.left = piece,
                    None if part.is_empty() => return Ok(None),
                    None => return Ok(Some(part.freeze())),
                }
            }
            // Reserved at once: growing by doubling would take twice the part.
            part.reserve(PART - part.len());
            let room = PART - part.len();
            let taken = self.left.split_to(room.min(self.left.len()));
            part.extend_from_slice(&taken);
            if part.len() == PART {
                return Ok(Some(part.freeze()));
            }
        }
    }
}

/// A sent part, and its memory.
struct Sent {
    part: CompletedPart,
    memory: Bytes,
}

/// A multipart upload in progress; aborted when dropped before [`Multipart::complete`].
struct Multipart {
    store: S3Store,
    key: String,
    /// Empty if there is nothing to abort.
    id: String,
    /// The parts that S3 may still be receiving.
    sending: TaskTracker,
    runtime: Handle,
}

impl Multipart {
    /// Continues if its future is dropped; the upload is aborted then.
    async fn begin(
        store: &S3Store,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, CallError> {
        let call = store.write("s3:CreateMultipartUpload", key);
        let (store, key, metadata) = (store.clone(), key.to_owned(), metadata.clone());
        let begun = tokio::spawn({
            let call = call.clone();
            async move {
                let request = store
                    .client
                    .create_multipart_upload()
                    .bucket(&store.bucket)
                    .key(&key)
                    .expected_bucket_owner(&store.owner)
                    .set_metadata(Some(metadata.into_iter().collect()))
                    .checksum_algorithm(CHECKSUM)
                    .send();
                let answer = store.verified.sent(&call, request).await?;
                let id = answer
                    .upload_id
                    .ok_or_else(|| call.unusable("the answer has no upload id"))?;
                Ok(Self {
                    store,
                    key,
                    id,
                    sending: TaskTracker::new(),
                    runtime: Handle::current(),
                })
            }
        });
        ended(&call, begun).await
    }

    async fn send(&self, first: Bytes, parts: &mut Parts) -> Result<Vec<CompletedPart>, CallError> {
        let mut number = 1;
        let mut in_flight = FuturesOrdered::from_iter([self.part(number, first)]);
        let (mut done, mut free) = (Vec::new(), Vec::new());
        let mut arrived = |sent: Sent, free: &mut Vec<Bytes>| {
            done.push(sent.part);
            free.push(sent.memory);
        };
        loop {
            // Parts are sent while the next one fills; a failed part ends the upload at once.
            let next = {
                let memory = free.pop().and_then(|sent: Bytes| sent.try_into_mut().ok());
                let filling = parts.next(memory.unwrap_or_default());
                tokio::pin!(filling);
                loop {
                    tokio::select! {
                        Some(sent) = in_flight.next(), if !in_flight.is_empty() => {
                            arrived(sent?, &mut free);
                        }
                        next = &mut filling => break next?,
                    }
                }
            };
            let Some(part) = next else { break };
            while in_flight.len() >= IN_FLIGHT
                && let Some(sent) = in_flight.try_next().await?
            {
                arrived(sent, &mut free);
            }
            number += 1;
            if number > MAX_PARTS {
                let call = self.store.write("s3:UploadPart", &self.key);
                let message = format!("more than {MAX_PARTS} parts of {PART} bytes");
                return Err(call.error(CallErrorKind::TooLarge, message));
            }
            in_flight.push_back(self.part(number, part));
        }
        while let Some(sent) = in_flight.try_next().await? {
            arrived(sent, &mut free);
        }
        Ok(done)
    }

    fn part(&self, number: i32, bytes: Bytes) -> BoxFuture<'static, Result<Sent, CallError>> {
        let call = self.store.write("s3:UploadPart", &self.key);
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
            .body(bytes.clone().into())
            .send();
        let verified = self.store.verified.clone();
        let sent = self.sending.spawn({
            let call = call.clone();
            async move {
                let answer = verified.sent(&call, request).await?;
                let part = CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(answer.e_tag)
                    .set_checksum_crc32(answer.checksum_crc32)
                    .build();
                Ok(Sent {
                    part,
                    memory: bytes,
                })
            }
        });
        Box::pin(async move { ended(&call, sent).await })
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
            .set_if_none_match(store.only_new())
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
        if id.is_empty() {
            return;
        }
        let (store, key) = (self.store.clone(), mem::take(&mut self.key));
        let sending = self.sending.clone();
        sending.close();
        self.runtime.spawn(async move {
            sending.wait().await;
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

/// The result of a task; a panic or a cancellation becomes an error of its call.
async fn ended<T>(call: &Call, task: JoinHandle<Result<T, CallError>>) -> Result<T, CallError> {
    let unknown = |error: tokio::task::JoinError| {
        call.unusable(if error.is_panic() {
            "a part of the upload failed because of a defect in Sluice: please report it; the log has more"
        } else {
            "the upload was interrupted: the controller is stopping"
        })
    };
    task.await.unwrap_or_else(|error| Err(unknown(error)))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    async fn cut(pieces: Vec<usize>) -> Vec<usize> {
        // Unlike an iterator's stream, this one must not be polled again after its end.
        let body = stream::unfold(pieces.into_iter(), |mut pieces| async move {
            let size = pieces.next()?;
            Some((Ok(Bytes::from(vec![7; size])), pieces))
        });
        let mut parts = Parts::of(body.boxed());
        let mut sizes = Vec::new();
        let mut memory = BytesMut::new();
        while let Some(part) = parts.next(memory).await.expect("no errors here") {
            sizes.push(part.len());
            memory = part.try_into_mut().expect("the only owner");
        }
        sizes
    }

    #[tokio::test]
    async fn parts_are_full_for_all_chunk_sizes() {
        assert_eq!(cut(vec![]).await, [0; 0]);
        assert_eq!(cut(vec![3, 0, 4]).await, [7]);
        assert_eq!(cut(vec![PART]).await, [PART]);
        assert_eq!(cut(vec![PART + 1, 2 * PART]).await, [PART, PART, PART, 1]);
        assert_eq!(cut(vec![PART / 2 + 1; 5]).await, [PART, PART, PART / 2 + 5]);
    }

    #[tokio::test]
    async fn memory_of_a_sent_part_is_reused() {
        let piece = || Ok(Bytes::from(vec![7; PART / 3]));
        let mut parts = Parts::of(stream::repeat_with(piece).boxed());
        let mut next = async |memory| parts.next(memory).await.expect("a part").expect("a part");
        let first = next(BytesMut::new()).await;
        let address = first.as_ptr();
        let second = next(first.try_into_mut().expect("the only owner")).await;
        assert_eq!(second.as_ptr(), address);
        assert_eq!(second.len(), PART);
    }
}
