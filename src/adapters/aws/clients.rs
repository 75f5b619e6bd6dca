//! The clients of one account and region: made at their first use, and shared by all sessions
//! ([`super::caller`]).

use std::sync::{Arc, OnceLock};

use aws_config::SdkConfig;

use super::{
    budget::Budget, caller, cloudformation::CloudFormationClients, lambda::LambdaClients,
    s3::SitesClients, store::store_client,
};
use crate::fence::Fence;

/// The clients of one account, region and endpoint.
#[derive(Debug)]
pub(super) struct Clients {
    sdk: SdkConfig,
    /// S3 has another endpoint than `<bucket>.s3.<region>`, so the bucket can't be part of the host
    /// name.
    own_endpoint: bool,
    budget: Arc<Budget>,
    fence: Fence,
    lambda: OnceLock<LambdaClients>,
    cloudformation: OnceLock<CloudFormationClients>,
    cloudwatch: OnceLock<aws_sdk_cloudwatch::Client>,
    sites: OnceLock<SitesClients>,
    store: OnceLock<aws_sdk_s3::Client>,
    sts: OnceLock<aws_sdk_sts::Client>,
}

impl Clients {
    /// `sdk` has the region and the endpoint.
    pub(super) fn new(sdk: &SdkConfig, budget: Arc<Budget>, fence: &Fence) -> Self {
        Self {
            sdk: caller::shared(sdk),
            own_endpoint: sdk.endpoint_url().is_some(),
            budget,
            fence: fence.clone(),
            lambda: OnceLock::new(),
            cloudformation: OnceLock::new(),
            cloudwatch: OnceLock::new(),
            sites: OnceLock::new(),
            store: OnceLock::new(),
            sts: OnceLock::new(),
        }
    }

    pub(super) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    pub(super) fn lambda(&self) -> LambdaClients {
        let make = || LambdaClients::new(&self.sdk, &self.budget, &self.fence);
        self.lambda.get_or_init(make).clone()
    }

    pub(super) fn cloudformation(&self) -> CloudFormationClients {
        let make = || CloudFormationClients::new(&self.sdk, &self.fence);
        self.cloudformation.get_or_init(make).clone()
    }

    pub(super) fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        let make = || aws_sdk_cloudwatch::Client::new(&self.sdk);
        self.cloudwatch.get_or_init(make).clone()
    }

    pub(super) fn sites(&self) -> SitesClients {
        let make = || SitesClients::new(&self.sdk, self.own_endpoint, &self.fence);
        self.sites.get_or_init(make).clone()
    }

    pub(super) fn store(&self) -> aws_sdk_s3::Client {
        let make = || store_client(&self.sdk, self.own_endpoint, &self.fence);
        self.store.get_or_init(make).clone()
    }

    pub(super) fn sts(&self) -> aws_sdk_sts::Client {
        let make = || aws_sdk_sts::Client::new(&self.sdk);
        self.sts.get_or_init(make).clone()
    }
}
