//! The engine's decisions: what to do next on one Target.
//!
//! # Expected flow
//! The shell asks [`decide`] again and again, and does what it says: read something, record
//! something, carry something out, wait. A delivery goes
//! *snapshot → (Prepare → Promote) for each level → Succeeded*, and from any failure after Prepare began
//! *→ Restore → `RolledBack`*, or *→ Held* where somebody wants to decide. Each step is over all
//! components of a level: none is promoted before every one is prepared.
//!
//! # Guarantees
//! - Nothing is changed before a snapshot is stored and the changes stand in the Target's status.
//! - No change is made blindly: each follows from a read of the same pass or from the reply to our own
//!   last write, and carries the RevisionId it was decided from.
//! - A step is decided from what is there, not from what was done: after a crash the same function
//!   finds out how far things got.
//!
//! # Assumptions
//! Only one process carries out decisions for a Target (a Lease, and the RevisionIds at the far end).
//!
//! # Errors
//! Failures of calls come in as observations. Those that may pass are waited out until
//! `progressDeadline`; all others end the step and start Restore.

mod asked;
mod back;
mod collect;
mod drift;
mod kept;
mod lambda;
mod next;
mod observation;
mod patience;
mod plan;
mod record;
mod removal;
mod run;
mod site;
mod snapshot;
mod step;
mod touched;
mod traffic;
mod urgency;
mod watch;
mod workload;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

pub use asked::{Ask, CheckKey, CheckPhase, CheckResult, Moment, ServedVersions};
pub use collect::{clutter, decide_collection};
pub use drift::{Look, decide_drift, stop_looking, untold};
pub use observation::{Action, Effect, Known, Observation, Read, Reply};
pub use removal::{decide_removal, deleted_at_end};
pub use run::DEFAULT_DEADLINE;
pub use site::SiteTask;
pub use snapshot::{
    AliasSnapshot, ComponentSnapshot, FunctionSnapshot, LatestSnapshot, PlaceSnapshot, Snapshot,
    WorkloadSnapshot,
};
pub use step::{Step, ended, outcome, poll_delay, summary};
pub use touched::{refused_effect, refused_read};
pub use urgency::{urgency, urgency_of_removal};

use super::{desired::Desired, outcome::Outcome, ownership::Owner};
use crate::api::v1alpha1::{
    DeletionPolicy, Goal, InventoryItem, ReleaseRef, Run, RunStatus, TargetStatus,
};

/// The version of the journal that this program writes and reads.
pub const JOURNAL_VERSION: i64 = 1;

/// What the keys of packages in an artifact bucket begin with.
pub const PACKAGES: &str = "packages";

/// What the shell has to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Read these, add them to the observation, and ask again.
    Observe(Vec<Read>),
    /// Write this status, and ask again once the API server has it.
    Record(Box<TargetStatus>),
    /// Carry these out side by side, add what they say to the observation, and ask again.
    Execute(Vec<Effect>),
    /// Come back later.
    Wait(Outcome),
    /// Nothing more to do for this order.
    Rest(Outcome),
}

/// What is wanted of the Target.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// That the Release serves.
    Deliver(Desired),
    /// That what stood before the run serves again; why.
    Restore(String),
    /// That the status says what the Release would change.
    Plan(Desired),
    /// That what the Release no longer has goes, as the policy says.
    Prune(DeletionPolicy),
}

/// What to do next for `order`, which is the run `run` of the Target.
pub fn decide(
    order: &Order,
    run: &Run,
    status: &TargetStatus,
    owner: &Owner,
    seen: &Observation,
    now: Timestamp,
) -> Decision {
    let scene = run::Scene {
        run,
        status,
        owner,
        seen,
        now,
    };
    if let Some(journal) = &status.run
        && journal.journal_version != JOURNAL_VERSION
        && !Step::of(journal).is_some_and(Step::is_end)
    {
        return Decision::Wait(Outcome::stalled(
            "UnknownJournal",
            format!(
                "the run was begun by another version of Sluice (journal {}, this one reads {JOURNAL_VERSION}); \
                 let that version finish it",
                journal.journal_version
            ),
        ));
    }
    match (order, scene.journal()) {
        (Order::Plan(desired), _) => scene.make_plan(desired),
        (Order::Deliver(desired), Some(journal)) => match Step::of(journal) {
            Some(Step::Prepare) => scene.prepare(desired, journal),
            Some(Step::Promote) => scene.promote(desired, journal),
            Some(Step::Restore) => scene.restore(journal),
            Some(Step::Held) if run.attempt > journal.attempt => scene.go_on(journal),
            Some(Step::Held) => Decision::Wait(outcome(status)),
            Some(_) => Decision::Rest(outcome(status)),
            None => unknown_step(journal),
        },
        (Order::Deliver(desired), None) => scene.begin(desired),
        (Order::Prune(policy), _) => removal::decide_prune(*policy, status, owner, seen),
        (Order::Restore(why), Some(journal)) => match Step::of(journal) {
            Some(Step::Prepare | Step::Promote | Step::Held | Step::Succeeded) => {
                scene.turn_back(journal, why)
            }
            Some(Step::RollbackFailed) if scene.run.attempt > journal.attempt => {
                scene.turn_back(journal, why)
            }
            Some(Step::Restore) => scene.restore(journal),
            Some(_) if scene.run.attempt > journal.attempt => scene.follow_attempt(journal),
            Some(_) => Decision::Rest(outcome(status)),
            None => unknown_step(journal),
        },
        (Order::Restore(why), None) => scene.never_began(why),
    }
}

/// Whether it waits for somebody to decide.
pub fn is_held(run: &Run, status: &TargetStatus) -> bool {
    let journal = status.run.as_ref();
    journal.is_some_and(|it| same_run(run, it) && Step::of(it) == Some(Step::Held))
}

/// The order to work on: a run that was left unfinished is put back before another begins.
pub fn effective(run: &Run, status: &TargetStatus) -> Run {
    match &status.run {
        Some(journal) if !ended(journal) && !same_run(run, journal) && !goes_on(run, journal) => {
            Run {
                release: journal.release.clone(),
                attempt: journal.attempt,
                goal: Goal::Restore,
                reason: Some("another order came before this one was carried out".to_owned()),
                ..run.clone()
            }
        }
        _ => run.clone(),
    }
}

/// Whether the order goes on with what is held.
fn goes_on(run: &Run, journal: &RunStatus) -> bool {
    journal.release.uid == run.release.uid
        && run.attempt > journal.attempt
        && Step::of(journal) == Some(Step::Held)
}

/// Whether the journal is of this order.
pub fn same_run(run: &Run, journal: &RunStatus) -> bool {
    journal.release.uid == run.release.uid && journal.attempt == run.attempt
}

/// Ends an order that could not even begin for as long as `deadline`: the status to record then.
///
/// Until then whatever is in the way (an Account, a grant, a Secret) can be mended, and the order
/// begins by itself.
pub fn give_up(
    run: &Run,
    status: &TargetStatus,
    owner: &Owner,
    (known, why): (&Known, &str),
    deadline: Duration,
    now: Timestamp,
) -> Option<Box<TargetStatus>> {
    let seen = Observation::default();
    let scene = run::Scene {
        run,
        status,
        owner,
        seen: &seen,
        now,
    };
    if status.run.as_ref().is_some_and(|journal| !ended(journal))
        || known.blocked_for(now) <= deadline
    {
        return None;
    }
    let why = blocked(deadline, why);
    match scene.never_began(&why) {
        Decision::Record(status) => Some(status),
        _ => None,
    }
}

/// Why an order that could not begin has ended.
fn blocked(deadline: Duration, why: &str) -> String {
    format!("it could not begin for {}s: {why}", deadline.as_secs())
}

/// Whether the status says what this Release would change, under this deletion policy.
pub fn planned(release: &ReleaseRef, policy: DeletionPolicy, status: &TargetStatus) -> bool {
    let plan = status.plan.as_ref();
    plan.is_some_and(|plan| {
        let made_with = plan.deletion_policy.as_deref();
        plan.release.uid == release.uid && made_with.is_none_or(|it| it == policy.as_str())
    })
}

/// Whether the order is carried out, as far as it can be: nothing has to be looked at.
pub fn settled(run: &Run, status: &TargetStatus) -> bool {
    let Some(journal) = &status.run else {
        return false;
    };
    same_run(run, journal)
        && match Step::of(journal) {
            Some(Step::Succeeded) => match run.goal {
                Goal::Deliver => true,
                Goal::Restore => false,
                Goal::Prune => !status.inventory.iter().any(InventoryItem::is_to_prune),
            },
            Some(step) => step.is_end(),
            None => false,
        }
}

fn unknown_step(journal: &RunStatus) -> Decision {
    Decision::Wait(Outcome::stalled(
        "UnknownJournal",
        format!(
            "the run is at step {:?}, which this version of Sluice does not know",
            journal.step
        ),
    ))
}
