//! Blocks writes to AWS once another controller may be the leader.
//!
//! The last moment to check is after the request was signed, for each of the SDK's attempts, and before the
//! last byte of a body that streams. Only AWS can refuse what is on its way by then (docs/guarantees.md lists
//! the calls for which it does).

use aws_sdk_s3::config::{
    ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::{box_error::BoxError, client::orchestrator::Metadata};
use futures::{StreamExt as _, stream};

use crate::{
    fence::Fence,
    ports::{CallError, CallErrorKind, store::ByteStream},
};

/// The interceptor of clients that write.
#[derive(Debug)]
pub(super) struct Fenced(Fence);

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not sent: another controller may be the leader by now")]
pub(super) struct NotLeading;

impl Fenced {
    pub(super) fn new(fence: &Fence) -> Self {
        Self(fence.clone())
    }
}

impl Intercept for Fenced {
    fn name(&self) -> &'static str {
        "Fenced"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let reads = matches!(context.request().method(), "GET" | "HEAD");
        // An abort deletes only this upload's own, invisible parts, which would otherwise stay.
        let aborts = config
            .load::<Metadata>()
            .is_some_and(|of| of.name() == "AbortMultipartUpload");
        if reads || aborts || self.0.may_write() {
            Ok(())
        } else {
            Err(NotLeading.into())
        }
    }
}

/// A stream that ends in an error once the fence is closed, so that its object never becomes visible.
pub(super) fn fenced(body: ByteStream, fence: &Fence) -> ByteStream {
    let state = Some((body, fence.clone()));
    stream::unfold(state, |state| async move {
        let (mut body, fence) = state?;
        let piece = body.next().await;
        // Checked last: the end of the stream completes the object.
        if !fence.may_write() {
            let why = NotLeading.to_string();
            let error = CallError::new("s3:PutObject", "its body", CallErrorKind::Unavailable, why);
            return Some((Err(error), None));
        }
        match piece? {
            Ok(piece) => Some((Ok(piece), Some((body, fence)))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn closed_fence_ends_a_body_in_an_error() {
        let fence = Fence::open();
        let pieces = || stream::iter([Ok(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b"))]);
        let whole: Vec<Bytes> = fenced(pieces().boxed(), &fence)
            .try_collect()
            .await
            .expect("whole");
        assert_eq!(whole.concat(), b"ab");
        let mut body = fenced(pieces().boxed(), &fence);
        assert!(matches!(body.next().await, Some(Ok(_))));
        assert!(matches!(body.next().await, Some(Ok(_))));
        // All bytes were read, but not the end.
        fence.close();
        assert!(matches!(body.next().await, Some(Err(_))));
        assert!(body.next().await.is_none());
    }
}
