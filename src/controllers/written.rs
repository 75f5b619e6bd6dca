//! What this process wrote, until the cache has it too.
//!
//! A watch lags behind the writes it watches. A decision made from the older state would write the
//! same again, or create something twice; so the newer of the two is taken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt};

/// After this long the cache is right even where it disagrees: the object was changed or deleted by
/// somebody else since.
const TRUSTED: Duration = Duration::from_secs(30);

/// Objects that this process wrote lately, by uid.
pub struct Written<K>(Mutex<HashMap<String, (Instant, Arc<K>)>>);

impl<K> Default for Written<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource + Clone> Written<K> {
    /// Remembers an object as the API server answered.
    pub fn note(&self, object: K) {
        let uid = object.uid().unwrap_or_default();
        self.entries()
            .insert(uid, (Instant::now(), Arc::new(object)));
    }

    /// The object is gone, or its cache is enough.
    pub fn forget(&self, object: &K) {
        self.entries().remove(&object.uid().unwrap_or_default());
    }

    /// The cached object, or what was written if that is newer.
    pub fn newest(&self, cached: &Arc<K>) -> Arc<K> {
        let mut entries = self.entries();
        let uid = cached.uid().unwrap_or_default();
        match entries.get(&uid) {
            Some((at, written))
                if at.elapsed() < TRUSTED && version(&**written) > version(&**cached) =>
            {
                Arc::clone(written)
            }
            Some(_) => {
                entries.remove(&uid);
                Arc::clone(cached)
            }
            None => Arc::clone(cached),
        }
    }

    /// The cached objects, each in its newest state, and those that the cache does not have yet.
    pub fn overlay(&self, cached: &[Arc<K>], belongs: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let mut objects: Vec<Arc<K>> = cached.iter().map(|object| self.newest(object)).collect();
        let mut entries = self.entries();
        entries.retain(|_, (at, _)| at.elapsed() < TRUSTED);
        for (_, written) in entries.values() {
            if belongs(written) && !objects.iter().any(|object| object.uid() == written.uid()) {
                objects.push(Arc::clone(written));
            }
        }
        objects
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, (Instant, Arc<K>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resource versions of one kind can be compared as numbers (KEP-5504); an unreadable one is oldest.
fn version(object: &impl ResourceExt) -> u128 {
    object
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}
