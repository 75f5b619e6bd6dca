//! Access to AWS accounts: our identity there, and shared clients that follow changes of the Accounts.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    CallError, lambda::Functions, monitoring::Monitoring, s3::Sites, stacks::Stacks, store::Store,
};
use crate::{
    api::v1alpha1::Account,
    domain::{grants::Permissions, workload::cloud_formation::Bootstrap},
};

/// Our identity, as `GetCallerIdentity` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The 12-digit account ID.
    pub account_id: String,
    /// ARN of the user or role session.
    pub arn: String,
}

/// The Accounts of the cluster, as last observed.
pub trait AccountDirectory: Send + Sync {
    /// The Account with that name.
    fn account(&self, name: &str) -> Option<Arc<Account>>;
}

/// Access to AWS accounts, by the name of an [`Account`].
///
/// Clients and sessions are shared per account, region and grant, and replaced when the Account (or
/// one that it assumes its role through) changes. Before any other use of an access key,
/// `GetCallerIdentity` must return the Account's own `accountId` for it
/// ([`super::CallErrorKind::WrongAccount`] otherwise): when a client is first returned, and again
/// whenever its credentials are renewed.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Reads our identity with new credentials of this account, never from a cache. The caller compares it
    /// with the Account's `accountId`.
    async fn identity(&self, account: &Account) -> Result<Identity, CallError>;

    /// Lambda in a region of the account. If the credentials come from a role, a session policy limits them
    /// to what `permissions` allow. [`super::CallErrorKind::Invalid`] for a region that the Account does
    /// not list.
    async fn functions(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Functions>, CallError>;

    /// CloudWatch in a region of the account, with the session of [`Cloud::functions`] for the same
    /// `permissions`.
    async fn monitoring(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Monitoring>, CallError>;

    /// Users' buckets in a region of the account, limited like [`Cloud::functions`].
    async fn sites(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Sites>, CallError>;

    /// CloudFormation in a region of the account, limited like [`Cloud::functions`], with a session of its own:
    /// a session policy can't hold all grants.
    async fn stacks(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Stacks>, CallError>;

    /// The bucket of file assets of a CDK bootstrap, through its publishing role, limited to that bucket. Objects in it
    /// are created and never replaced: a write of an existing key is [`super::CallErrorKind::Stale`].
    async fn assets(
        &self,
        account: &Account,
        bootstrap: &Bootstrap,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Store>, CallError>;

    /// The artifact bucket of a region of the account.
    async fn store(&self, account: &Account, region: &str) -> Result<Arc<dyn Store>, CallError>;
}
