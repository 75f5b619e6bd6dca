//! The clients of Lambda: for reads, which are retried, for writes, which are not, and for invocations, which
//! may take long.

use std::sync::Arc;

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_lambda::{
    Client,
    config::{Builder, StalledStreamProtectionConfig},
};

use crate::{
    adapters::aws::{
        budget::Budget,
        fence::Fenced,
        paced::Paced,
        timeouts::{CONNECT_TIMEOUT, WRITE_TIMEOUT},
    },
    fence::Fence,
};

/// Clients for reads, writes and invocations.
#[derive(Clone, Debug)]
pub struct LambdaClients {
    pub(super) reads: Client,
    pub(super) writes: Client,
    pub(super) invocations: Client,
}

impl LambdaClients {
    pub fn new(sdk: &SdkConfig, budget: &Arc<Budget>, fence: &Fence) -> Self {
        let plain = || Builder::from(sdk);
        let paced = || plain().interceptor(Paced::new(budget));
        let once = |builder: Builder| {
            builder
                .retry_config(RetryConfig::disabled())
                .interceptor(Fenced::new(fence))
        };
        let timely = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_timeout(WRITE_TIMEOUT)
            .build();
        // A function may run for a quarter of an hour before its first byte.
        let patient = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .disable_operation_timeout()
            .build();
        let invocations = once(plain())
            .timeout_config(patient)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        Self {
            reads: Client::from_conf(paced().build()),
            writes: Client::from_conf(once(paced()).timeout_config(timely).build()),
            invocations: Client::from_conf(invocations.build()),
        }
    }
}
