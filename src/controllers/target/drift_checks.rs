//! When the next drift check of each Target is due.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::{DriftPolicy, Target, TargetDrift, TargetStatus, condition::DRIFTED},
    domain::{duration::duration, engine, outcome},
};

/// An inconclusive drift check is repeated after this, if the interval is longer.
const RETRY: Duration = Duration::from_mins(1);

/// What Sluice does about drift.
pub fn policy(target: &Target) -> DriftPolicy {
    let drift = target.spec.drift.as_ref();
    drift.map_or(DriftPolicy::Ignore, |drift| drift.policy)
}

/// The drift check that a user requests.
pub fn asked(target: &Target) -> Option<&str> {
    let drift = target.spec.drift.as_ref()?;
    (drift.policy != DriftPolicy::Ignore)
        .then_some(drift.request.as_deref())
        .flatten()
}

fn interval(drift: &TargetDrift) -> Duration {
    duration(&drift.interval).unwrap_or(Duration::from_mins(10))
}

/// The last drift check of each Target that this process made.
#[derive(Default)]
pub struct DriftChecks(Mutex<HashMap<String, LastCheck>>);

#[derive(Clone, Copy)]
struct LastCheck {
    at: Instant,
    /// The share of the interval that is added before the next check, so that Targets don't stay in step.
    spread: f64,
}

impl DriftChecks {
    /// Whether a drift check is due, or the status still has drift that is ignored now.
    pub fn is_due(&self, target: &Target) -> bool {
        let status = target.status.as_ref();
        if policy(target) == DriftPolicy::Ignore {
            return status.is_some_and(|status| engine::stop_drift_checks(status).is_some());
        }
        let handled = status
            .and_then(|status| status.drift.as_ref())
            .and_then(|drift| drift.handled_check.as_deref());
        let asked = asked(target);
        (asked.is_some() && asked != handled) || self.next(target) == Some(Duration::ZERO)
    }

    /// How long until the next drift check; `None` if drift is ignored.
    pub fn next(&self, target: &Target) -> Option<Duration> {
        let drift = target.spec.drift.as_ref()?;
        if drift.policy == DriftPolicy::Ignore {
            return None;
        }
        let mut interval = interval(drift);
        let status = target.status.as_ref()?;
        let drifted = outcome::find(&status.conditions, DRIFTED);
        if drifted.is_some_and(|drifted| drifted.status == "Unknown") {
            interval = interval.min(RETRY);
        }
        let mut entries = self.entries();
        let entry = entries.entry(target.uid().unwrap_or_default());
        let last = entry.or_insert_with(|| first(status, interval));
        let pause = interval.mul_f64(1.0 + last.spread);
        Some(pause.saturating_sub(last.at.elapsed()))
    }

    /// Records a drift check made just now.
    pub fn record(&self, target: &Target) {
        let last = LastCheck {
            at: Instant::now(),
            spread: fastrand::f64() / 5.0,
        };
        let key = target.uid().unwrap_or_default();
        self.entries().insert(key, last);
    }

    /// Postpones a drift check that gave way to other work: it is due again in a minute.
    pub fn postpone(&self, target: &Target) {
        let pause = target.spec.drift.as_ref().map_or(RETRY, interval);
        let now = Instant::now();
        let last = LastCheck {
            at: now.checked_sub(pause.saturating_sub(RETRY)).unwrap_or(now),
            spread: 0.0,
        };
        let key = target.uid().unwrap_or_default();
        self.entries().insert(key, last);
    }

    /// Forgets a Target that has a run or is deleted.
    pub fn forget(&self, target: &Target) {
        self.entries().remove(&target.uid().unwrap_or_default());
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, LastCheck>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that just ended counts as a drift check. Otherwise a random time within the last interval counts as
/// the last check, so that a new process does not check a thousand Targets at once.
fn first(status: &TargetStatus, interval: Duration) -> LastCheck {
    let ended = status.run.as_ref().and_then(|run| run.finished_at.as_ref());
    let since = ended.and_then(|at| Duration::try_from(Timestamp::now() - at.0).ok());
    let since = since
        .filter(|since| *since < interval)
        .unwrap_or_else(|| interval.mul_f64(fastrand::f64()));
    let now = Instant::now();
    LastCheck {
        at: now.checked_sub(since).unwrap_or(now),
        spread: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// A Target with an hourly drift check, whose run ended `ended` ago.
    fn target(uid: usize, policy: &str, ended: Duration) -> Target {
        let at = Timestamp::now() - ended;
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Target",
            "metadata": {"name": "t", "namespace": "n", "uid": uid.to_string()},
            "spec": {
                "deployment": "d", "stage": "s", "account": "a", "accountId": "1", "region": "r",
                "deletionPolicy": "Retain",
                "drift": {"interval": "1h", "policy": policy, "request": "once"},
            },
            "status": {
                "drift": {"handledCheck": "once"},
                "run": {
                    "release": {"name": "r", "uid": "u", "revision": 1}, "attempt": 1, "journalVersion": 1,
                    "step": "Succeeded", "startedAt": at, "progressedAt": at, "finishedAt": at,
                },
            },
        }))
        .unwrap()
    }

    #[test]
    fn drift_checks_are_spread_over_the_interval_after_a_restart() {
        let drift_checks = DriftChecks::default();
        let day = Duration::from_hours(24);
        let next = |uid| drift_checks.next(&target(uid, "Report", day)).unwrap();
        let all: Vec<Duration> = (0..400).map(next).collect();
        assert!(all.iter().all(|after| *after <= HOUR));
        for quarter in 0..4 {
            let (from, to) = (HOUR * quarter / 4, HOUR * (quarter + 1) / 4);
            let within = all.iter().filter(|at| **at >= from && **at < to).count();
            assert!(within > 40, "{within} checks in quarter {quarter}");
        }
        let later = all[1].saturating_sub(next(1));
        assert!(later < Duration::from_mins(5), "the time stays the same");
    }

    #[test]
    fn ended_run_counts_as_a_drift_check() {
        let drift_checks = DriftChecks::default();
        let target = target(1, "Report", Duration::from_mins(10));
        let next = drift_checks.next(&target).unwrap();
        let within = Duration::from_mins(45)..=Duration::from_mins(50);
        assert!(within.contains(&next), "{next:?}");
        assert!(!drift_checks.is_due(&target));
    }

    #[test]
    fn requested_drift_check_is_due_unless_drift_is_ignored() {
        let drift_checks = DriftChecks::default();
        let mut asked = target(1, "Report", Duration::from_mins(10));
        asked.spec.drift.as_mut().unwrap().request = Some("again".into());
        assert!(drift_checks.is_due(&asked));
        let mut ignoring = target(2, "Ignore", Duration::from_mins(10));
        ignoring.spec.drift.as_mut().unwrap().request = Some("again".into());
        assert_eq!(drift_checks.next(&ignoring), None);
        assert!(drift_checks.is_due(&ignoring), "the status still has drift");
        ignoring.status.as_mut().unwrap().drift = None;
        assert!(!drift_checks.is_due(&ignoring));
    }
}
