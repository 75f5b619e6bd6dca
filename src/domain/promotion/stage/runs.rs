//! The runs that a stage assigns to its Targets.

use super::view::{Current, StageView};
use crate::{
    api::v1alpha1::{Goal, Run, StageTarget},
    domain::{engine::Step, promotion::state::State},
};

impl StageView<'_> {
    /// The runs that Targets do not have yet.
    pub fn runs_to_assign(&self, paused: bool) -> Vec<(StageTarget, Run)> {
        let Some(current) = &self.current else {
            return Vec::new();
        };
        if self.state == State::Succeeded {
            return self.prunings(current);
        }
        if !self.state.is_moving() {
            return Vec::new();
        }
        let goal = if self.state == State::RollingBack {
            Goal::Restore
        } else {
            Goal::Deliver
        };
        let ordered = |stage_target: &StageTarget| {
            let assigned = self
                .target(stage_target)
                .and_then(|target| target.assigned_run.as_ref());
            assigned.is_some_and(|assigned| assigned.sequence == current.sequence)
        };
        let ended =
            |stage_target: &StageTarget| self.step(current, stage_target).is_some_and(Step::is_end);
        let busy = current
            .stage_targets
            .iter()
            .filter(|stage_target| ordered(stage_target) && !ended(stage_target))
            .count();
        // A Release that has to pass the gate again is assigned to no further Target until then.
        let waits_at_gate = self
            .at_gate
            .as_ref()
            .is_some_and(|at| at.release == current.release);
        let mut room = if goal == Goal::Deliver {
            current.max_concurrent.saturating_sub(busy)
        } else {
            usize::MAX
        };
        let mut runs = Vec::new();
        for stage_target in &current.stage_targets {
            let step = self.step(current, stage_target);
            let run = Run {
                release: current.release.clone(),
                attempt: current.attempt,
                goal,
                sequence: current.sequence,
                plan_digest: current
                    .plan_digest(stage_target)
                    .filter(|_| goal == Goal::Deliver),
                stage_digest: current.stage_digest.clone(),
                deletion_policy: current.deletion_policy,
                reason: current.reason.clone().filter(|_| goal == Goal::Restore),
                // While one Target is held, the others pause.
                paused: goal == Goal::Deliver
                    && (paused || (self.state == State::Held && step != Some(Step::Held))),
                immediate: current.immediate,
                rollback: current.rollback,
                correction: current.correction,
            };
            let has = self
                .target(stage_target)
                .and_then(|target| target.assigned_run.as_ref());
            if has == Some(&run) {
                continue;
            }
            // A Target whose run has ended needs no run to restore, and none to continue.
            let done = match goal {
                Goal::Restore => matches!(
                    step,
                    Some(Step::Failed | Step::RolledBack | Step::RollbackFailed | Step::Restore)
                ),
                _ => ended(stage_target),
            };
            if done {
                continue;
            }
            if goal == Goal::Deliver && !ordered(stage_target) {
                // If a plan was approved, no Target begins without its part of it.
                let approved = current.stage_digest.is_none() || run.plan_digest.is_some();
                if room == 0 || self.state == State::Held || waits_at_gate || !approved {
                    continue;
                }
                room -= 1;
            }
            runs.push((stage_target.clone(), run));
        }
        runs
    }

    /// The prune runs, now that the Release serves everywhere in the stage.
    fn prunings(&self, current: &Current) -> Vec<(StageTarget, Run)> {
        let pruning = |stage_target: &StageTarget| {
            let target = self
                .target(stage_target)
                .filter(|target| target.needs_prune)?;
            let (release, attempt) = (current.release.clone(), current.attempt);
            let run = Run {
                stage_digest: current.stage_digest.clone(),
                deletion_policy: current.deletion_policy,
                immediate: current.immediate,
                rollback: current.rollback,
                correction: current.correction,
                ..Run::new(release, attempt, Goal::Prune, current.sequence)
            };
            (target.assigned_run.as_ref() != Some(&run)).then(|| (stage_target.clone(), run))
        };
        current.stage_targets.iter().filter_map(pruning).collect()
    }

    /// The Targets that the Release no longer names, once it serves everywhere in the stage.
    pub fn targets_to_remove(&self) -> Vec<StageTarget> {
        let Some(current) = self
            .current
            .as_ref()
            .filter(|_| self.state == State::Succeeded)
        else {
            return Vec::new();
        };
        self.targets
            .iter()
            .map(|target| target.stage_target.clone())
            .filter(|stage_target| !current.stage_targets.contains(stage_target))
            .collect()
    }
}
