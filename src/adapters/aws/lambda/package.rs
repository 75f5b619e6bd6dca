//! Downloads a function's package from Lambda's storage.

use futures::TryStreamExt as _;

use super::functions::LambdaFunctions;
use crate::{
    adapters::aws::{body::exactly, errors::causes},
    ports::{CallError, CallErrorKind, store::ByteStream},
};

impl LambdaFunctions {
    /// The URL is a secret for as long as it is valid, so no message contains it.
    pub(super) async fn download(
        &self,
        name: &str,
        location: &str,
    ) -> Result<(u64, ByteStream), CallError> {
        let call = self.read("download the package of", name);
        let unavailable = |error: reqwest::Error| {
            call.error(CallErrorKind::Unavailable, causes(&error.without_url()))
        };
        let answer = self
            .downloads
            .get(location)
            .send()
            .await
            .map_err(unavailable)?;
        let status = answer.status();
        if !status.is_success() {
            let kind = if status.is_server_error() {
                CallErrorKind::Unavailable
            } else {
                CallErrorKind::Denied
            };
            return Err(call.error(kind, format!("status {}", status.as_u16())));
        }
        let size = answer.content_length().ok_or_else(|| {
            call.error(CallErrorKind::Corrupt, "the response has no Content-Length")
        })?;
        let pieces = answer
            .bytes_stream()
            .map_err(|error| causes(&error.without_url()));
        Ok((size, exactly(call, size, pieces)))
    }
}
