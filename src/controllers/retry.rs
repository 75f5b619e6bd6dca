//! When to reconcile an object again: backoff for failures, and a bound on all waiting.
//!
//! Delays have jitter, so that a thousand objects that failed together are not retried together.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::domain::{outcome::Outcome, reason::Reason};

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_mins(5);
/// Only a person can fix a stalled object, but the fix may be in AWS, in GitLab or in a Secret, where no
/// watch reports it.
const STALLED: Duration = Duration::from_mins(10);

/// How a reconcile ended, and when to reconcile again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The outcome.
    pub outcome: Outcome,
    /// When to reconcile again, for outcomes that don't say so.
    pub recheck: Option<Duration>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            recheck: None,
        }
    }
}

impl Ended {
    /// An outcome with the time until the next reconcile, if the outcome doesn't say so.
    pub fn recheck(outcome: Outcome, after: Duration) -> Self {
        Self {
            outcome,
            recheck: Some(after),
        }
    }

    /// Reconciles again at this time at the latest, if there is one.
    #[must_use]
    pub fn by(mut self, at: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(at) = at else {
            return self;
        };
        let left = Duration::try_from(at - now).unwrap_or_default();
        let left = left.max(FIRST);
        if let Outcome::Waiting { after, .. } = &mut self.outcome {
            *after = left.min(*after);
        }
        self.recheck = Some(self.recheck.map_or(left, |next| next.min(left)));
        self
    }
}

/// An object of one kind: namespace and name.
pub type Key = (Option<String>, String);

/// What is remembered of each object between its reconciles.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<Key, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    failures: u32,
    last: Option<(&'static str, Reason)>,
}

/// What follows from the end of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// When to reconcile again; `None` waits for a change.
    pub after: Option<Duration>,
    /// Whether the object's last reconcile ended differently, which is worth a line in the log.
    pub is_change: bool,
}

impl Memory {
    /// What follows from this end of an object's reconcile.
    pub fn next(&self, key: Key, ended: &Ended) -> Next {
        let word = (outcome_label(&ended.outcome), ended.outcome.reason());
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let object = objects.entry(key).or_default();
        let is_change = object.last.replace(word) != Some(word);
        if !matches!(ended.outcome, Outcome::Transient { .. }) {
            object.failures = 0;
        }
        let after = match &ended.outcome {
            Outcome::Done { .. } | Outcome::Paused { .. } => ended.recheck,
            Outcome::Waiting { after, .. } => Some(*after),
            Outcome::Transient { after, .. } => {
                let failures = object.failures;
                object.failures = failures.saturating_add(1);
                Some(after.map_or_else(|| jittered(backoff(failures)), spread))
            }
            Outcome::Stalled { .. } => Some(ended.recheck.unwrap_or_else(|| spread(STALLED))),
        };
        Next { after, is_change }
    }

    /// Forgets a deleted object.
    pub fn forget(&self, key: &Key) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

/// The outcome as a word, for labels and logs.
pub fn outcome_label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done { .. } => "done",
        Outcome::Paused { .. } => "paused",
        Outcome::Waiting { .. } => "waiting",
        Outcome::Transient { .. } => "transient",
        Outcome::Stalled { .. } => "stalled",
    }
}

fn backoff(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.min(16)).min(LAST)
}

/// Between half of the delay and all of it.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// The delay, lengthened by up to a fifth.
pub fn spread(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + fastrand::f64() / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        (None, "dev".into())
    }

    fn transient(after: Option<Duration>) -> Ended {
        Outcome::Transient {
            reason: Reason::Unavailable,
            message: String::new(),
            after,
        }
        .into()
    }

    fn done(recheck: Option<Duration>) -> Ended {
        Ended {
            outcome: Outcome::Done {
                reason: Reason::Verified,
                message: String::new(),
            },
            recheck,
        }
    }

    #[test]
    fn gate_with_an_opening_time_is_reconciled_at_that_time() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |seconds| Some(Timestamp::from_second(seconds).unwrap());
        let hour = Duration::from_hours(1);
        let after = |ended: Ended| Memory::default().next(key(), &ended).after;
        let paused = |recheck| Ended {
            outcome: Outcome::Paused {
                reason: Reason::OutsideWindow,
                message: String::new(),
            },
            recheck,
        };
        let minute = Some(Duration::from_mins(1));
        assert_eq!(after(paused(Some(hour)).by(at(60), now)), minute);
        assert_eq!(after(paused(None).by(at(60), now)), minute);
        assert_eq!(after(paused(minute).by(at(3600), now)), minute);
        assert_eq!(after(paused(Some(hour)).by(None, now)), Some(hour));
        // A gate that has just opened causes no busy loop.
        assert_eq!(after(paused(Some(hour)).by(at(-5), now)), Some(FIRST));
        let waiting = Ended::from(Outcome::Waiting {
            reason: Reason::Progressing,
            message: String::new(),
            after: hour,
        });
        assert_eq!(after(waiting.by(at(60), now)), minute);
    }

    #[test]
    fn failures_back_off_to_five_minutes_and_success_resets_the_backoff() {
        let memory = Memory::default();
        let mut longest = Duration::ZERO;
        for failure in 0..40 {
            let after = memory.next(key(), &transient(None)).after.unwrap();
            let full = backoff(failure);
            assert!(after >= full / 2 && after <= full, "{failure}: {after:?}");
            longest = longest.max(after);
        }
        assert!(
            longest > Duration::from_secs(150) && longest <= LAST,
            "{longest:?}"
        );
        memory.next(key(), &done(None));
        assert!(memory.next(key(), &transient(None)).after.unwrap() <= FIRST);
    }

    #[test]
    fn retry_delay_of_the_server_is_respected() {
        let memory = Memory::default();
        let minute = Duration::from_mins(1);
        let after = memory.next(key(), &transient(Some(minute))).after.unwrap();
        assert!(after >= minute && after <= minute * 6 / 5, "{after:?}");
    }

    #[test]
    fn done_waits_for_a_change_unless_a_recheck_is_requested() {
        let memory = Memory::default();
        assert_eq!(memory.next(key(), &done(None)).after, None);
        assert_eq!(memory.next(key(), &done(Some(LAST))).after, Some(LAST));
    }

    #[test]
    fn stalled_object_is_reconciled_again_eventually() {
        let memory = Memory::default();
        let stalled = Outcome::stalled(Reason::AccessDenied, "m").into();
        let after = memory.next(key(), &stalled).after.unwrap();
        assert!(after >= STALLED && after <= STALLED * 6 / 5, "{after:?}");
    }

    #[test]
    fn only_a_different_outcome_is_logged_as_news() {
        let memory = Memory::default();
        assert!(memory.next(key(), &done(None)).is_change);
        assert!(!memory.next(key(), &done(None)).is_change);
        assert!(memory.next(key(), &transient(None)).is_change);
        memory.forget(&key());
        assert!(memory.next(key(), &transient(None)).is_change);
    }
}
