//! Counts every call to AWS, and converts its error to a [`CallError`].

use std::{error::Error, fmt, sync::Arc};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::errors::Call;
use crate::{
    adapters::counted::{Counted, outcome},
    metrics::Metrics,
    ports::CallError,
};

/// Counts calls. Clones count together.
#[derive(Clone)]
pub(super) struct Meter(Arc<Metrics>);

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }

    /// Makes a call whose operation has the form `service:Operation`.
    ///
    /// `request` is the future of the SDK's `send`, which sends nothing before it is polled.
    pub(super) fn sent<T, E>(
        &self,
        call: &Call,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    ) -> impl Future<Output = Result<T, CallError>> + Send
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        // The SDK's futures are large, and every future that awaits one would contain it.
        let request = Box::pin(request);
        let (service, operation) = call
            .operation
            .split_once(':')
            .unwrap_or(("", call.operation));
        async move {
            let counted = Counted::begin(|outcome, took| {
                self.0.aws_call(service, operation, outcome, took);
            });
            let answer = request.await.map_err(|error| call.failed(&error));
            counted.ended(outcome(&answer));
            answer
        }
    }
}
