//! Lambda functions, versions and aliases in one account and region.
//!
//! The adapter never retries writes: the engine reads back and decides. A write returns the function as it
//! was at that moment, often still being created or updated. Its tags are those given to
//! [`Functions::create`], and none for other writes: only [`Functions::get`] reads them.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::{CallError, store::ByteStream};
use crate::domain::{
    digest::Sha256,
    workload::lambda::{
        Alias, AliasTarget, CodeLocation, Function, FunctionConfiguration, Invocation,
        ProvisionedConcurrency,
    },
};

/// Lambda in one account and region, under one grant.
#[async_trait]
pub trait Functions: Send + Sync {
    /// `GetFunction` of `$LATEST` or a version; `None` if the function or version does not exist.
    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<Function>, CallError>;

    /// Descriptions of the callers that may invoke the function without a version or alias (`the function URL
    /// https://…`), from `GetPolicy`, `GetFunctionUrlConfig` and `ListEventSourceMappings`.
    async fn unqualified_callers(&self, name: &str) -> Result<Vec<String>, CallError>;

    /// `CreateFunction`, without publishing. [`super::CallErrorKind::AlreadyExists`] if the function exists.
    async fn create(
        &self,
        name: &str,
        architecture: &str,
        code: &CodeLocation,
        configuration: &FunctionConfiguration,
        tags: &BTreeMap<String, String>,
    ) -> Result<Function, CallError>;

    /// `UpdateFunctionCode` if the function is still at `revision_id`
    /// (otherwise [`super::CallErrorKind::Stale`]). Does not publish.
    async fn update_code(
        &self,
        name: &str,
        architecture: &str,
        code: &CodeLocation,
        revision_id: &str,
    ) -> Result<Function, CallError>;

    /// `UpdateFunctionConfiguration` if the function is still at `revision_id`.
    async fn update_configuration(
        &self,
        name: &str,
        configuration: &FunctionConfiguration,
        revision_id: &str,
    ) -> Result<Function, CallError>;

    /// `TagResource` and `UntagResource`: changes the function's tags from `current` to `wanted`. Makes no
    /// call without a difference. These are two writes, of which the second may fail alone.
    async fn set_tags(
        &self,
        arn: &str,
        current: &BTreeMap<String, String>,
        wanted: &BTreeMap<String, String>,
    ) -> Result<(), CallError>;

    /// `PublishVersion` of `$LATEST` if its code has this digest and it is still at `revision_id`.
    /// Returns the existing version if nothing has changed since it was published.
    async fn publish(
        &self,
        name: &str,
        code_sha256: &Sha256,
        revision_id: &str,
        description: &str,
    ) -> Result<Function, CallError>;

    /// The size and content of the package of a function's `$LATEST`: for a snapshot of code that is not
    /// in our store.
    async fn package(&self, name: &str) -> Result<(u64, ByteStream), CallError>;

    /// `DeleteFunction`, with all versions and aliases, or of one version (never `$LATEST`). Succeeds if it
    /// does not exist.
    async fn delete(&self, name: &str, version: Option<&str>) -> Result<(), CallError>;

    /// `GetAlias`; `None` if the alias or function does not exist.
    async fn alias(&self, name: &str, alias: &str) -> Result<Option<Alias>, CallError>;

    /// `GetProvisionedConcurrencyConfig` of an alias; `None` if none is configured.
    async fn provisioned_concurrency(
        &self,
        name: &str,
        alias: &str,
    ) -> Result<Option<ProvisionedConcurrency>, CallError>;

    /// `CreateAlias`. [`super::CallErrorKind::AlreadyExists`] if the alias exists.
    async fn create_alias(
        &self,
        name: &str,
        alias: &str,
        to: &AliasTarget,
    ) -> Result<Alias, CallError>;

    /// `UpdateAlias` if the alias is still at `revision_id`.
    async fn update_alias(
        &self,
        name: &str,
        alias: &str,
        to: &AliasTarget,
        revision_id: &str,
    ) -> Result<Alias, CallError>;

    /// `DeleteAlias`. Succeeds if the alias does not exist.
    async fn delete_alias(&self, name: &str, alias: &str) -> Result<(), CallError>;

    /// `Invoke` of a version or alias. Waits at most `timeout` for the response
    /// ([`super::CallErrorKind::Unknown`] after that).
    async fn invoke(
        &self,
        name: &str,
        qualifier: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Invocation, CallError>;
}
