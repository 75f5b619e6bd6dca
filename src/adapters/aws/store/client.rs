//! The client of artifact buckets.

use std::time::Duration;

use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{Client, config::Builder};

use crate::{
    adapters::aws::{fence::Fenced, timeouts::CONNECT_TIMEOUT},
    fence::Fence,
};

/// Timeout of one attempt: 5 MiB at 90 kB a second.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);

/// With an `own_endpoint`, the bucket can't be part of the host name.
pub fn store_client(sdk: &SdkConfig, own_endpoint: bool, fence: &Fence) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .disable_operation_timeout()
        .build();
    let config = Builder::from(sdk)
        .timeout_config(timeouts)
        .interceptor(Fenced::new(fence))
        .force_path_style(own_endpoint);
    Client::from_conf(config.build())
}
