//! Sessions and clients that are made once and shared until the Accounts they come from change.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    domain::grants::Permissions,
    ports::{CallError, cloud::AccountDirectory},
};

/// What a session or client is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) account: String,
    /// Empty for a session that serves all regions.
    pub(super) region: String,
    pub(super) permissions: Option<Permissions>,
}

/// The state of the Accounts that a session was made from, the Account itself first.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Origin(pub(super) Vec<(Option<String>, Option<i64>)>);

/// Things that are made once and kept until the Accounts they come from change.
pub(super) struct Shared<T>(Mutex<HashMap<Key, (Origin, T)>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::default())
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
        let kept = |kept: Option<&(Origin, T)>| match kept {
            Some((of, thing)) if *of == origin => Some(thing.clone()),
            _ => None,
        };
        if let Some(thing) = kept(lock().get(&key)) {
            return Ok(thing);
        }
        // Not under the lock: a session may need another one.
        let fresh = make()?;
        let mut all = lock();
        if let Some(thing) = kept(all.get(&key)) {
            return Ok(thing);
        }
        all.retain(|other, (of, _)| {
            if other.account == key.account {
                *of == origin
            } else {
                directory.account(&other.account).is_some()
            }
        });
        all.insert(key, (origin, fresh.clone()));
        Ok(fresh)
    }
}
