//! The engine's shell: carries out the decisions of [`engine::decide`] on one Target.
//!
//! # Expected flow
//! *observe → validate → decide → execute → publish*, repeated while work is left. The next pass comes when
//! AWS has settled or the Target changes.
//!
//! # Guarantees
//! - Intents are stored in the API server, at the resourceVersion that they were decided from, before any
//!   effect is executed.
//! - Every pass publishes the status, and only if it changed.
//! - Calls wait for their turn in the account's budgets for as long as it takes, ordered by urgency (`turn`).
//!   The status shows the wait, which is no failure.
//! - A Target whose run is carried out costs no AWS calls except those of drift checks.

mod admission;
mod begin;
mod checks;
mod collection_attempts;
mod controller;
mod delay;
mod deletion;
mod drift_checks;
mod execute;
mod garbage;
mod memory;
mod observe;
mod preflight;
mod records;
mod remove;
mod rest;
mod shared;
mod turn;
mod validate;

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
        engine::{self, Decision, Observation, Step, Task},
        outcome::{self, Outcome},
        reason::Reason,
    },
};

/// The most decisions in one pass: far more than any run needs, so that a bug ends in a wait and not in an
/// endless loop.
const MAX_DECISIONS: usize = 1_000;

impl TargetController {
    /// Reconciles one Target.
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
            self.drift_checks.forget(&target);
            if let Some(waits) = self.admission_wait(&target, run, &status).await {
                return waits.into();
            }
        } else if self.drift_checks.is_due(&target) {
            // The live Release is checked for drift even while its next plan can't be made.
            return match self.check_drift(&target).await {
                Ok(()) => Ended::recheck(engine::outcome(&status), STALE),
                Err(unrecorded) => unrecorded.into(),
            };
        }
        let outcome = self.work(&target, &status, work).await;
        if matches!(work, Work::Plan(_)) {
            self.collect(&self.newest(&target)).await;
        }
        self.let_others_begin(&target, &outcome);
        self.until_next(&target, outcome)
    }

    /// The Target as last written.
    fn newest(&self, target: &Arc<Target>) -> Arc<Target> {
        self.context.stores.targets.newest(target)
    }

    /// Carries out the open work.
    async fn work(&self, target: &Target, status: &TargetStatus, work: Work<'_>) -> Outcome {
        let open = match work {
            Work::Run(run) => Some(run),
            Work::Plan(_) => None,
        };
        let access = match Access::enter(&self.context, target).await {
            Ok(access) => access,
            Err(outcome) => return self.wait_or_fail(target, open, outcome).await,
        };
        let (run, task) = match work {
            Work::Run(run) => {
                let run = engine::effective(run, status);
                let task = validate::task(&self.context, target, &run, &access);
                (run, task)
            }
            Work::Plan(release) => {
                let desired = validate::desired_state(&self.context, target, release, &access);
                let stage = &target.spec.stage;
                let desired = match desired {
                    Ok(desired) => {
                        preflight::planned(&access, status, release, stage, desired).await
                    }
                    Err(outcome) => Err(outcome),
                };
                (planning(release), desired.map(Task::Plan))
            }
        };
        let task = match task {
            Ok(task) => task,
            Err(outcome) => {
                // A Release that waits at the gate can be approved only once it is planned.
                if open.is_some()
                    && outcome.reason() == Reason::NotApproved
                    && let Some(release) = unplanned(target, status)
                {
                    return Box::pin(self.work(target, status, Work::Plan(release))).await;
                }
                return self.wait_or_fail(target, open, outcome).await;
            }
        };
        let mut known = self.memory.known(target, Some(&run));
        if open.is_some() {
            self.context.invocations.begin(target, &run);
        }
        let owner = access.owner.clone();
        let decide = |status: &TargetStatus, observed: &Observation, now| {
            engine::decide(&task, &run, status, &owner, observed, now)
        };
        let verify = !matches!(task, Task::Deliver(_));
        let urgency = |status: &TargetStatus| engine::urgency(&task, &run, status);
        let pace = Pace::in_foreground(&urgency);
        let outcome = self
            .drive(target, &access, &mut known, verify, pace, decide)
            .await;
        if open.is_none() {
            // The time for which a plan was blocked does not count for the run that may follow.
            known.clocks.unblock();
        }
        self.memory.keep(target, Some(&run), known);
        outcome
    }

    /// Decides and executes until nothing is left to do now.
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
            message: "Continuing with the next step".to_owned(),
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
            observed.into_known_interrupted()
        } else {
            observed.into_known()
        };
        outcome
    }

    /// No grant allows the next calls: they wait for a grant, and everything else stays as it is. The status
    /// reports what a run waits for; at rest the caller reports it.
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
                    remove::with_abandon_hint(outcome),
                    Duration::ZERO,
                )
                .await;
        }
        if Work::on(target, &status).is_none() {
            return outcome;
        }
        self.publish(target, status, outcome, Duration::ZERO).await
    }

    /// Writes the status that the engine decided on, with its conditions and summary.
    async fn record(&self, target: &Target, mut status: TargetStatus) -> Result<Target, Outcome> {
        let run = |target: &Target| target.status.as_ref()?.run.clone();
        let before = run(target);
        if status.run != before && status.run.as_ref().is_some_and(engine::ended) {
            rest::answer_drift_check(target, &mut status);
        }
        let outcome = engine::outcome(&status);
        describe(target, &mut status, &outcome);
        let recorded = self.write(target, &status).await?;
        let after = run(&recorded);
        let end = step(&recorded).is_some_and(Step::is_end);
        if step(&recorded) != step(target) || (end && after != before) {
            self.announce(&recorded);
        }
        self.announce_drift(target, &recorded);
        Ok(recorded)
    }

    /// Writes the conditions of an outcome, if they changed. A short wait is written only once it has
    /// `waited` for long, or while the conditions still describe an earlier run.
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
        if is_soon && waited < SHORT_WAIT && !is_new && !turn::is_reported(&status) {
            return outcome;
        }
        describe(target, &mut status, &outcome);
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

    /// The Target can't be worked on: its run waits until the deadline.
    async fn wait_or_fail(&self, target: &Target, open: Option<&Run>, outcome: Outcome) -> Outcome {
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
        let given_up = engine::fail_blocked(&run, &status, &owner, why, deadline, now);
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

    /// Publishes an Event for each end of a run, and for the start of a rollback.
    fn announce(&self, target: &Target) {
        let status = target.status.clone().unwrap_or_default();
        let message = engine::summary(&status);
        let event = match step(target) {
            Some(Step::Succeeded) if is_correction(target) => {
                Some((EventType::Normal, Reason::Corrected))
            }
            Some(Step::Restore) => Some((EventType::Warning, Reason::RollingBack)),
            Some(Step::RolledBack) => Some((EventType::Warning, Reason::RolledBack)),
            Some(Step::Held) => Some((EventType::Warning, Reason::Held)),
            Some(Step::Failed) => Some((EventType::Warning, Reason::DeliveryFailed)),
            Some(Step::RollbackFailed) => Some((EventType::Warning, Reason::RollbackFailed)),
            // The Deployment announces success, once for all Targets of a stage.
            Some(Step::Prepare | Step::Promote | Step::Succeeded) | None => None,
        };
        if let Some((kind, reason)) = event {
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

/// The open work on a Target.
#[derive(Clone, Copy)]
enum Work<'a> {
    Run(&'a Run),
    Plan(&'a ReleaseRef),
}

impl<'a> Work<'a> {
    /// The run or plan that is not carried out yet.
    fn on(target: &'a Target, status: &TargetStatus) -> Option<Self> {
        let run = target.spec.run.as_ref();
        let open = run.filter(|run| !engine::settled(run, status));
        open.map(Work::Run)
            .or(unplanned(target, status).map(Work::Plan))
    }
}

/// The Release whose plan is requested and not made yet.
fn unplanned<'a>(target: &'a Target, status: &TargetStatus) -> Option<&'a ReleaseRef> {
    let plan = target.spec.plan.as_ref();
    plan.filter(|release| !engine::planned(release, target.spec.deletion_policy, status))
}

/// The run that a plan is made for.
fn planning(release: &ReleaseRef) -> Run {
    Run::new(release.clone(), 1, Goal::Deliver, 1)
}

/// Adds the conditions and the summary of an outcome.
fn describe(target: &Target, status: &mut TargetStatus, outcome: &Outcome) {
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

/// Whether the run is a correction.
fn is_correction(target: &Target) -> bool {
    let run = target.spec.run.as_ref();
    run.is_some_and(|run| run.correction > 0)
}
