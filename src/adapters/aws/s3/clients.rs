//! The clients of users' buckets: for reads, which are retried, and for writes, which are not.

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{Client, config::Builder};

use crate::{
    adapters::aws::{fence::Fenced, timeouts::CONNECT_TIMEOUT},
    fence::Fence,
};

/// Clients for reads and writes.
#[derive(Clone, Debug)]
pub struct SitesClients {
    pub(super) reads: Client,
    pub(super) writes: Client,
}

impl SitesClients {
    pub fn new(sdk: &SdkConfig, own_endpoint: bool, fence: &Fence) -> Self {
        let builder = || Builder::from(sdk).force_path_style(own_endpoint);
        let by_size = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .disable_operation_timeout()
            .build();
        let writes = builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(by_size)
            .interceptor(Fenced::new(fence));
        Self {
            reads: Client::from_conf(builder().build()),
            writes: Client::from_conf(writes.build()),
        }
    }
}
