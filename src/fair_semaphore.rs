//! A semaphore that grants permits to keys in turn.
//!
//! Guarantees
//! - At most `total` permits are held, and at most `per_key` of one key.
//! - A released permit goes to the key whose turn it is, and within a key to the waiter that has
//!   waited longest: a key with a long queue delays another key by one permit per round.
//! - A waiter that gives up, by dropping the future, takes no permit.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// A semaphore that grants permits to keys in turn.
#[derive(Debug)]
pub struct FairSemaphore {
    total: usize,
    per_key: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_use: usize,
    held: HashMap<String, usize>,
    waiting: HashMap<String, Queue>,
    /// The waiting keys, the next one first.
    order: VecDeque<String>,
}

/// The waiters for permits of one key, the next one first.
#[derive(Debug, Default)]
struct Queue {
    senders: VecDeque<oneshot::Sender<Permit>>,
    /// The number of waiters after those that gave up were last removed.
    pruned: usize,
}

/// The right to proceed, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    /// `None` once the permit is released.
    semaphore: Option<Arc<FairSemaphore>>,
    key: String,
}

impl FairSemaphore {
    /// A semaphore with at least one permit, and at least one for a key.
    pub fn new(total: usize, per_key: usize) -> Arc<Self> {
        Arc::new(Self {
            total: total.max(1),
            per_key: per_key.max(1),
            state: Mutex::default(),
        })
    }

    /// Waits for a permit.
    pub async fn acquire(self: &Arc<Self>, key: &str) -> Permit {
        loop {
            let (sender, receiver) = oneshot::channel();
            self.state().queue(key, sender);
            self.grant();
            // The sender is in this semaphore's queue until it sends a permit.
            if let Ok(permit) = receiver.await {
                return permit;
            }
        }
    }

    /// How many permits are held or will be granted before one that this key would request now.
    pub fn ahead(&self, key: &str) -> usize {
        let state = self.state();
        let waiting = |queue: &Queue| {
            let senders = queue.senders.iter();
            senders.filter(|sender| !sender.is_closed()).count()
        };
        let own = state.waiting.get(key).map(waiting).unwrap_or_default();
        let others = state.waiting.iter().filter(|(other, _)| *other != key);
        let others: usize = others.map(|(_, queue)| waiting(queue).min(own + 1)).sum();
        state.in_use + own + others
    }

    fn grant(self: &Arc<Self>) {
        loop {
            let next = self.state().next(self.total, self.per_key);
            let Some((key, sender)) = next else {
                return;
            };
            let permit = Permit {
                semaphore: Some(Arc::clone(self)),
                key,
            };
            // A waiter that gave up leaves the permit to the next one. It is released here and not by its
            // drop, which would recurse into this loop once for each of them.
            if let Err(mut permit) = sender.send(permit) {
                permit.semaphore = None;
                self.state().release(&permit.key);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, key: &str, sender: oneshot::Sender<Permit>) {
        let queue = self.waiting.entry(key.to_owned()).or_default();
        if queue.senders.is_empty() {
            self.order.push_back(key.to_owned());
        }
        queue.push(sender);
    }

    /// The next waiter, with its permit already counted.
    fn next(&mut self, total: usize, per_key: usize) -> Option<(String, oneshot::Sender<Permit>)> {
        if self.in_use >= total {
            return None;
        }
        let may = |key: &String| self.held.get(key).is_none_or(|held| *held < per_key);
        let at = self.order.iter().position(may)?;
        let key = self.order.remove(at)?;
        let queue = self.waiting.get_mut(&key)?;
        let sender = queue.senders.pop_front();
        if queue.senders.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.order.push_back(key.clone());
        }
        let sender = sender?;
        self.in_use += 1;
        *self.held.entry(key.clone()).or_default() += 1;
        Some((key, sender))
    }

    fn release(&mut self, key: &str) {
        self.in_use = self.in_use.saturating_sub(1);
        if let Some(held) = self.held.get_mut(key) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(key);
            }
        }
    }
}

impl Queue {
    fn push(&mut self, sender: oneshot::Sender<Permit>) {
        // Not each time: every new waiter would scan a long queue.
        if self.senders.len() >= 2 * self.pruned.max(8) {
            self.senders.retain(|sender| !sender.is_closed());
            self.pruned = self.senders.len();
        }
        self.senders.push_back(sender);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore.take() {
            semaphore.state().release(&self.key);
            semaphore.grant();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// The permit, if it is available without waiting.
    fn at_once(semaphore: &Arc<FairSemaphore>, key: &str) -> Option<Permit> {
        semaphore.acquire(key).now_or_never()
    }

    #[test]
    fn one_key_never_takes_all_permits() {
        let semaphore = FairSemaphore::new(3, 2);
        let held: Vec<_> = (0..5).filter_map(|_| at_once(&semaphore, "a")).collect();
        assert_eq!(held.len(), 2);
        let other = at_once(&semaphore, "b");
        assert!(other.is_some());
        assert!(at_once(&semaphore, "c").is_none());
        drop(held);
        assert!(at_once(&semaphore, "c").is_some());
    }

    #[tokio::test]
    async fn permits_go_to_keys_in_turn_and_in_order_within_one() {
        let semaphore = FairSemaphore::new(1, 1);
        let first = at_once(&semaphore, "a");
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, key) in [
            ("a1", "a"),
            ("a2", "a"),
            ("a3", "a"),
            ("b1", "b"),
            ("c1", "c"),
        ] {
            let (semaphore, order) = (Arc::clone(&semaphore), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let _permit = semaphore.acquire(key).await;
                order.lock().unwrap().push(name);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(
            semaphore.ahead("d"),
            4,
            "one of each other key, and the held one"
        );
        assert_eq!(semaphore.ahead("a"), 6);
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["a1", "b1", "c1", "a2", "a3"]);
        assert_eq!(semaphore.ahead("a"), 0);
    }

    #[test]
    fn waiter_that_gives_up_takes_no_permit() {
        let semaphore = FairSemaphore::new(1, 1);
        let first = at_once(&semaphore, "a");
        let waiting: Vec<_> = (0..10_000).map(|_| semaphore.acquire("b")).collect();
        for one in waiting {
            assert!(one.now_or_never().is_none());
        }
        assert_eq!(semaphore.ahead("c"), 1);
        assert!(semaphore.state().waiting["b"].senders.len() < 20);
        drop(first);
        assert!(at_once(&semaphore, "c").is_some());
    }
}
