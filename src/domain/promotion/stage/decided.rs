//! Decisions by command. The Deployment records a decision before any Target gets the run that follows from
//! it, so that every command is carried out exactly once, wherever the controller crashes.
//!
//! # Guarantees
//! - Targets get the recorded run as long as one of them lacks it.
//! - Runs of one sequence only merge: a restore never becomes a delivery, and an immediate run never becomes
//!   gradual, however stale the state is that a controller reads.

use super::view::{Current, StageView};
use crate::{
    api::v1alpha1::{DecidedOrder, DeletionPolicy, Goal, ReleaseRef, Run, StageStatus},
    domain::promotion::overview::{Overview, TargetView},
};

/// The run that holds for the stage: the highest that a Target has, or that a command decided.
pub(super) fn assigned(overview: &Overview, stage: &str, targets: &[&TargetView]) -> Option<Run> {
    let mut reported = overview.reported.iter();
    let reported = reported.find(|reported| reported.name == stage);
    let decided = reported.and_then(|reported| run(reported.decided.as_ref()?));
    let given = targets
        .iter()
        .filter_map(|target| target.assigned_run.clone());
    given.chain(decided).reduce(|one, other| {
        if one.sequence == other.sequence && same(&one, &other) {
            merge(one, other)
        } else if other.sequence >= one.sequence {
            other
        } else {
            one
        }
    })
}

fn same(one: &Run, other: &Run) -> bool {
    one.release == other.release && one.attempt == other.attempt
}

fn merge(one: Run, other: Run) -> Run {
    let restores = [&one, &other].map(|run| run.goal == Goal::Restore);
    let (immediate, rollback) = (
        one.immediate || other.immediate,
        one.rollback || other.rollback,
    );
    let base = if restores[0] && !restores[1] {
        one
    } else {
        other
    };
    Run {
        immediate,
        rollback,
        ..base
    }
}

fn run(decided: &DecidedOrder) -> Option<Run> {
    let goal = match decided.goal.as_str() {
        "Deliver" => Goal::Deliver,
        "Restore" => Goal::Restore,
        // Another version of Sluice decided it.
        _ => return None,
    };
    Some(Run {
        immediate: decided.immediate,
        rollback: decided.rollback,
        correction: decided.correction,
        reason: decided.reason.clone(),
        stage_digest: decided.stage_digest.clone(),
        deletion_policy: decided
            .deletion_policy
            .as_deref()
            .and_then(DeletionPolicy::of),
        ..Run::new(
            decided.release.clone(),
            decided.attempt,
            goal,
            decided.sequence,
        )
    })
}

impl StageView<'_> {
    /// What a command decides in this plan, or decided earlier if that is still recorded.
    pub(super) fn decided(&self, before: Option<&StageStatus>) -> Option<DecidedOrder> {
        let current = self.current.as_ref()?;
        let key =
            |release: &ReleaseRef, attempt, sequence| (release.uid.clone(), attempt, sequence);
        let now = key(&current.release, current.attempt, current.sequence);
        let earlier = before
            .and_then(|before| before.decided.as_ref())
            .is_some_and(|one| key(&one.release, one.attempt, one.sequence) == now);
        let orders_at_once = self.executed_command.is_some() && self.at_gate.is_none();
        (earlier || (orders_at_once && self.passage.is_none())).then(|| current.decision())
    }
}

impl Current {
    fn decision(&self) -> DecidedOrder {
        let goal = if self.restores {
            Goal::Restore
        } else {
            Goal::Deliver
        };
        DecidedOrder {
            release: self.release.clone(),
            attempt: self.attempt,
            sequence: self.sequence,
            goal: format!("{goal:?}"),
            immediate: self.immediate,
            rollback: self.rollback,
            correction: self.correction,
            reason: self.reason.clone(),
            stage_digest: self.stage_digest.clone(),
            deletion_policy: self.deletion_policy.map(|it| it.as_str().to_owned()),
        }
    }
}
