//! Notices every response that AWS throttled, also of reads that the SDK retries.

use std::sync::Arc;

use aws_sdk_lambda::config::{
    ConfigBag, Intercept, RuntimeComponents,
    interceptors::BeforeDeserializationInterceptorContextRef,
};
use aws_smithy_runtime_api::{box_error::BoxError, client::orchestrator::Metadata};

use super::{budget::Budget, errors::retry_after};

/// The interceptor of clients of Lambda's control plane.
#[derive(Debug)]
pub(super) struct Paced(Arc<Budget>);

impl Paced {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self(Arc::clone(budget))
    }
}

impl Intercept for Paced {
    fn name(&self) -> &'static str {
        "Paced"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        if answer.status().as_u16() == 429 {
            let operation = config.load::<Metadata>().map(Metadata::name);
            let bucket = match operation {
                Some("GetFunction") => &self.0.get_function,
                _ => &self.0.control,
            };
            bucket.refused(retry_after(answer.headers().get("retry-after")));
        }
        Ok(())
    }
}
