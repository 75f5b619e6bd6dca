//! The SDK's settings, which all clients share.

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::region::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_sts::config::IdentityCache;
use aws_smithy_http_client::tls;

use super::timeouts::{CONNECT_TIMEOUT, READ_TIMEOUT};

/// The SDK's attempts at a read.
const READ_ATTEMPTS: u32 = 3;

/// The SDK's defaults, with Sluice's HTTP client, timeouts and attempts. Sluice keeps the sessions itself.
pub(super) async fn load() -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::AwsLc,
        ))
        .build_https();
    // Without this, the SDK asks the instance's metadata service for the region, and there may be
    // none. Only the pod's own credentials use this region: if they need one, it is in the
    // environment.
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(Region::from_static("us-east-1"));
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_timeout(READ_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(region)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(READ_ATTEMPTS))
        .identity_cache(IdentityCache::no_cache())
        .load()
        .await
}
