//! The last garbage collection of each Target, and when the next one is due.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;

use crate::api::v1alpha1::Target;

/// Garbage that could not be removed is retried after this, and then after twice as long each time.
const FIRST_RETRY: Duration = Duration::from_mins(1);

/// The longest time until the next attempt.
const LAST_RETRY: Duration = Duration::from_hours(1);

/// The last garbage collection of each Target that this process attempted.
#[derive(Default)]
pub struct CollectionAttempts(Mutex<HashMap<String, Attempt>>);

struct Attempt {
    at: Instant,
    /// What the attempt covered. Newer garbage is removed at once.
    garbage: BTreeSet<String>,
    /// When to retry what is left of it.
    retry: Duration,
}

impl CollectionAttempts {
    /// How long until the garbage is due for a first or another attempt; `None` without garbage.
    pub fn due_in(
        &self,
        target: &Target,
        garbage: &BTreeSet<String>,
        now: Instant,
    ) -> Option<Duration> {
        if garbage.is_empty() {
            return None;
        }
        let entries = self.entries();
        let last = entries.get(&target.uid().unwrap_or_default());
        let last = last.filter(|last| garbage.is_subset(&last.garbage));
        Some(last.map_or(Duration::ZERO, |last| {
            (last.at + last.retry).saturating_duration_since(now)
        }))
    }

    /// Records an attempt.
    pub fn record(&self, target: &Target, garbage: BTreeSet<String>, now: Instant) {
        let mut entries = self.entries();
        let key = target.uid().unwrap_or_default();
        let last = entries.get(&key);
        let last = last.filter(|last| garbage.is_subset(&last.garbage));
        let retry = last.map_or(FIRST_RETRY, |last| (last.retry * 2).min(LAST_RETRY));
        let attempt = Attempt {
            at: now,
            garbage,
            retry,
        };
        entries.insert(key, attempt);
    }

    /// Forgets a deleted Target.
    pub fn forget(&self, target: &Target) {
        self.entries().remove(&target.uid().unwrap_or_default());
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn garbage(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn target() -> Target {
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Target",
            "metadata": {"name": "t", "namespace": "n", "uid": "u"},
            "spec": {
                "deployment": "d", "stage": "s", "account": "a", "accountId": "1", "region": "r",
                "deletionPolicy": "Retain",
            },
        }))
        .unwrap()
    }

    #[test]
    fn garbage_that_stays_is_retried_soon_and_then_less_often() {
        let (attempts, target, mut now) = (CollectionAttempts::default(), target(), Instant::now());
        let left = garbage(&["change-set"]);
        let mut delays = Vec::new();
        for _ in 0..9 {
            assert_eq!(attempts.due_in(&target, &left, now), Some(Duration::ZERO));
            attempts.record(&target, left.clone(), now);
            let delay = attempts.due_in(&target, &left, now).expect("garbage");
            delays.push(delay.as_secs() / 60);
            now += delay;
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn new_garbage_is_due_at_once() {
        let (attempts, target, now) = (CollectionAttempts::default(), target(), Instant::now());
        assert_eq!(attempts.due_in(&target, &garbage(&[]), now), None);
        for _ in 0..3 {
            attempts.record(&target, garbage(&["a", "b"]), now);
        }
        let due_in = |names: &[&str]| attempts.due_in(&target, &garbage(names), now);
        assert_eq!(due_in(&["b"]), Some(Duration::from_mins(4)));
        assert_eq!(due_in(&["b", "c"]), Some(Duration::ZERO));
        attempts.record(&target, garbage(&["b", "c"]), now);
        assert_eq!(due_in(&["b", "c"]), Some(Duration::from_mins(1)));
    }
}
