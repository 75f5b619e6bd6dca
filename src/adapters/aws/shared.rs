//! Sessions that are made once and shared until the Accounts behind them change.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::policy::Purpose;
use crate::{
    domain::grants::Permissions,
    ports::{CallError, cloud::AccountDirectory},
};

/// The use of a session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) account: String,
    /// Empty for a session that serves all regions.
    pub(super) region: String,
    /// The limits of the session, if it has any.
    pub(super) limits: Option<(Purpose, Permissions)>,
}

/// The state of the Accounts that a session was made from, the Account itself first.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Origin(pub(super) Vec<(Option<String>, Option<i64>)>);

/// The most entries of a kind. Sessions belong to Targets, so that CloudTrail names each of them: a cluster
/// with more Targets than this drops the least recently used sessions and makes them again, each with one
/// `AssumeRole` and one `GetCallerIdentity`.
const CAPACITY: usize = 2048;

/// Values that are made once and kept until the Accounts behind them change, or too many others were used
/// since.
pub(super) struct Shared<T>(Mutex<Entries<T>>);

struct Entries<T> {
    all: HashMap<Key, Entry<T>>,
    /// Grows with each use.
    uses: u64,
}

struct Entry<T> {
    origin: Origin,
    value: T,
    used: u64,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            all: HashMap::new(),
            uses: 0,
        }))
    }
}

impl<T: Clone> Entries<T> {
    fn kept(&mut self, key: &Key, origin: &Origin) -> Option<T> {
        self.uses += 1;
        let entry = self.all.get_mut(key)?;
        if entry.origin != *origin {
            return None;
        }
        entry.used = self.uses;
        Some(entry.value.clone())
    }

    /// Drops the least recently used entries until there is room for one more.
    fn make_room(&mut self) {
        while self.all.len() >= CAPACITY {
            let oldest = self.all.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.all.remove(&oldest);
        }
    }
}

impl<T: Clone> Shared<T> {
    pub(super) fn get(
        &self,
        directory: &dyn AccountDirectory,
        key: Key,
        origin: Origin,
        make: impl FnOnce() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = lock().kept(&key, &origin) {
            return Ok(value);
        }
        // Not under the lock: a session may need another one.
        let fresh = make()?;
        let mut entries = lock();
        if let Some(value) = entries.kept(&key, &origin) {
            return Ok(value);
        }
        entries.all.retain(|other, entry| {
            if other.account == key.account {
                entry.origin == origin
            } else {
                directory.account(&other.account).is_some()
            }
        });
        entries.make_room();
        let entry = Entry {
            origin,
            value: fresh.clone(),
            used: entries.uses,
        };
        entries.all.insert(key, entry);
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc};

    use super::*;
    use crate::api::v1alpha1::{Account, AccountSpec, Credentials};

    struct All;

    impl AccountDirectory for All {
        fn account(&self, name: &str) -> Option<Arc<Account>> {
            let spec = AccountSpec {
                account_id: "222222222222".into(),
                regions: Vec::new(),
                endpoint_url: None,
                credentials: Credentials::default(),
                requires: None,
                sources: Vec::new(),
                grants: Vec::new(),
            };
            Some(Arc::new(Account::new(name, spec)))
        }
    }

    #[test]
    fn least_recently_used_sessions_are_evicted() {
        let shared = Shared::<usize>::default();
        let calls = Cell::new(0);
        let get = |n: usize| {
            let key = Key {
                account: "dev".into(),
                region: n.to_string(),
                limits: None,
            };
            let origin = Origin(vec![(None, Some(1))]);
            let make = || {
                calls.set(calls.get() + 1);
                Ok(n)
            };
            assert_eq!(shared.get(&All, key, origin, make), Ok(n));
        };
        for n in 0..CAPACITY * 3 {
            get(n);
            // The first is in use all the time.
            get(0);
        }
        assert_eq!(calls.get(), CAPACITY * 3, "the first was made once");
        assert_eq!(shared.0.lock().unwrap().all.len(), CAPACITY);
        get(CAPACITY * 3 - 1);
        assert_eq!(calls.get(), CAPACITY * 3, "so was the last");
        get(1);
        assert_eq!(calls.get(), CAPACITY * 3 + 1, "the second was dropped");
    }
}
