//! What a Target does once its run is carried out: drift checks and garbage collection.
//!
//! # Guarantees
//! - Between two drift checks Sluice makes no AWS call, unless garbage could not be removed. A check that finds what the last one found writes
//!   nothing.
//! - After a restart the drift checks are spread over their interval.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    controller::TargetController,
    delay::STALE,
    drift_checks::{asked, policy},
    turn::{self, Pace},
    validate,
};
use crate::{
    api::v1alpha1::{DriftPolicy, ReleaseRef, Target, TargetStatus, condition::DRIFTED},
    controllers::{
        access::Access,
        events::EventType,
        runtime::{Ended, spread},
    },
    domain::{
        desired::Desired,
        engine::{self, Decision, DriftCheck, Observation},
        outcome::{self, Outcome},
        reason::Reason,
    },
};

/// How soon a run that needs a person is reconciled again. Deadlines count only the time between passes that
/// follow each other closely.
const BLOCKED: Duration = Duration::from_mins(4);

impl TargetController {
    /// The pass of a Target without open work.
    pub(super) async fn at_rest(&self, target: &Arc<Target>) -> Ended {
        let status = target.status.clone().unwrap_or_default();
        if target.spec.run.is_none() {
            self.collect(target).await;
            return self.until_next(target, engine::outcome(&status));
        }
        if self.drift_checks.is_due(target) {
            if let Err(unrecorded) = self.check_drift(target).await {
                return unrecorded.into();
            }
            if self.is_outdated(target) {
                return Ended::recheck(engine::outcome(&status), STALE);
            }
        }
        self.collect(&self.newest(target)).await;
        let target = self.newest(target);
        let status = target.status.clone().unwrap_or_default();
        let outcome = engine::outcome(&status);
        let outcome = self.publish(&target, status, outcome, Duration::ZERO).await;
        self.until_next(&target, outcome)
    }

    /// Ends a pass. The next one comes when a drift check or a garbage collection is due, at the latest.
    pub(super) fn until_next(&self, target: &Arc<Target>, outcome: Outcome) -> Ended {
        let target = self.newest(target);
        let status = target.status.clone().unwrap_or_default();
        let run = target.spec.run.as_ref();
        if let Some(run) = run
            && !engine::settled(run, &status)
        {
            return match outcome {
                Outcome::Stalled { .. } if !engine::is_held(run, &status) => {
                    Ended::recheck(outcome, spread(BLOCKED))
                }
                _ => outcome.into(),
            };
        }
        let collection = self.next_collection(&target).map(|after| after.max(STALE));
        if run.is_none() {
            return match collection {
                Some(after) => Ended::recheck(outcome, after),
                None => outcome.into(),
            };
        }
        let mut plan = target.spec.plan.iter();
        let planned =
            plan.all(|release| engine::planned(release, target.spec.deletion_policy, &status));
        // The run came before the plan.
        if matches!(outcome, Outcome::Done { .. }) && !planned {
            return Ended::recheck(outcome, STALE);
        }
        let drift_check = self.drift_checks.next(&target);
        match collection.into_iter().chain(drift_check).min() {
            Some(after) => Ended::recheck(outcome, after),
            None => outcome.into(),
        }
    }

    /// Checks the live Release for drift and records changes. A check that could not be recorded does not
    /// count: its result would otherwise be missing for an interval.
    pub(super) async fn check_drift(&self, target: &Arc<Target>) -> Result<(), Outcome> {
        let status = target.status.clone().unwrap_or_default();
        if policy(target) == DriftPolicy::Ignore {
            if let Some(next) = engine::stop_drift_checks(&status) {
                self.record(target, next).await?;
            }
            return Ok(());
        }
        let live = status.live.as_ref().map(|live| live.release.clone());
        let (Some(live), Some(run)) = (live, target.spec.run.clone()) else {
            self.drift_checks.record(target);
            return Ok(());
        };
        let asked = asked(target).map(str::to_owned);
        let check = || DriftCheck {
            asked: asked.as_deref(),
            generation: target.metadata.generation,
            now: Timestamp::now(),
        };
        match self.enter(target, &live).await {
            Ok((access, desired)) => {
                let owner = access.owner.clone();
                let decide = |status: &TargetStatus, observed: &Observation, _| {
                    engine::decide_drift(&desired, &run, status, &owner, observed, check())
                };
                let mut known = engine::Known::default();
                let pace = Pace::in_background();
                let ended = self
                    .drive(target, &access, &mut known, true, pace, decide)
                    .await;
                if turn::was_called_off(&ended) {
                    self.drift_checks.postpone(target);
                    return Ok(());
                }
                if matches!(ended, Outcome::Transient { .. } | Outcome::Waiting { .. }) {
                    return Err(ended);
                }
            }
            Err(why) => {
                let inconclusive_drift =
                    engine::inconclusive_drift(&status, why.reason(), why.message(), check());
                if let Decision::Record(next) = inconclusive_drift {
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
                .drift_checked(match drifted.status.as_str() {
                    "True" => "drifted",
                    "False" => "in_sync",
                    _ => "unknown",
                });
        }
        self.drift_checks.record(&target);
        Ok(())
    }

    /// The clients of the account, and the desired state.
    async fn enter(
        &self,
        target: &Target,
        live: &ReleaseRef,
    ) -> Result<(Access, Desired), Outcome> {
        let access = Access::enter(&self.context, target).await?;
        let desired = validate::desired_state(&self.context, target, live, &access)?;
        Ok((access, desired))
    }

    /// Publishes an Event when drift appears, changes or disappears.
    pub(super) fn announce_drift(&self, before: &Target, after: &Target) {
        let drifted = |target: &Target| {
            let conditions = target.status.as_ref().map(|status| &status.conditions);
            let drifted = outcome::find(conditions?, DRIFTED)?;
            Some((drifted.status.clone(), drifted.message.clone()))
        };
        let Some((status, message)) = drifted(after) else {
            return;
        };
        let previous = drifted(before);
        if previous.as_ref() == Some(&(status.clone(), message.clone())) {
            return;
        }
        let changed = previous.is_some_and(|(previous, _)| previous != status);
        let (kind, reason) = match status.as_str() {
            "True" => (EventType::Warning, Reason::Drifted),
            "False" if changed => (EventType::Normal, Reason::InSync),
            _ => return,
        };
        let about = kube::Resource::object_ref(after, &());
        self.context.events.publish(about, kind, reason, &message);
    }
}

/// An ended delivery answers a drift check that was requested meanwhile.
pub fn answer_drift_check(target: &Target, status: &mut TargetStatus) {
    if let Some(asked) = asked(target) {
        let drift = status.drift.get_or_insert_default();
        drift.handled_check = Some(asked.to_owned());
    }
}
