//! The clients of CloudFormation: for reads, which are retried, and for writes, which are not.

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_cloudformation::{Client, config::Builder};

use crate::{
    adapters::aws::{
        fence::Fenced,
        timeouts::{CONNECT_TIMEOUT, WRITE_TIMEOUT},
    },
    fence::Fence,
};

/// Clients for reads and writes.
#[derive(Clone, Debug)]
pub struct CloudFormationClients {
    pub(super) reads: Client,
    pub(super) writes: Client,
}

impl CloudFormationClients {
    pub fn new(sdk: &SdkConfig, fence: &Fence) -> Self {
        let timely = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_timeout(WRITE_TIMEOUT)
            .build();
        // All calls are POSTs, so only the client for writes has the fence.
        let writes = Builder::from(sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timely)
            .interceptor(Fenced::new(fence));
        Self {
            reads: Client::new(sdk),
            writes: Client::from_conf(writes.build()),
        }
    }
}
