//! The engine's shell: carries out on one Target what [`engine::decide`] says.
//!
//! # Expected flow
//! *observe → validate → decide → execute → publish*, as often as there is something to do, then
//! come back when AWS has settled or the Target changes.
//!
//! # Guarantees
//! - Intents are in the API server, at the resourceVersion they were decided from, before anything
//!   is carried out.
//! - The status is published on every way out, and only when it says something new.
//! - Calls wait for their turn in the account's budgets for as long as that takes, by how urgent they are
//!   (`turn`). That is shown, and no failure.
//! - A Target whose order is carried out costs no AWS call but for the looks whether AWS still is as it
//!   left it.

mod admission;
mod begin;
mod collect;
mod collections;
mod controller;
mod delay;
mod deletion;
mod execute;
mod looks;
mod memory;
mod observe;
mod preflight;
mod records;
mod remove;
mod rest;
mod shared;
mod turn;
mod validate;
mod watch;

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;
use kube::{Api, Resource as _, ResourceExt as _};

pub use self::{admission::Admissions, controller::TargetController, deletion::waits_for};
use self::{
    delay::{SHORT_WAIT, STALE},
    turn::Pace,
};
use crate::{
    api::v1alpha1::{Goal, ReleaseRef, Run, Target, TargetStatus, condition},
    controllers::{
        access::{Access, owner},
        api_failure::api_failure,
        events::EventType,
        runtime::Ended,
    },
    domain::{
        engine::{self, Decision, Observation, Order, Step},
        outcome::{self, Outcome},
        reason::Reason,
    },
};

/// How often a decision may be asked for in one pass: far more than any run needs, so that a mistake
/// ends in a wait and not in a loop.
const MAX_DECISIONS: usize = 1_000;

impl TargetController {
    /// Brings one Target a step further.
    pub async fn reconcile(&self, target: Arc<Target>) -> Ended {
        let target = self.newest(&target);
        if target.metadata.deletion_timestamp.is_some() {
            self.context.admissions.leave(&target);
            return Box::pin(self.remove(&target)).await;
        }
        let status = target.status.clone().unwrap_or_default();
        let Some(work) = Work::on(&target, &status) else {
            self.memory.forget(&target);
            self.context.invocations.forget(&target);
            self.context.admissions.leave(&target);
            return Box::pin(self.at_rest(&target)).await;
        };
        if let Work::Run(run) = work {
            self.looks.forget(&target);
            if let Some(waits) = self.waits_to_begin(&target, run, &status).await {
                return waits.into();
            }
        } else if self.looks.is_due(&target) {
            // What serves is looked at however long its next plan can't be made.
            return match self.look(&target).await {
                Ok(()) => Ended::recheck(engine::outcome(&status), STALE),
                Err(unrecorded) => unrecorded.into(),
            };
        }
        let outcome = self.work(&target, &status, work).await;
        self.let_others_begin(&target, &outcome);
        self.until_next(&target, outcome)
    }

    /// The Target as it was written last.
    fn newest(&self, target: &Arc<Target>) -> Arc<Target> {
        self.context.stores.targets.newest(target)
    }

    /// Carries out what there is to do.
    async fn work(&self, target: &Target, status: &TargetStatus, work: Work<'_>) -> Outcome {
        let open = match work {
            Work::Run(run) => Some(run),
            Work::Plan(_) => None,
        };
        let access = match Access::enter(&self.context, target).await {
            Ok(access) => access,
            Err(outcome) => return self.not_begun(target, open, outcome).await,
        };
        let (run, order) = match work {
            Work::Run(run) => {
                let run = engine::effective(run, status);
                let order = validate::order(&self.context, target, &run, &access);
                (run, order)
            }
            Work::Plan(release) => {
                let desired = validate::wanted(&self.context, target, release, &access);
                let stage = &target.spec.stage;
                let desired = match desired {
                    Ok(desired) => {
                        preflight::planned(&access, status, release, stage, desired).await
                    }
                    Err(outcome) => Err(outcome),
                };
                (planning(release), desired.map(Order::Plan))
            }
        };
        let order = match order {
            Ok(order) => order,
            Err(outcome) => {
                // What waits at the gate now can be approved only once it is planned.
                if open.is_some()
                    && outcome.reason() == Reason::NotApproved
                    && let Some(release) = unplanned(target, status)
                {
                    return Box::pin(self.work(target, status, Work::Plan(release))).await;
                }
                return self.not_begun(target, open, outcome).await;
            }
        };
        let mut known = self.memory.known(target, Some(&run));
        if open.is_some() {
            self.context.invocations.begin(target, &run);
        }
        let owner = access.owner.clone();
        let decide = |status: &TargetStatus, observed: &Observation, now| {
            engine::decide(&order, &run, status, &owner, observed, now)
        };
        let verify = !matches!(order, Order::Deliver(_));
        let urgency = |status: &TargetStatus| engine::urgency(&order, &run, status);
        let pace = Pace::of_order(&urgency);
        let outcome = self
            .drive(target, &access, &mut known, verify, pace, decide)
            .await;
        if open.is_none() {
            // How long a plan could not be made is no concern of the order that may follow.
            known.clocks.unblock();
        }
        self.memory.keep(target, Some(&run), known);
        outcome
    }

    /// Decides and does, until there is nothing to do now.
    async fn drive(
        &self,
        target: &Target,
        access: &Access,
        known: &mut engine::Known,
        verify: bool,
        pace: Pace<'_>,
        decide: impl Fn(&TargetStatus, &Observation, Timestamp) -> Decision,
    ) -> Outcome {
        let mut target = target.clone();
        let mut observed = Observation::of(std::mem::take(known), Timestamp::now());
        let mut outcome = Outcome::Waiting {
            reason: Reason::Busy,
            message: "Going on with the next step".to_owned(),
            after: STALE,
        };
        for _ in 0..MAX_DECISIONS {
            let status = target.status.clone().unwrap_or_default();
            match decide(&status, &observed, Timestamp::now()) {
                Decision::Observe(reads) => {
                    if let Some(why) = engine::refused_read(&reads, &access.permissions) {
                        outcome = self.not_granted(&target, status, why).boxed().await;
                        break;
                    }
                    let turn = pace.turn(&target, &status);
                    let wave = observe::read(&self.context, access, &status, reads, &mut observed);
                    self.in_turn(&mut target, &turn, pace, wave).await;
                    if let Some(end) = turn::ended(&turn, &mut observed) {
                        outcome = end;
                        break;
                    }
                }
                Decision::Record(next) => match self.record(&target, *next).await {
                    Ok(recorded) => {
                        observed.recorded(&status, &recorded.status.clone().unwrap_or_default());
                        if step(&recorded) == Some(Step::Restore) {
                            self.context.invocations.forget(&recorded);
                        }
                        target = recorded;
                    }
                    Err(end) => {
                        outcome = end;
                        break;
                    }
                },
                Decision::Execute(effects) => {
                    if !self.context.fence.may_write() {
                        outcome = Outcome::Waiting {
                            reason: Reason::NotLeading,
                            message: "This process no longer holds the Lease".to_owned(),
                            after: Duration::from_secs(1),
                        };
                        break;
                    }
                    if let Some(why) = engine::refused_effect(&effects, &access.permissions) {
                        outcome = self.not_granted(&target, status, why).boxed().await;
                        break;
                    }
                    let restoring = verify || step(&target) == Some(Step::Restore);
                    let turn = pace.turn(&target, &status);
                    let wave =
                        execute::all(&self.context, access, effects, restoring, &mut observed);
                    self.in_turn(&mut target, &turn, pace, wave).await;
                    if let Some(end) = turn::ended(&turn, &mut observed) {
                        outcome = end;
                        break;
                    }
                }
                Decision::Wait(end) => {
                    let waited = observed
                        .known
                        .clocks
                        .waited(status.run.as_ref(), Timestamp::now());
                    outcome = self.publish(&target, status, end, waited).await;
                    break;
                }
                Decision::Rest(end) => {
                    outcome = end;
                    break;
                }
            }
        }
        *known = if turn::was_called_off(&outcome) {
            observed.cut_off()
        } else {
            observed.into_known()
        };
        outcome
    }

    /// No grant allows what comes next: nothing of it is done, and all stays as it is until the grant is
    /// back. What an order waits for is said; what is cleaned up at rest is for the caller to tell.
    async fn not_granted(&self, target: &Target, status: TargetStatus, why: String) -> Outcome {
        let unfinished = status.run.as_ref().filter(|run| !engine::ended(run));
        let message = match unfinished {
            Some(run) => format!(
                "{why}. Until then r{} stays as it is at step {}",
                run.release.revision, run.step
            ),
            None => why,
        };
        let outcome = Outcome::stalled(Reason::NotGranted, message);
        if target.metadata.deletion_timestamp.is_some() {
            return self
                .publish(
                    target,
                    status,
                    remove::with_way_out(outcome),
                    Duration::ZERO,
                )
                .await;
        }
        if Work::on(target, &status).is_none() {
            return outcome;
        }
        self.publish(target, status, outcome, Duration::ZERO).await
    }

    /// Writes what the machine wants on record, with what it means for people.
    async fn record(&self, target: &Target, mut status: TargetStatus) -> Result<Target, Outcome> {
        let run = |target: &Target| target.status.as_ref()?.run.clone();
        let before = run(target);
        if status.run != before && status.run.as_ref().is_some_and(engine::ended) {
            rest::answer_look(target, &mut status);
        }
        let outcome = engine::outcome(&status);
        dress(target, &mut status, &outcome);
        let recorded = self.write(target, &status).await?;
        let after = run(&recorded);
        let end = step(&recorded).is_some_and(Step::is_end);
        if step(&recorded) != step(target) || (end && after != before) {
            self.announce(&recorded);
        }
        self.announce_drift(target, &recorded);
        Ok(recorded)
    }

    /// Writes the conditions that an ending means, where they say something new. What is looked at again
    /// soon is worth it once it has `waited` for long, or where the conditions still speak of an order before
    /// this one.
    async fn publish(
        &self,
        target: &Target,
        mut status: TargetStatus,
        outcome: Outcome,
        waited: Duration,
    ) -> Outcome {
        let is_soon = matches!(&outcome, Outcome::Waiting { after, .. } if *after < SHORT_WAIT);
        let is_new = status.observed_generation.is_none()
            || outcome::is_true(&status.conditions, condition::STALLED);
        if is_soon && waited < SHORT_WAIT && !is_new && !turn::is_told(&status) {
            return outcome;
        }
        dress(target, &mut status, &outcome);
        if target.status.as_ref() == Some(&status) {
            return outcome;
        }
        match self.write(target, &status).await {
            Ok(written) => {
                // The end of a run was announced when it was recorded.
                let ending = engine::outcome(written.status.as_ref().unwrap_or(&status));
                if let Outcome::Stalled { reason, message } = &outcome
                    && outcome != ending
                {
                    self.context.events.publish(
                        written.object_ref(&()),
                        EventType::Warning,
                        *reason,
                        message,
                    );
                }
                outcome
            }
            Err(end) => end,
        }
    }

    async fn write(&self, target: &Target, status: &TargetStatus) -> Result<Target, Outcome> {
        let api: Api<Target> = Api::namespaced(
            self.context.client.clone(),
            &target.namespace().unwrap_or_default(),
        );
        let version = target.resource_version();
        let before = target.status.clone().unwrap_or_default();
        let written =
            crate::controllers::status::publish_status(&api, target, version, &before, status)
                .await;
        match written {
            Ok(written) => {
                self.context.stores.targets.note(written.clone());
                Ok(written)
            }
            Err(error) => Err(api_failure(error)),
        }
    }

    /// The Target can't be worked on: that is waited out for as long as the deadline allows.
    async fn not_begun(&self, target: &Target, open: Option<&Run>, outcome: Outcome) -> Outcome {
        let status = target.status.clone().unwrap_or_default();
        let Some(run) = open.map(|run| engine::effective(run, &status)) else {
            return self.publish(target, status, outcome, Duration::ZERO).await;
        };
        let now = Timestamp::now();
        let mut known = self.memory.known(target, Some(&run));
        known.clocks.block(now);
        let deadline = validate::progress_deadline(&self.context, target);
        let owner = owner(&self.context, target);
        let why = (&known, outcome.message());
        let given_up = engine::give_up(&run, &status, &owner, why, deadline, now);
        let waited = known.clocks.blocked_for(now);
        self.memory.keep(target, Some(&run), known);
        match given_up {
            Some(given_up) => match self.record(target, *given_up).await {
                Ok(recorded) => engine::outcome(&recorded.status.unwrap_or_default()),
                Err(end) => end,
            },
            None => self.publish(target, status, outcome, waited).await,
        }
    }

    /// An Event for each end of a run, and for the start of a rollback.
    fn announce(&self, target: &Target) {
        let status = target.status.clone().unwrap_or_default();
        let message = engine::summary(&status);
        let news = match step(target) {
            Some(Step::Succeeded) if corrects(target) => {
                Some((EventType::Normal, Reason::Corrected))
            }
            Some(Step::Restore) => Some((EventType::Warning, Reason::RollingBack)),
            Some(Step::RolledBack) => Some((EventType::Warning, Reason::RolledBack)),
            Some(Step::Held) => Some((EventType::Warning, Reason::Held)),
            Some(Step::Failed) => Some((EventType::Warning, Reason::DeliveryFailed)),
            Some(Step::RollbackFailed) => Some((EventType::Warning, Reason::RollbackFailed)),
            // The Deployment tells of what went well, once for all Targets of a stage.
            Some(Step::Prepare | Step::Promote | Step::Succeeded) | None => None,
        };
        if let Some((kind, reason)) = news {
            self.context
                .events
                .publish(target.object_ref(&()), kind, reason, &message);
        }
        if let Some(run) = &status.run
            && engine::ended(run)
        {
            self.context.metrics.delivery_ended(&run.step, run);
        }
    }
}

/// What there is to do on a Target.
#[derive(Clone, Copy)]
enum Work<'a> {
    Run(&'a Run),
    Plan(&'a ReleaseRef),
}

impl<'a> Work<'a> {
    /// What is not carried out yet.
    fn on(target: &'a Target, status: &TargetStatus) -> Option<Self> {
        let run = target.spec.run.as_ref();
        let open = run.filter(|run| !engine::settled(run, status));
        open.map(Work::Run)
            .or(unplanned(target, status).map(Work::Plan))
    }
}

/// The Release whose plan is asked for and not made yet.
fn unplanned<'a>(target: &'a Target, status: &TargetStatus) -> Option<&'a ReleaseRef> {
    let plan = target.spec.plan.as_ref();
    plan.filter(|release| !engine::planned(release, target.spec.deletion_policy, status))
}

/// The order that a plan is made for.
fn planning(release: &ReleaseRef) -> Run {
    Run::new(release.clone(), 1, Goal::Deliver, 1)
}

/// Adds what an ending means for people.
fn dress(target: &Target, status: &mut TargetStatus, outcome: &Outcome) {
    status.observed_generation = target.metadata.generation;
    outcome.write_conditions(
        &mut status.conditions,
        target.metadata.generation,
        Timestamp::now(),
    );
    let plain = engine::summary(status);
    status.summary = Some(outcome::line(match outcome {
        Outcome::Done { .. } => &plain,
        other => other.message(),
    }));
}

fn step(target: &Target) -> Option<Step> {
    target.status.as_ref()?.run.as_ref().and_then(Step::of)
}

/// Whether the order is there to undo what somebody changed.
fn corrects(target: &Target) -> bool {
    let run = target.spec.run.as_ref();
    run.is_some_and(|run| run.correction > 0)
}
