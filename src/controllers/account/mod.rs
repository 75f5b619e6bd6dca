//! Accounts: whether the credentials belong to the account, and whether its artifact buckets are usable.
//!
//! # Expected flow
//! *identity → buckets → judge → publish*, and again every ten minutes.
//!
//! # Guarantees
//! - An Account is Ready only if AWS itself returned exactly `accountId` and every bucket is usable.
//! - After a restart, an Account that is Ready costs no call at once.
//! - A transient failure ends Ready only after several in a row.

mod judge;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use kube::{Api, ResourceExt as _, runtime::reflector::ObjectRef};

use self::judge::{BucketReport, judge};
use super::{context::Context, recheck::Watched, report::Found, retry::Ended};
use crate::api::v1alpha1::{Account, AccountRegion, AccountStatus, annotation};

/// How many regions are checked concurrently.
const CONCURRENCY: usize = 8;
/// How many Accounts the credentials may go through.
const LONGEST_CHAIN: usize = 8;

/// The controller of Accounts.
pub struct AccountController {
    context: Arc<Context>,
    watched: Watched<Account>,
}

impl AccountController {
    /// A controller that remembers nothing yet.
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            watched: Watched::new(context.stores.accounts.clone()),
            context,
        }
    }

    /// Checks one Account, if a check is due.
    pub async fn reconcile(&self, account: Arc<Account>) -> Ended {
        let account = self.watched.newest(&account);
        let api = Api::all(self.context.client.clone());
        let (mark, check) = (self.mark(&account), self.check(&account));
        self.watched
            .reconcile(&self.context, &api, &account, mark, check)
            .await
    }

    async fn check(&self, account: &Account) -> Found<AccountStatus> {
        let identity = self.context.cloud.identity(account).await;
        let is_ours = identity
            .as_ref()
            .is_ok_and(|identity| identity.account_id == account.spec.account_id);
        let buckets = if is_ours {
            stream::iter(account.spec.regions.clone())
                .map(|region| self.bucket(account, region))
                .buffered(CONCURRENCY)
                .collect()
                .await
        } else {
            Vec::new()
        };
        let before = account.status.clone().unwrap_or_default();
        judge(&account.spec, before, identity, buckets)
    }

    async fn bucket(&self, account: &Account, region: AccountRegion) -> BucketReport {
        let problems = match self.context.cloud.store(account, &region.name).await {
            Ok(store) => store.problems(&account.spec.account_id, &region.name).await,
            Err(error) => Err(error),
        };
        BucketReport { region, problems }
    }

    /// Hashes what invalidates an earlier check: the specs of this Account and of those that its credentials
    /// go through, and a requested reconcile.
    fn mark(&self, account: &Account) -> u64 {
        let mut hasher = DefaultHasher::new();
        account
            .annotations()
            .get(annotation::RECONCILE)
            .hash(&mut hasher);
        account.metadata.generation.hash(&mut hasher);
        let accounts = &self.context.stores.accounts;
        let via = |account: &Account| accounts.get(&ObjectRef::new(credentials_via(account)?));
        let mut next = via(account);
        for _ in 0..LONGEST_CHAIN {
            let Some(account) = next else { break };
            account.uid().hash(&mut hasher);
            account.metadata.generation.hash(&mut hasher);
            next = via(&account);
        }
        hasher.finish()
    }
}

/// The Account whose credentials assume this one's role.
pub fn credentials_via(account: &Account) -> Option<&String> {
    let role = account.spec.credentials.assume_role.as_ref()?;
    role.via.as_ref()
}
