//! The way into AWS accounts: who we are there, and clients that are shared and kept fresh.

use std::sync::Arc;

use async_trait::async_trait;

use super::{CallError, lambda::Functions, monitoring::Monitoring, s3::Sites, store::Store};
use crate::{api::v1alpha1::Account, domain::grants::Permissions};

/// Who `GetCallerIdentity` says we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account_id: String,
    /// ARN of the user or role session.
    pub arn: String,
}

/// The Accounts of the cluster, as last seen.
pub trait AccountDirectory: Send + Sync {
    /// The Account of that name.
    fn account(&self, name: &str) -> Option<Arc<Account>>;
}

/// The way into AWS accounts, by the name of an [`Account`].
///
/// Clients and sessions are made once per account, region and grant, shared, and made anew when the
/// Account (or one that it goes through) changes. No access key is used for anything else before
/// `GetCallerIdentity` has answered for it with the Account's own `accountId`
/// ([`super::CallErrorKind::WrongAccount`] otherwise): when a client is first handed out, and again
/// whenever its credentials are renewed.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Asks AWS who we are with this account's credentials, got anew; never answered from a cache.
    /// Whether that is the Account's `accountId` is for the caller to compare.
    async fn identity(&self, account: &Account) -> Result<Identity, CallError>;

    /// Lambda in a region of the account, limited by a session policy to what `permissions` allow
    /// where the credentials come from a role. [`super::CallErrorKind::Invalid`] for a region that the
    /// Account does not list.
    async fn functions(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Functions>, CallError>;

    /// CloudWatch in a region of the account, with the session that [`Cloud::functions`] has for the
    /// same `permissions`.
    async fn monitoring(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Monitoring>, CallError>;

    /// Buckets of users in a region of the account, limited like [`Cloud::functions`].
    async fn sites(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Sites>, CallError>;

    /// The artifact bucket of a region of the account.
    async fn store(&self, account: &Account, region: &str) -> Result<Arc<dyn Store>, CallError>;
}
