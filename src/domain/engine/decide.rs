//! The next decision for a run, by the step that its journal is at.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    begin::blocked_message,
    decision::{Decision, Task},
    inputs::Inputs,
    observation::{Known, Observation},
    prune::decide_prune,
    step::{JOURNAL_VERSION, Step, ended, is_same_run, outcome, refused_transition},
};
use crate::{
    api::v1alpha1::{
        DeletionPolicy, Goal, InventoryItem, ReleaseRef, Run, RunStatus, TargetStatus,
    },
    domain::{outcome::Outcome, ownership::Owner, reason::Reason},
};

/// Decides what to do next for `task`, which is what `run` asks of the Target.
pub fn decide(
    task: &Task,
    run: &Run,
    status: &TargetStatus,
    owner: &Owner,
    observed: &Observation,
    now: Timestamp,
) -> Decision {
    let decision = step(task, run, status, owner, observed, now);
    let Decision::Record(next) = &decision else {
        return decision;
    };
    match refused_transition(status, next) {
        None => decision,
        Some(why) => Decision::Wait(Outcome::stalled(
            Reason::InternalError,
            format!("a defect in Sluice, please report it: {why}; nothing was written"),
        )),
    }
}

fn step(
    task: &Task,
    run: &Run,
    status: &TargetStatus,
    owner: &Owner,
    observed: &Observation,
    now: Timestamp,
) -> Decision {
    let inputs = Inputs {
        run,
        status,
        owner,
        observed,
        now,
    };
    if let Some(journal) = &status.run
        && journal.journal_version != JOURNAL_VERSION
        && !Step::of(journal).is_some_and(Step::is_end)
    {
        return Decision::Wait(Outcome::stalled(
            Reason::UnknownJournal,
            format!(
                "the run was begun by another version of Sluice (journal {}, this one reads {JOURNAL_VERSION}); \
                 let that version finish it",
                journal.journal_version
            ),
        ));
    }
    match (task, inputs.journal()) {
        (Task::Plan(desired), _) => inputs.make_plan(desired),
        (Task::Deliver(desired), Some(journal)) => {
            let desired = &*desired.resolve(&journal.components);
            match Step::of(journal) {
                Some(Step::Prepare) => inputs.prepare(desired, journal),
                Some(Step::Promote) => inputs.promote(desired, journal),
                Some(Step::Restore) => inputs.restore(journal),
                Some(Step::Held) if run.attempt > journal.attempt => inputs.resume_held(journal),
                Some(Step::Held) => Decision::Wait(outcome(status)),
                Some(_) => Decision::Rest(outcome(status)),
                None => unknown_step(journal),
            }
        }
        (Task::Deliver(desired), None) => inputs.begin(desired),
        (Task::Prune(policy), _) => decide_prune(*policy, status, owner, observed),
        (Task::Restore(why), Some(journal)) => match Step::of(journal) {
            Some(Step::Prepare | Step::Promote | Step::Held | Step::Succeeded) => {
                inputs.begin_restore(journal, why)
            }
            Some(Step::RollbackFailed) if inputs.run.attempt > journal.attempt => {
                inputs.begin_restore(journal, why)
            }
            Some(Step::Restore) => inputs.restore(journal),
            Some(_) if inputs.run.attempt > journal.attempt => inputs.record_attempt(journal),
            Some(_) => Decision::Rest(outcome(status)),
            None => unknown_step(journal),
        },
        (Task::Restore(why), None) => inputs.fail_before_changes(why),
    }
}

/// Whether the run is held until a person decides.
pub fn is_held(run: &Run, status: &TargetStatus) -> bool {
    let journal = status.run.as_ref();
    journal.is_some_and(|it| is_same_run(run, it) && Step::of(it) == Some(Step::Held))
}

/// The run to work on: an unfinished run is restored before another begins.
pub fn effective(run: &Run, status: &TargetStatus) -> Run {
    match &status.run {
        Some(journal)
            if !ended(journal) && !is_same_run(run, journal) && !resumes(run, journal) =>
        {
            Run {
                release: journal.release.clone(),
                attempt: journal.attempt,
                goal: Goal::Restore,
                reason: Some("another run was assigned before this one finished".to_owned()),
                ..run.clone()
            }
        }
        _ => run.clone(),
    }
}

/// Whether the run resumes the held one.
fn resumes(run: &Run, journal: &RunStatus) -> bool {
    journal.release.uid == run.release.uid
        && run.attempt > journal.attempt
        && Step::of(journal) == Some(Step::Held)
}

/// Ends a run that could not begin for longer than `deadline`: returns the status to record.
///
/// Until then the obstacle (an Account, a grant, a Secret) can be fixed, and the run begins by itself.
pub fn fail_blocked(
    run: &Run,
    status: &TargetStatus,
    owner: &Owner,
    (known, why): (&Known, &str),
    deadline: Duration,
    now: Timestamp,
) -> Option<Box<TargetStatus>> {
    let observed = Observation::default();
    let inputs = Inputs {
        run,
        status,
        owner,
        observed: &observed,
        now,
    };
    if status.run.as_ref().is_some_and(|journal| !ended(journal))
        || known.clocks.blocked_for(now) <= deadline
    {
        return None;
    }
    let why = blocked_message(deadline, why);
    match inputs.fail_before_changes(&why) {
        Decision::Record(status) => Some(status),
        _ => None,
    }
}

/// Whether the status has a plan of this Release with this deletion policy.
pub fn planned(release: &ReleaseRef, policy: DeletionPolicy, status: &TargetStatus) -> bool {
    let plan = status.plan.as_ref();
    plan.is_some_and(|plan| {
        let made_with = plan.deletion_policy.as_deref();
        plan.release.uid == release.uid && made_with.is_none_or(|it| it == policy.as_str())
    })
}

/// Whether the run is complete, as far as it can be, so that nothing has to be observed.
pub fn settled(run: &Run, status: &TargetStatus) -> bool {
    let Some(journal) = &status.run else {
        return false;
    };
    is_same_run(run, journal)
        && match Step::of(journal) {
            Some(Step::Succeeded) => match run.goal {
                Goal::Deliver => true,
                Goal::Restore => false,
                Goal::Prune => !status.inventory.iter().any(InventoryItem::needs_prune),
            },
            Some(step) => step.is_end(),
            None => false,
        }
}

fn unknown_step(journal: &RunStatus) -> Decision {
    Decision::Wait(Outcome::stalled(
        Reason::UnknownJournal,
        format!(
            "the run is at step {:?}, which this version of Sluice does not know; let the version that wrote it finish the run",
            journal.step
        ),
    ))
}
