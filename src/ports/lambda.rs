//! Lambda functions, versions and aliases in one account and region.
//!
//! Writes are never retried by the adapter: the engine reads back and decides. The function that a
//! write answers with is as it was at that moment, often still being made or changed; its tags are
//! those given to [`Functions::create`] and none for other writes: only [`Functions::get`] reads them.

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
    /// `GetFunction` of `$LATEST` or a version; `None` where there is no such function or version.
    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<Function>, CallError>;

    /// What may invoke the function without naming a version or alias, each in words (`the function URL
    /// https://…`): `GetPolicy`, `GetFunctionUrlConfig` and `ListEventSourceMappings`.
    async fn unqualified_callers(&self, name: &str) -> Result<Vec<String>, CallError>;

    /// `CreateFunction`, without publishing. [`super::CallErrorKind::AlreadyExists`] where there is one.
    async fn create(
        &self,
        name: &str,
        architecture: &str,
        code: &CodeLocation,
        configuration: &FunctionConfiguration,
        tags: &BTreeMap<String, String>,
    ) -> Result<Function, CallError>;

    /// `UpdateFunctionCode` if the function is still at `revision_id`
    /// (else [`super::CallErrorKind::Stale`]). Does not publish.
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

    /// `TagResource` and `UntagResource`: makes the function's tags those given. `current` is what
    /// it has; no call is made where nothing differs. Two writes, of which the second may fail alone.
    async fn set_tags(
        &self,
        arn: &str,
        current: &BTreeMap<String, String>,
        wanted: &BTreeMap<String, String>,
    ) -> Result<(), CallError>;

    /// `PublishVersion` of `$LATEST` if its code has this digest and it is still at `revision_id`.
    /// Answers with the existing version where nothing changed since it was published.
    async fn publish(
        &self,
        name: &str,
        code_sha256: &Sha256,
        revision_id: &str,
        description: &str,
    ) -> Result<Function, CallError>;

    /// The package that a function's `$LATEST` runs, with its size: for a snapshot of code that is not
    /// in our store.
    async fn package(&self, name: &str) -> Result<(u64, ByteStream), CallError>;

    /// `DeleteFunction`, with all versions and aliases, or of one version (never `$LATEST`). Fine
    /// where there is none.
    async fn delete(&self, name: &str, version: Option<&str>) -> Result<(), CallError>;

    /// `GetAlias`; `None` where there is no such alias or function.
    async fn alias(&self, name: &str, alias: &str) -> Result<Option<Alias>, CallError>;

    /// `GetProvisionedConcurrencyConfig` of an alias; `None` where nothing was asked for.
    async fn provisioned_concurrency(
        &self,
        name: &str,
        alias: &str,
    ) -> Result<Option<ProvisionedConcurrency>, CallError>;

    /// `CreateAlias`. [`super::CallErrorKind::AlreadyExists`] where there is one.
    async fn create_alias(
        &self,
        name: &str,
        alias: &str,
        to: &AliasTarget,
    ) -> Result<Alias, CallError>;

    /// `UpdateAlias` if it is still at `revision_id`.
    async fn update_alias(
        &self,
        name: &str,
        alias: &str,
        to: &AliasTarget,
        revision_id: &str,
    ) -> Result<Alias, CallError>;

    /// `DeleteAlias`. Fine where there is none.
    async fn delete_alias(&self, name: &str, alias: &str) -> Result<(), CallError>;

    /// `Invoke` of a version or alias, waiting for the answer at most `timeout`
    /// ([`super::CallErrorKind::Unknown`] after that).
    async fn invoke(
        &self,
        name: &str,
        qualifier: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Invocation, CallError>;
}
