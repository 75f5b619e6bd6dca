//! What a Target does once its order is carried out: it looks from time to time whether AWS still is
//! as it left it, and removes what nothing needs any more.
//!
//! # Guarantees
//! - Between two looks no call is made to AWS, and a look that finds what the last one found writes
//!   nothing.
//! - After a restart the Targets look one after the other, spread over their interval.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::{
    BLOCKED, STALE, TargetController,
    access::Access,
    turn::{self, Pace},
    validate,
};
use crate::{
    api::v1alpha1::{
        DriftPolicy, ReleaseRef, Target, TargetDrift, TargetStatus, condition::DRIFTED,
    },
    controllers::{
        events::EventType,
        runtime::{Ended, spread},
    },
    domain::{
        desired::Desired,
        duration::duration,
        machine::{self, Decision, Look, Observation},
        outcome::{self, Outcome},
    },
};

/// What could not be told is looked at again after this, where the interval is longer.
const UNTOLD: Duration = Duration::from_mins(1);

impl TargetController {
    /// Nothing is ordered that is not carried out.
    pub(super) async fn at_rest(&self, target: &Arc<Target>) -> Ended {
        let status = target.status.clone().unwrap_or_default();
        if target.spec.run.is_none() {
            return machine::outcome(&status).into();
        }
        if self.looks.is_due(target) {
            if let Err(unrecorded) = self.look(target).await {
                return unrecorded.into();
            }
            if self.is_outdated(target) {
                return Ended::recheck(machine::outcome(&status), STALE);
            }
        }
        self.collect(&self.newest(target)).await;
        let target = self.newest(target);
        let status = target.status.clone().unwrap_or_default();
        let outcome = machine::outcome(&status);
        let outcome = self.publish(&target, status, outcome, Duration::ZERO).await;
        self.until_next(&target, outcome)
    }

    /// The ending of a pass, to be followed by the next look at the latest.
    pub(super) fn until_next(&self, target: &Arc<Target>, outcome: Outcome) -> Ended {
        let target = self.newest(target);
        let status = target.status.clone().unwrap_or_default();
        let run = target.spec.run.as_ref();
        if let Some(run) = run
            && !machine::settled(run, &status)
        {
            return match outcome {
                Outcome::Stalled { .. } if !machine::is_held(run, &status) => {
                    Ended::recheck(outcome, spread(BLOCKED))
                }
                _ => outcome.into(),
            };
        }
        if run.is_none() {
            return outcome.into();
        }
        let mut plan = target.spec.plan.iter();
        let planned =
            plan.all(|release| machine::planned(release, target.spec.deletion_policy, &status));
        // The order came before the plan, and before what it leaves behind.
        if matches!(outcome, Outcome::Done { .. }) && (!planned || self.clutter(&target).is_some())
        {
            return Ended::recheck(outcome, STALE);
        }
        match self.looks.next(&target) {
            Some(after) => Ended::recheck(outcome, after),
            None => outcome.into(),
        }
    }

    /// Looks at what serves, and writes down what is new. What could not be written down was not looked at:
    /// else nobody would know of it for an interval.
    pub(super) async fn look(&self, target: &Arc<Target>) -> Result<(), Outcome> {
        let status = target.status.clone().unwrap_or_default();
        if policy(target) == DriftPolicy::Ignore {
            if let Some(next) = machine::stop_looking(&status) {
                self.record(target, next).await?;
            }
            return Ok(());
        }
        let live = status.live.as_ref().map(|live| live.release.clone());
        let (Some(live), Some(run)) = (live, target.spec.run.clone()) else {
            self.looks.looked(target);
            return Ok(());
        };
        let asked = asked(target).map(str::to_owned);
        let look = || Look {
            asked: asked.as_deref(),
            generation: target.metadata.generation,
            now: Timestamp::now(),
        };
        match self.place(target, &live).await {
            Ok((access, desired)) => {
                let owner = access.owner.clone();
                let decide = |status: &TargetStatus, seen: &Observation, _| {
                    machine::decide_drift(&desired, &run, status, &owner, seen, look())
                };
                let mut known = machine::Known::default();
                let pace = Pace::in_background();
                let ended = self
                    .drive(target, &access, &mut known, true, pace, decide)
                    .await;
                if turn::was_called_off(&ended) {
                    self.looks.put_off(target);
                    return Ok(());
                }
                if matches!(ended, Outcome::Transient { .. } | Outcome::Waiting { .. }) {
                    return Err(ended);
                }
            }
            Err(why) => {
                let untold = machine::untold(&status, why.reason(), why.message(), look());
                if let Decision::Record(next) = untold {
                    self.record(target, *next).await?;
                }
            }
        }
        let target = self.newest(target);
        let conditions = target.status.iter().flat_map(|status| &status.conditions);
        let found = conditions.filter(|one| one.type_ == DRIFTED);
        for drifted in found {
            self.context
                .metrics
                .drift_looked(match drifted.status.as_str() {
                    "True" => "drifted",
                    "False" => "in_sync",
                    _ => "unknown",
                });
        }
        self.looks.looked(&target);
        Ok(())
    }

    /// The way in, and what should be there.
    async fn place(
        &self,
        target: &Target,
        live: &ReleaseRef,
    ) -> Result<(Access, Desired), Outcome> {
        let access = Access::enter(&self.context, target).await?;
        let desired = validate::wanted(&self.context, target, live, &access)?;
        Ok((access, desired))
    }

    /// An Event where AWS is no longer as it was left, or is so again.
    pub(super) fn announce_drift(&self, before: &Target, after: &Target) {
        let said = |target: &Target| {
            let conditions = target.status.as_ref().map(|status| &status.conditions);
            let drifted = outcome::find(conditions?, DRIFTED)?;
            Some((drifted.status.clone(), drifted.message.clone()))
        };
        let Some((word, message)) = said(after) else {
            return;
        };
        let then = said(before);
        if then.as_ref() == Some(&(word.clone(), message.clone())) {
            return;
        }
        let changed = then.is_some_and(|(then, _)| then != word);
        let (kind, reason) = match word.as_str() {
            "True" => (EventType::Warning, "Drifted"),
            "False" if changed => (EventType::Normal, "InSync"),
            _ => return,
        };
        let about = kube::Resource::object_ref(after, &());
        self.context.events.publish(about, kind, reason, &message);
    }
}

/// A delivery that ended has looked for whoever asked in the meantime.
pub fn answer_look(target: &Target, status: &mut TargetStatus) {
    if let Some(asked) = asked(target) {
        let drift = status.drift.get_or_insert_default();
        drift.handled_look = Some(asked.to_owned());
    }
}

fn policy(target: &Target) -> DriftPolicy {
    let drift = target.spec.drift.as_ref();
    drift.map_or(DriftPolicy::Ignore, |drift| drift.policy)
}

/// The look that somebody asks for.
fn asked(target: &Target) -> Option<&str> {
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
            return status.is_some_and(|status| machine::stop_looking(status).is_some());
        }
        let handled = status
            .and_then(|status| status.drift.as_ref())
            .and_then(|drift| drift.handled_look.as_deref());
        let asked = asked(target);
        (asked.is_some() && asked != handled) || self.next(target) == Some(Duration::ZERO)
    }

    /// How long until it is time; `None` where nobody looks.
    fn next(&self, target: &Target) -> Option<Duration> {
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
    fn looked(&self, target: &Target) {
        let looked = Looked {
            at: Instant::now(),
            spread: fastrand::f64() / 5.0,
        };
        let key = target.uid().unwrap_or_default();
        self.entries().insert(key, looked);
    }

    /// It was not looked at, because there was something else to do: it is time again in a minute.
    fn put_off(&self, target: &Target) {
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
                "drift": {"handledLook": "once"},
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
