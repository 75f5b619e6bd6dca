//! The beginning of a run: the engine reads everything, stores the snapshot and records the intents.

use std::{borrow::Cow, time::Duration};

use super::{
    decision::Decision,
    garbage::{replace_plan, replace_run},
    inputs::{Inputs, component, next},
    observation::{Action, Effect, Read},
    poll::{CONFIRM_AFTER, wait_for},
    propose::Unplanned,
    step::Step,
    wave::Wave,
};
use crate::{
    api::v1alpha1::{ComponentStatus, PlanStatus, SnapshotRef},
    domain::{
        desired::Desired,
        outcome::Outcome,
        reason::Reason,
        workload::{component::DesiredComponent, snapshot::Snapshot},
    },
};

impl Inputs<'_> {
    /// Observes everything that a run needs before it begins; `None` once that is done. The caller handles
    /// failed reads.
    pub fn observe(&self, desired: &Desired) -> Option<Decision> {
        let gradual = desired.traffic.is_gradual() && !self.run.immediate;
        let reads: Vec<Read> = desired
            .components
            .iter()
            .flat_map(|want| want.first_reads(gradual, self.context(want.level)))
            .map(Read::Component)
            .collect();
        if !reads.is_empty() {
            return Some(Decision::Observe(reads));
        }
        let mut components = desired.components.iter();
        let absent =
            components.find_map(|want| want.unconfirmed_absence(self.context(want.level)))?;
        Some(Decision::Wait(Outcome::Waiting {
            reason: Reason::WaitingForAws,
            message: format!("Waiting to confirm that {absent} does not exist"),
            after: CONFIRM_AFTER,
        }))
    }

    /// Why the Release can't be delivered to this Target, according to the observation.
    pub fn obstacle(&self, desired: &Desired) -> Option<String> {
        let gradual = desired.traffic.is_gradual() && !self.run.immediate;
        let obstacle = |want: &DesiredComponent| want.obstacle(gradual, self.context(want.level));
        desired.components.iter().find_map(obstacle)
    }

    /// Observes everything, takes the snapshot and records the intents.
    pub fn begin(&self, desired: &Desired) -> Decision {
        if let Some(decision) = self.errors_before_begin(desired.progress_deadline) {
            return decision;
        }
        if let Some(decision) = self.observe(desired) {
            return decision;
        }
        let desired = &*self.resolve_known_outputs(desired);
        let plan = match self.plan(desired) {
            Ok(plan) => plan,
            Err(Unplanned::First(decision)) => return decision,
            Err(Unplanned::Impossible(why)) => return self.fail_before_changes(&why),
        };
        if let Some(approved) = &self.run.plan_digest
            && *approved != plan.digest
        {
            return self.plan_changed(plan);
        }
        if let Some(components) = self.unchanged_components(desired) {
            let mut run = self.new_run(desired, Vec::new());
            run.components = components;
            let decision = self.confirm(desired, &run);
            return decision.unwrap_or_else(|| self.record_success(desired, &run));
        }
        if let Some(decision) = self.check_before_changes(desired, self.before(desired)) {
            return decision;
        }
        let Some((reference, _)) = &self.observed.known.snapshot else {
            if let Some(decision) = self.keep(desired) {
                return decision;
            }
            let Some(first) = desired.components.first() else {
                return self.fail_before_changes("the Release has no components");
            };
            let components = desired.components.iter();
            let snapshot = Snapshot {
                components: components
                    .filter_map(|want| want.snapshot(self.context(want.level)))
                    .collect(),
            };
            let action = Action::StoreSnapshot(Box::new(snapshot));
            return Decision::Execute(vec![run_effect(first, action)]);
        };
        let mut run = self.new_run(desired, self.preparations(desired, 0));
        Step::Prepare.as_str().clone_into(&mut run.step);
        let before = self.status.live.as_ref().map(|live| live.release.clone());
        run.snapshot = Some(SnapshotRef {
            release: before,
            ..reference.clone()
        });
        let mut status = self.status.clone();
        for want in &desired.components {
            self.update_inventory(&mut status.inventory, want, None);
        }
        replace_run(&mut status, run);
        replace_plan(&mut status, plan);
        Decision::Record(Box::new(status))
    }

    /// Copies what the run would overwrite or delete; `None` once that is done.
    fn keep(&self, desired: &Desired) -> Option<Decision> {
        let keep = |want: &DesiredComponent| next(want.keep(self.context(want.level)));
        let mut wave: Wave = desired.components.iter().map(keep).collect();
        if let Some(why) = wave.failures.first() {
            return Some(self.fail_before_changes(why));
        }
        wave.calls(Decision::Execute)
    }

    /// The plan is no longer the approved one: records the new plan, and waits for its approval.
    fn plan_changed(&self, plan: PlanStatus) -> Decision {
        if self.status.plan.as_ref() == Some(&plan) {
            return Decision::Wait(Outcome::Waiting {
                reason: Reason::PlanChanged,
                message:
                    "The plan has changed since its approval. Approve the new plan to continue"
                        .to_owned(),
                after: Duration::from_mins(1),
            });
        }
        let mut status = self.status.clone();
        replace_plan(&mut status, plan);
        Decision::Record(Box::new(status))
    }

    /// The component statuses to record, if every component already is as desired.
    pub fn unchanged_components(&self, desired: &Desired) -> Option<Vec<ComponentStatus>> {
        let components = desired.components.iter();
        components
            .map(|want| self.unchanged(desired, want))
            .collect()
    }

    /// The status to record for a component that already is as desired.
    fn unchanged(&self, desired: &Desired, want: &DesiredComponent) -> Option<ComponentStatus> {
        let last = self.status.run.as_ref();
        let last = last.filter(|run| Step::of(run) == Some(Step::Succeeded))?;
        let last = component(last, want);
        let context = self.context(want.level);
        let unchanged = want.unchanged(last, context)?;
        let mut names = desired.awaited_outputs(&want.name);
        names.extend(last.iter().flat_map(|last| last.outputs.keys().cloned()));
        Some(ComponentStatus {
            outputs: want.open_outputs(&names, context),
            ..unchanged
        })
    }

    /// Fills in the outputs of components that the run would not change. Those of changed components are
    /// known only once these serve; the plan has their names.
    pub fn resolve_known_outputs<'d>(&self, desired: &'d Desired) -> Cow<'d, Desired> {
        let mut known: Vec<ComponentStatus> = Vec::new();
        let mut resolved = Cow::Borrowed(desired);
        for level in 0..=desired.last_level() {
            if resolved.is_resolved() {
                break;
            }
            let settled = resolved.level(level);
            let settled = settled.filter(|want| want.needs_output().is_none());
            known.extend(settled.filter_map(|want| self.unchanged(&resolved, want)));
            resolved = Cow::Owned(resolved.resolve(&known).into_owned());
        }
        resolved
    }

    /// Before the run has changed anything, a failed call may still be fixed: waits until the deadline.
    fn errors_before_begin(&self, deadline: Duration) -> Option<Decision> {
        let (component, error) = self.observed.errors.first()?;
        if self.observed.known.clocks.blocked_for(self.now) > deadline {
            let why = blocked_message(deadline, &format!("component {component}: {error}"));
            return Some(self.fail_before_changes(&why));
        }
        Some(Decision::Wait(wait_for(error)))
    }
}

/// The message of a run that could not begin before its deadline.
pub(super) fn blocked_message(deadline: Duration, why: &str) -> String {
    format!("it could not begin for {}s: {why}", deadline.as_secs())
}

/// An effect of the run as a whole, which counts as one of its first component.
pub(super) fn run_effect(want: &DesiredComponent, action: Action) -> Effect {
    Effect {
        component: want.name.clone(),
        resource: want.resource(),
        action,
    }
}
