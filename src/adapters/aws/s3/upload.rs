//! `PutObject` from a stream.
//!
//! A small body is read whole before anything is sent, so that S3 gets its checksum first and no connection
//! waits for its bytes. A larger one streams, and its checksum follows.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::{primitives::ByteStream as SdkStream, types::ChecksumAlgorithm};
use bytes::BytesMut;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{
    buckets::S3Sites,
    convert,
    writes::{headers, in_time},
};
use crate::{
    adapters::aws::{errors::Call, fence::fenced},
    domain::workload::s3::site::Condition,
    ports::{CallError, CallErrorKind, s3::NewObject, store::ByteStream},
};

/// Bodies up to this many bytes are read whole.
const SMALL: u64 = 256 << 10;

/// Computed by the SDK while sending, checked by S3.
const CHECKSUM: ChecksumAlgorithm = ChecksumAlgorithm::Crc32;

pub(super) async fn put(
    sites: &S3Sites,
    call: &Call,
    bucket: &str,
    key: &str,
    object: NewObject,
    condition: &Condition,
) -> Result<String, CallError> {
    let NewObject {
        size,
        body,
        served,
        metadata,
    } = object;
    let body = fenced(body, &sites.fence);
    // An error of the body ends the request, but the SDK does not report that error.
    let broken = Arc::new(Mutex::new(None));
    let body = if size <= SMALL {
        SdkStream::from(whole(call, size, body).await?)
    } else {
        streamed(body, Arc::clone(&broken))
    };
    let length = i64::try_from(size).unwrap_or(i64::MAX);
    let (if_match, if_none_match) = headers(condition);
    let request = sites
        .clients
        .writes
        .put_object()
        .bucket(bucket)
        .key(key)
        .content_length(length)
        .content_type(served.content_type)
        .set_content_encoding(served.content_encoding)
        .set_metadata(Some(metadata.into_iter().collect()))
        .set_if_match(if_match)
        .set_if_none_match(if_none_match)
        .checksum_algorithm(CHECKSUM)
        .expected_bucket_owner(sites.owner())
        .body(body)
        .send();
    let answer = in_time(call, size, sites.verified.sent(call, request)).await;
    let broken = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (answer, broken) {
        (Ok(answer), _) => convert::etag(call, answer.e_tag),
        (Err(_), Some(error)) | (Err(error), None) => Err(error),
    }
}

async fn whole(call: &Call, size: u64, mut body: ByteStream) -> Result<bytes::Bytes, CallError> {
    let mut bytes = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
    while let Some(piece) = body.try_next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > size {
            break;
        }
    }
    if bytes.len() as u64 == size {
        return Ok(bytes.freeze());
    }
    let message = format!("not sent: its source does not have the expected {size} bytes");
    Err(call.error(CallErrorKind::Corrupt, message))
}

/// reqwest's body is a stream of a type that the SDK takes. It is polled again after its end.
fn streamed(body: ByteStream, broken: Arc<Mutex<Option<CallError>>>) -> SdkStream {
    let noted = body.fuse().map(move |piece| {
        piece.map_err(|error| {
            let text = error.to_string();
            *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            // Only the text: a `CallError` inside the SDK's error is taken for one of the
            // credentials.
            std::io::Error::other(text)
        })
    });
    SdkStream::from_body_1_x(reqwest::Body::wrap_stream(noted))
}
