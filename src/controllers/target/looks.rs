//! When each Target is looked at again: whether AWS still is as it left it.

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

/// What could not be told is looked at again after this, where the interval is longer.
const UNTOLD: Duration = Duration::from_mins(1);

/// What happens about changes that somebody else made.
pub fn policy(target: &Target) -> DriftPolicy {
    let drift = target.spec.drift.as_ref();
    drift.map_or(DriftPolicy::Ignore, |drift| drift.policy)
}

/// The look that somebody asks for.
pub fn asked(target: &Target) -> Option<&str> {
    let drift = target.spec.drift.as_ref()?;
    (drift.policy != DriftPolicy::Ignore)
        .then_some(drift.look.as_deref())
        .flatten()
}

fn interval(drift: &TargetDrift) -> Duration {
    duration(&drift.interval).unwrap_or(Duration::from_mins(10))
}

/// When each Target was looked at last, as far as this process knows.
#[derive(Default)]
pub struct Looks(Mutex<HashMap<String, Looked>>);

#[derive(Clone, Copy)]
struct Looked {
    at: Instant,
    /// How much longer than the interval it is to the next: what began together does not stay so.
    spread: f64,
}

impl Looks {
    /// Whether it is time to look, or there is something to be let go of.
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

    /// How long until it is time; `None` where nobody looks.
    pub fn next(&self, target: &Target) -> Option<Duration> {
        let drift = target.spec.drift.as_ref()?;
        if drift.policy == DriftPolicy::Ignore {
            return None;
        }
        let mut interval = interval(drift);
        let status = target.status.as_ref()?;
        let drifted = outcome::find(&status.conditions, DRIFTED);
        if drifted.is_some_and(|drifted| drifted.status == "Unknown") {
            interval = interval.min(UNTOLD);
        }
        let mut entries = self.entries();
        let entry = entries.entry(target.uid().unwrap_or_default());
        let looked = entry.or_insert_with(|| first(status, interval));
        let pause = interval.mul_f64(1.0 + looked.spread);
        Some(pause.saturating_sub(looked.at.elapsed()))
    }

    /// It was looked at just now.
    pub fn looked(&self, target: &Target) {
        let looked = Looked {
            at: Instant::now(),
            spread: fastrand::f64() / 5.0,
        };
        let key = target.uid().unwrap_or_default();
        self.entries().insert(key, looked);
    }

    /// It was not looked at, because there was something else to do: it is time again in a minute.
    pub fn put_off(&self, target: &Target) {
        let pause = target.spec.drift.as_ref().map_or(UNTOLD, interval);
        let now = Instant::now();
        let looked = Looked {
            at: now.checked_sub(pause.saturating_sub(UNTOLD)).unwrap_or(now),
            spread: 0.0,
        };
        let key = target.uid().unwrap_or_default();
        self.entries().insert(key, looked);
    }

    /// It is being worked on, or gone.
    pub fn forget(&self, target: &Target) {
        self.entries().remove(&target.uid().unwrap_or_default());
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, Looked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that just ended has looked; else some look within the last interval is made up, so that a
/// thousand Targets of a process that just began do not look at once.
fn first(status: &TargetStatus, interval: Duration) -> Looked {
    let ended = status.run.as_ref().and_then(|run| run.finished_at.as_ref());
    let since = ended.and_then(|at| Duration::try_from(Timestamp::now() - at.0).ok());
    let since = since
        .filter(|since| *since < interval)
        .unwrap_or_else(|| interval.mul_f64(fastrand::f64()));
    let now = Instant::now();
    Looked {
        at: now.checked_sub(since).unwrap_or(now),
        spread: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// A Target whose run ended so long ago, that looks every hour.
    fn target(uid: usize, policy: &str, ended: Duration) -> Target {
        let at = Timestamp::now() - ended;
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Target",
            "metadata": {"name": "t", "namespace": "n", "uid": uid.to_string()},
            "spec": {
                "deployment": "d", "stage": "s", "account": "a", "accountId": "1", "region": "r",
                "deletionPolicy": "Retain",
                "drift": {"interval": "1h", "policy": policy, "look": "once"},
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
    fn after_a_restart_the_looks_are_spread_over_the_interval() {
        let looks = Looks::default();
        let day = Duration::from_hours(24);
        let next = |uid| looks.next(&target(uid, "Report", day)).unwrap();
        let all: Vec<Duration> = (0..400).map(next).collect();
        assert!(all.iter().all(|after| *after <= HOUR));
        for quarter in 0..4 {
            let (from, to) = (HOUR * quarter / 4, HOUR * (quarter + 1) / 4);
            let within = all.iter().filter(|at| **at >= from && **at < to).count();
            assert!(within > 40, "{within} looks in quarter {quarter}");
        }
        let later = all[1].saturating_sub(next(1));
        assert!(later < Duration::from_mins(5), "and stay so");
    }

    #[test]
    fn a_run_that_just_ended_has_looked() {
        let looks = Looks::default();
        let target = target(1, "Report", Duration::from_mins(10));
        let next = looks.next(&target).unwrap();
        let within = Duration::from_mins(45)..=Duration::from_mins(50);
        assert!(within.contains(&next), "{next:?}");
        assert!(!looks.is_due(&target));
    }

    #[test]
    fn who_asks_gets_a_look_and_nobody_looks_where_drift_is_ignored() {
        let looks = Looks::default();
        let mut asked = target(1, "Report", Duration::from_mins(10));
        asked.spec.drift.as_mut().unwrap().look = Some("again".into());
        assert!(looks.is_due(&asked));
        let mut ignoring = target(2, "Ignore", Duration::from_mins(10));
        ignoring.spec.drift.as_mut().unwrap().look = Some("again".into());
        assert_eq!(looks.next(&ignoring), None);
        assert!(looks.is_due(&ignoring), "what was said is to be taken back");
        ignoring.status.as_mut().unwrap().drift = None;
        assert!(!looks.is_due(&ignoring));
    }
}
