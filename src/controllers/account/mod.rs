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
use tokio::time::Instant;

use self::judge::{BucketReport, judge};
use super::{
    context::Context,
    recheck::Rechecks,
    report::{Found, publish},
    retry::Ended,
    written::Written,
};
use crate::{
    api::v1alpha1::{Account, AccountRegion, AccountStatus, annotation, condition},
    domain::outcome::{Outcome, is_true},
};

/// How many regions are looked at side by side.
const SIDE_BY_SIDE: usize = 8;
/// Credentials go through no more Accounts than this.
const LONGEST_CHAIN: usize = 8;

/// The controller of Accounts.
pub struct AccountController {
    context: Arc<Context>,
    rechecks: Rechecks,
    written: Written<Account>,
}

impl AccountController {
    /// With nothing remembered.
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            rechecks: Rechecks::default(),
            written: Written::default(),
        }
    }

    /// Looks at one Account, if it is time.
    pub async fn reconcile(&self, account: Arc<Account>) -> Ended {
        let account = self.written.newest(&account);
        let uid = account.uid().unwrap_or_default();
        if account.metadata.deletion_timestamp.is_some() {
            self.rechecks.forget(&uid);
            return Outcome::done("Gone", "the Account is being deleted").into();
        }
        let mark = self.mark(&account);
        let ready = is_ready(&account);
        if let Some(rest) = self.rechecks.rest(&uid, mark, ready, Instant::now()) {
            return Ended::recheck(Outcome::done("Unchanged", "looked at not long ago"), rest);
        }
        let found = self.look(&account).await;
        let outcome = found.outcome.clone();
        let after = self.rechecks.looked(&uid, mark, &outcome, Instant::now());
        let may_pass = matches!(outcome, Outcome::Transient { .. });
        if !(may_pass && ready && !self.rechecks.in_doubt(&uid)) {
            let api = Api::all(self.context.client.clone());
            let before = account.status.clone().unwrap_or_default();
            match publish(&self.context, &api, &*account, &before, &found).await {
                Ok(written) => self.written.note(written),
                Err(end) => {
                    self.rechecks.forget(&uid);
                    return end.into();
                }
            }
        }
        Ended {
            outcome,
            recheck: after,
        }
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

fn is_ready(account: &Account) -> bool {
    account.status.as_ref().is_some_and(|status| {
        status.observed_generation == account.metadata.generation
            && is_true(&status.conditions, condition::READY)
    })
}

/// The Account whose credentials assume this one's role.
pub fn goes_through(account: &Account) -> Option<&String> {
    let role = account.spec.credentials.assume_role.as_ref()?;
    role.via.as_ref()
}
