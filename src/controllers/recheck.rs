//! Periodic checks of external systems that don't announce changes: when the next check is due, and what all
//! such checks share.
//!
//! After a restart, objects with a good and current status are not checked at once, all together. Their
//! checks are spread over the interval.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{Api, ResourceExt as _, core::object::HasStatus};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    cache::Cache,
    context::Context,
    report::{Found, Reported, publish},
    retry::{Ended, spread},
    watched,
};
use crate::{
    api::v1alpha1::condition::READY,
    domain::{
        outcome::{Outcome, is_true},
        reason::Reason,
    },
};

/// How often a good state is confirmed.
const GOOD: Duration = Duration::from_mins(10);
/// How often a bad state is checked again.
const BAD: Duration = Duration::from_mins(1);
/// How many transient failures in a row a good state survives.
const TOLERATED: u32 = 4;

/// The objects of a kind that represent something external.
pub struct Watched<K: watched::Watched> {
    rechecks: Rechecks,
    cache: Cache<K>,
}

impl<K> Watched<K>
where
    K: watched::Watched + HasStatus + DeserializeOwned,
    K::Status: Reported + Default,
{
    /// The objects of this cache, with nothing remembered.
    pub fn new(cache: Cache<K>) -> Self {
        Self {
            rechecks: Rechecks::default(),
            cache,
        }
    }

    /// The object as last written.
    pub fn newest(&self, cached: &Arc<K>) -> Arc<K> {
        self.cache.newest(cached)
    }

    /// Checks the object, if a check is due, and publishes the result.
    ///
    /// `mark` hashes everything whose change invalidates the last check. A transient failure ends a good
    /// state only after several in a row.
    pub async fn reconcile(
        &self,
        context: &Context,
        api: &Api<K>,
        object: &K,
        mark: u64,
        check: impl Future<Output = Found<K::Status>> + Send,
    ) -> Ended {
        let uid = object.uid().unwrap_or_default();
        if object.meta().deletion_timestamp.is_some() {
            self.rechecks.forget(&uid);
            let message = format!("the {} is being deleted", K::kind(&()));
            return Outcome::done(Reason::Gone, message).into();
        }
        let before = object.status().cloned().unwrap_or_default();
        let good = before.speaks_of() == object.meta().generation
            && is_true(before.current_conditions(), READY);
        if let Some(rest) = self.rechecks.rest(&uid, mark, good, Instant::now()) {
            return Ended::recheck(Outcome::done(Reason::Unchanged, "checked recently"), rest);
        }
        let found = check.await;
        let recheck = self
            .rechecks
            .checked(&uid, mark, &found.outcome, Instant::now());
        let is_transient = matches!(found.outcome, Outcome::Transient { .. });
        if !(is_transient && good && !self.rechecks.in_doubt(&uid)) {
            match publish(context, api, object, &before, &found).await {
                Ok(written) => self.cache.note(written),
                Err(end) => {
                    self.rechecks.forget(&uid);
                    return end.into();
                }
            }
        }
        Ended {
            outcome: found.outcome,
            recheck,
        }
    }
}

/// When each object of a kind is checked again, by uid.
#[derive(Debug, Default)]
struct Rechecks(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    mark: u64,
    due: Instant,
    failures: u32,
}

impl Rechecks {
    /// How long until the next check of the object; `None` if it is due now.
    ///
    /// `mark` hashes everything whose change invalidates the last check. `settled` says that the object's
    /// status is good and of its present generation.
    fn rest(&self, uid: &str, mark: u64, settled: bool, now: Instant) -> Option<Duration> {
        let mut entries = self.entries();
        let entry = match entries.get(uid) {
            Some(entry) => entry,
            None if settled => {
                let due = now + GOOD.mul_f64(fastrand::f64());
                let entry = Entry {
                    mark,
                    due,
                    failures: 0,
                };
                entries.entry(uid.to_owned()).or_insert(entry)
            }
            None => return None,
        };
        let rest = entry.due.saturating_duration_since(now);
        (entry.mark == mark && !rest.is_zero()).then_some(rest)
    }

    /// Records a check, whose outcome decides when the next one is due. Returns that time, unless the outcome
    /// itself has one.
    fn checked(&self, uid: &str, mark: u64, outcome: &Outcome, now: Instant) -> Option<Duration> {
        let after = match outcome {
            Outcome::Done { .. } | Outcome::Paused { .. } => Some(spread(GOOD)),
            Outcome::Stalled { .. } => Some(spread(BAD)),
            Outcome::Waiting { .. } | Outcome::Transient { .. } => None,
        };
        let mut entries = self.entries();
        let failures = match (after, entries.get(uid)) {
            (None, Some(entry)) => entry.failures + 1,
            (None, None) => 1,
            (Some(_), _) => 0,
        };
        let entry = Entry {
            mark,
            due: now + after.unwrap_or_default(),
            failures,
        };
        entries.insert(uid.to_owned(), entry);
        after
    }

    /// Whether transient failures have lasted too long for a good state to stand.
    fn in_doubt(&self, uid: &str) -> bool {
        self.entries()
            .get(uid)
            .is_some_and(|entry| entry.failures > TOLERATED)
    }

    /// Forgets a deleted object.
    fn forget(&self, uid: &str) {
        self.entries().remove(uid);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> Outcome {
        Outcome::Done {
            reason: Reason::Verified,
            message: String::new(),
        }
    }

    fn transient() -> Outcome {
        Outcome::Transient {
            reason: Reason::Throttled,
            message: String::new(),
            after: None,
        }
    }

    #[test]
    fn checks_of_good_objects_are_spread_over_the_interval_after_a_restart() {
        let (rechecks, now) = (Rechecks::default(), Instant::now());
        let rests: Vec<_> = (0..100)
            .filter_map(|uid| rechecks.rest(&uid.to_string(), 1, true, now))
            .collect();
        assert!(rests.len() >= 99, "{}", rests.len());
        assert!(rests.iter().all(|rest| *rest <= GOOD));
        assert!(rests.iter().any(|rest| *rest < GOOD / 3));
        assert!(rests.iter().any(|rest| *rest > GOOD / 3 * 2));
    }

    #[test]
    fn unsettled_or_changed_object_is_checked_at_once() {
        let (rechecks, now) = (Rechecks::default(), Instant::now());
        assert_eq!(rechecks.rest("a", 1, false, now), None);
        let after = rechecks.checked("a", 1, &done(), now).unwrap();
        assert_eq!(rechecks.rest("a", 1, true, now), Some(after));
        assert_eq!(rechecks.rest("a", 2, true, now), None);
        assert_eq!(rechecks.rest("a", 1, true, now + after), None);
    }

    #[test]
    fn bad_state_is_checked_sooner() {
        let (rechecks, now) = (Rechecks::default(), Instant::now());
        let after = rechecks.checked("a", 1, &Outcome::stalled(Reason::AccessDenied, "a"), now);
        assert!(after.unwrap() < GOOD / 5);
    }

    #[test]
    fn good_state_survives_a_few_failures_in_a_row() {
        let (rechecks, now) = (Rechecks::default(), Instant::now());
        for _ in 0..TOLERATED {
            assert_eq!(rechecks.checked("a", 1, &transient(), now), None);
            assert!(!rechecks.in_doubt("a"));
        }
        rechecks.checked("a", 1, &transient(), now);
        assert!(rechecks.in_doubt("a"));
        rechecks.checked("a", 1, &done(), now);
        rechecks.checked("a", 1, &transient(), now);
        assert!(!rechecks.in_doubt("a"));
    }
}
