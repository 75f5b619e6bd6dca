//! A cache of responses, kept for as long as GitLab says "not modified".
//!
//! The cache keeps the fields that were read, not the whole response: of a job's three kilobytes, some two
//! hundred bytes matter. Entries and bytes are bounded, for each client and for all together. The least
//! recently used entries go first, and the client with the largest cache gives up entries for the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::ports::as_of::AsOf;

/// The most cached responses of one client.
const ENTRIES: usize = 8192;
/// The most bytes of one client, paths and ETags included.
const BYTES: usize = 8 << 20;
/// The most bytes of all clients together.
const ALL_BYTES: usize = 32 << 20;

/// A cached response.
#[derive(Debug)]
pub struct Kept {
    /// Its ETag.
    pub etag: String,
    /// The fields that were read, as JSON.
    pub content: Vec<u8>,
    /// The path of the next page.
    pub next: Option<String>,
    /// When it was last requested.
    pub asked_at: Mutex<Instant>,
}

impl Kept {
    /// Notes that a request at `asked_at` found it unchanged.
    pub fn confirm(&self, asked_at: Instant) {
        let mut last = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        *last = asked_at.max(*last);
    }

    /// Whether it was requested at that moment or later.
    pub fn is_as_of(&self, moment: AsOf) -> bool {
        let last = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        *last >= moment.0
    }
}

#[derive(Debug)]
struct Slot {
    kept: Arc<Kept>,
    size: usize,
    used: u64,
}

/// The cached responses of all clients.
#[derive(Debug, Default)]
pub struct Caches(Mutex<AllCaches>);

#[derive(Debug, Default)]
struct AllCaches {
    by_client: HashMap<u64, Cache>,
    last_id: u64,
}

/// The cached responses of one client, dropped with it.
#[derive(Debug)]
pub struct ClientCache {
    caches: Arc<Caches>,
    id: u64,
}

impl ClientCache {
    /// An empty cache.
    pub fn new(caches: Arc<Caches>) -> Self {
        let id = {
            let mut all = caches.all();
            all.last_id += 1;
            all.last_id
        };
        Self { caches, id }
    }

    /// The cached response for this path.
    pub fn get(&self, path: &str) -> Option<Arc<Kept>> {
        self.caches.all().by_client.get_mut(&self.id)?.get(path)
    }

    /// Caches a response in place of an earlier one for this path.
    pub fn put(&self, path: &str, kept: Kept) {
        let mut all = self.caches.all();
        all.by_client.entry(self.id).or_default().put(path, kept);
        all.stay_within(ALL_BYTES);
    }
}

impl Drop for ClientCache {
    fn drop(&mut self) {
        self.caches.all().by_client.remove(&self.id);
    }
}

impl Caches {
    fn all(&self) -> MutexGuard<'_, AllCaches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AllCaches {
    fn stay_within(&mut self, bytes: usize) {
        while self
            .by_client
            .values()
            .map(|cache| cache.bytes)
            .sum::<usize>()
            > bytes
        {
            let largest = self.by_client.values_mut().max_by_key(|cache| cache.bytes);
            let Some(largest) = largest else {
                return;
            };
            let target = largest.bytes * 3 / 4;
            largest.shed(ENTRIES, target);
        }
    }
}

/// Cached responses by path and query.
#[derive(Debug, Default)]
struct Cache {
    slots: HashMap<String, Slot>,
    bytes: usize,
    clock: u64,
}

impl Cache {
    /// The cached response for this path.
    fn get(&mut self, path: &str) -> Option<Arc<Kept>> {
        self.clock += 1;
        let slot = self.slots.get_mut(path)?;
        slot.used = self.clock;
        Some(Arc::clone(&slot.kept))
    }

    /// Caches a response in place of an earlier one for this path.
    fn put(&mut self, path: &str, kept: Kept) {
        self.remove(path);
        let size = path.len() + kept.etag.len() + kept.content.len();
        if size > BYTES / 8 {
            return;
        }
        if self.slots.len() >= ENTRIES || self.bytes + size > BYTES {
            self.shed(ENTRIES * 3 / 4, BYTES * 3 / 4);
        }
        self.clock += 1;
        self.bytes += size;
        let slot = Slot {
            kept: Arc::new(kept),
            size,
            used: self.clock,
        };
        self.slots.insert(path.to_owned(), slot);
    }

    fn remove(&mut self, path: &str) {
        if let Some(slot) = self.slots.remove(path) {
            self.bytes -= slot.size;
        }
    }

    /// Evicts many entries at a time, so that a full cache is not searched on every write.
    fn shed(&mut self, entries: usize, bytes: usize) {
        let mut by_use: Vec<_> = (self.slots.iter())
            .map(|(path, slot)| (slot.used, path.clone()))
            .collect();
        by_use.sort_unstable();
        for (_, path) in by_use {
            if self.slots.len() <= entries && self.bytes <= bytes {
                break;
            }
            self.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(size: usize) -> Kept {
        Kept {
            etag: String::new(),
            content: vec![0; size],
            next: None,
            asked_at: Mutex::new(Instant::now()),
        }
    }

    #[test]
    fn cache_stays_within_its_bounds_and_keeps_used_entries() {
        let mut cache = Cache::default();
        cache.put("used", kept(10));
        for index in 0..2 * ENTRIES {
            cache.put(&format!("{index:05}"), kept(2000));
            assert!(cache.get("used").is_some());
            assert!(cache.slots.len() <= ENTRIES && cache.bytes <= BYTES);
        }
        assert!(cache.get("00000").is_none());
        let bytes: usize = cache.slots.values().map(|slot| slot.size).sum();
        assert_eq!(bytes, cache.bytes);
    }

    #[test]
    fn largest_cache_shrinks_when_all_exceed_their_bound() {
        let caches = Arc::<Caches>::default();
        let modest = ClientCache::new(Arc::clone(&caches));
        modest.put("own", kept(1000));
        let greedy: Vec<_> = (0..8)
            .map(|_| ClientCache::new(Arc::clone(&caches)))
            .collect();
        for index in 0..30 {
            for client in &greedy {
                client.put(&format!("{index}"), kept(500_000));
            }
            let all = caches.all();
            let bytes: usize = all.by_client.values().map(|cache| cache.bytes).sum();
            assert!(bytes <= ALL_BYTES, "{bytes}");
        }
        assert!(modest.get("own").is_some());
        drop(greedy);
        assert_eq!(
            caches.all().by_client.len(),
            1,
            "a client's cache is dropped with it"
        );
    }

    #[test]
    fn oversized_response_is_not_cached() {
        let mut cache = Cache::default();
        cache.put("large", kept(BYTES / 2));
        assert!(cache.get("large").is_none());
    }
}
