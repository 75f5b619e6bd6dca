//! Answers kept for as long as GitLab says "not modified".
//!
//! What is kept is what was read out of an answer, not the answer: of a job's three kilobytes some
//! two hundred bytes matter. Bounded by entries and bytes; the ones not asked for the longest go
//! first.

use std::{collections::HashMap, sync::Arc};

/// How many answers are kept.
const ENTRIES: usize = 8192;
/// How many bytes they may have in all, addresses and tags included.
const BYTES: usize = 8 << 20;

/// An answer that was kept.
#[derive(Debug)]
pub struct Kept {
    /// What GitLab called this state of it.
    pub etag: String,
    /// What was read out of it, as JSON.
    pub content: Vec<u8>,
    /// The path of the next page.
    pub next: Option<String>,
}

#[derive(Debug)]
struct Slot {
    kept: Arc<Kept>,
    size: usize,
    used: u64,
}

/// Answers by path and query.
#[derive(Debug, Default)]
pub struct Cache {
    slots: HashMap<String, Slot>,
    bytes: usize,
    clock: u64,
}

impl Cache {
    /// What is kept of this address.
    pub fn get(&mut self, path: &str) -> Option<Arc<Kept>> {
        self.clock += 1;
        let slot = self.slots.get_mut(path)?;
        slot.used = self.clock;
        Some(Arc::clone(&slot.kept))
    }

    /// Keeps an answer, in place of an earlier one from there.
    pub fn put(&mut self, path: &str, kept: Kept) {
        self.remove(path);
        let size = path.len() + kept.etag.len() + kept.content.len();
        if size > BYTES / 8 {
            return;
        }
        if self.slots.len() >= ENTRIES || self.bytes + size > BYTES {
            self.shed();
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

    /// Gives up a quarter, so that a full cache is not searched on every write.
    fn shed(&mut self) {
        let mut by_use: Vec<_> = (self.slots.iter())
            .map(|(path, slot)| (slot.used, path.clone()))
            .collect();
        by_use.sort_unstable();
        for (_, path) in by_use {
            if self.slots.len() <= ENTRIES * 3 / 4 && self.bytes <= BYTES * 3 / 4 {
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
        }
    }

    #[test]
    fn it_stays_within_its_bounds_and_keeps_what_is_used() {
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
    fn one_answer_may_not_fill_it() {
        let mut cache = Cache::default();
        cache.put("large", kept(BYTES / 2));
        assert!(cache.get("large").is_none());
    }
}
