//! Accounts: whether we are who the Account says, and whether its artifact buckets are fit.
//!
//! # Expected flow
//! *identity → buckets → judged → published*, and again every ten minutes.
//!
//! # Guarantees
//! - Ready only if AWS itself answered with exactly `accountId` and every bucket is fit.
//! - After a restart, an Account that is Ready costs no call at once.
//! - A failure that may pass does not take Ready away until it has come several times in a row.

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

/// How many regions are looked at side by side.
const SIDE_BY_SIDE: usize = 8;
/// Credentials go through no more Accounts than this.
const LONGEST_CHAIN: usize = 8;

/// The controller of Accounts.
pub struct AccountController {
    context: Arc<Context>,
    watched: Watched<Account>,
}

impl AccountController {
    /// With nothing remembered.
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            watched: Watched::new(context.stores.accounts.clone()),
            context,
        }
    }

    /// Looks at one Account, if it is time.
    pub async fn reconcile(&self, account: Arc<Account>) -> Ended {
        let account = self.watched.newest(&account);
        let api = Api::all(self.context.client.clone());
        let (mark, look) = (self.mark(&account), self.look(&account));
        self.watched
            .reconcile(&self.context, &api, &account, mark, look)
            .await
    }

    async fn look(&self, account: &Account) -> Found<AccountStatus> {
        let identity = self.context.cloud.identity(account).await;
        let is_ours = identity
            .as_ref()
            .is_ok_and(|identity| identity.account_id == account.spec.account_id);
        let buckets = if is_ours {
            stream::iter(account.spec.regions.clone())
                .map(|region| self.bucket(account, region))
                .buffered(SIDE_BY_SIDE)
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

    /// What makes an earlier look worthless: another spec here or where the credentials come from,
    /// or somebody who asks.
    fn mark(&self, account: &Account) -> u64 {
        let mut hasher = DefaultHasher::new();
        account
            .annotations()
            .get(annotation::RECONCILE)
            .hash(&mut hasher);
        account.metadata.generation.hash(&mut hasher);
        let accounts = &self.context.stores.accounts;
        let via = |account: &Account| accounts.get(&ObjectRef::new(goes_through(account)?));
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
pub fn goes_through(account: &Account) -> Option<&String> {
    let role = account.spec.credentials.assume_role.as_ref()?;
    role.via.as_ref()
}
