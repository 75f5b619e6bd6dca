//! Bodies of downloads: complete, or an error.

use aws_smithy_types::byte_stream;
use bytes::Bytes;
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};

use super::errors::{Call, causes};
use crate::ports::{CallError, CallErrorKind, store::ByteStream};

/// The chunks of an SDK body, with errors as text.
pub(super) fn pieces(
    body: byte_stream::ByteStream,
) -> impl Stream<Item = Result<Bytes, String>> + Send {
    stream::unfold(body, |mut body| async {
        let piece = body.next().await?;
        Some((piece.map_err(|error| causes(&error)), body))
    })
}

/// A download that ends in [`CallErrorKind::Corrupt`] unless it has exactly `size` bytes.
pub(super) fn exactly(
    call: Call,
    size: u64,
    pieces: impl Stream<Item = Result<Bytes, String>> + Send + 'static,
) -> ByteStream {
    let download = Download {
        pieces: pieces.boxed(),
        call,
        size,
        seen: 0,
    };
    // The stream ends after an error.
    let next = |download: Option<Download>| async move {
        let mut download = download?;
        match download.next().await {
            Ok(piece) => Some((Ok(piece?), Some(download))),
            Err(error) => Some((Err(error), None)),
        }
    };
    stream::unfold(Some(download), next).boxed()
}

struct Download {
    pieces: BoxStream<'static, Result<Bytes, String>>,
    call: Call,
    size: u64,
    seen: u64,
}

impl Download {
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let Self { size, seen, .. } = *self;
        let corrupt = match self.pieces.next().await {
            Some(Ok(piece)) => {
                self.seen += piece.len() as u64;
                if self.seen <= size {
                    return Ok(Some(piece));
                }
                format!("more than the announced {size} bytes")
            }
            Some(Err(cause)) => format!("cut off after {seen} of {size} bytes: {cause}"),
            None if seen == size => return Ok(None),
            None => format!("cut off after {seen} of {size} bytes"),
        };
        Err(self.call.error(CallErrorKind::Corrupt, corrupt))
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, TryStreamExt as _};

    use super::*;

    fn read(size: u64, pieces: Vec<Result<Bytes, String>>) -> Result<usize, CallErrorKind> {
        let call = Call::read("s3:GetObject", "s3://b/k");
        exactly(call, size, stream::iter(pieces))
            .try_fold(0, |sum, piece| async move { Ok(sum + piece.len()) })
            .now_or_never()
            .expect("nothing to wait for")
            .map_err(|error| error.kind)
    }

    #[test]
    fn download_has_exactly_its_announced_size() {
        let piece = || Ok(Bytes::from_static(b"abc"));
        assert_eq!(read(6, vec![piece(), piece()]), Ok(6));
        assert_eq!(read(0, vec![]), Ok(0));
        assert_eq!(read(7, vec![piece(), piece()]), Err(CallErrorKind::Corrupt));
        assert_eq!(read(5, vec![piece(), piece()]), Err(CallErrorKind::Corrupt));
        assert_eq!(
            read(6, vec![piece(), Err("reset".into())]),
            Err(CallErrorKind::Corrupt)
        );
    }
}
