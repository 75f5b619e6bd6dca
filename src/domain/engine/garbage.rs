//! Garbage collection: versions of deleted Releases, proposals that no plan needs, and snapshots and long plans
//! of earlier runs.
//!
//! # Guarantees
//! - Sluice deletes a version only if no kept Release, run, snapshot or live alias refers to it, and only if
//!   it still is the version that was published: of a function with the same owner, with the same code.
//! - Sluice deletes the record of a version or proposal after the thing itself, so that it finds again what a
//!   crash left.
//! - The snapshot of the last run stays, and so does that of a run that could not be restored.
//!
//! # Assumptions
//! AWS refuses to delete a version that any other alias refers to.

use std::collections::BTreeSet;

use super::{
    decision::Decision,
    inputs::{Next, next},
    observation::{Action, Effect, Observation, Read},
    propose::{unneeded_proposals, withdrawals},
    step::{Step, outcome},
    wave::Wave,
};
use crate::{
    api::v1alpha1::{
        PlanStatus, Proposal, PublishedVersion, RunStatus, StoredSnapshot, TargetStatus,
    },
    domain::{outcome::Outcome, ownership::Owner, workload::inventory},
};

/// How many deletions run in parallel.
const WAVE: usize = 10;

/// How many expired snapshots accumulate before they are deleted together.
const MANY: usize = 10;

/// How many expired snapshots the status lists at most.
const MOST_EXPIRED: usize = 50;

/// The UIDs of the Releases whose traces in AWS are needed.
#[derive(Clone, Debug, Default)]
pub struct Needed {
    /// Those that exist: their versions may be rolled back to.
    pub existing: BTreeSet<String>,
    /// Those that the Target is to plan or deliver: their proposals are needed.
    pub open: BTreeSet<String>,
}

/// The garbage, according to the status: versions as `function:version`, names of proposals, and keys of
/// expired snapshots once they are many.
pub fn garbage(status: &TargetStatus, needed: &Needed) -> BTreeSet<String> {
    let versions = unneeded_versions(status, &needed.existing);
    let proposals = unneeded_proposals(status, &needed.open).into_iter();
    let versions = versions
        .iter()
        .map(|one| format!("{}:{}", one.function_name, one.version));
    let many = status.expired_snapshots.len() >= MANY;
    let snapshots = status.expired_snapshots.iter().filter(|_| many);
    versions
        .chain(proposals.map(|it| it.name.clone()))
        .chain(snapshots.map(|it| format!("{}?{}", it.key, it.version_id)))
        .collect()
}

/// Decides the next step of a garbage collection; [`Decision::Rest`] once it is done, as far as possible.
pub fn decide_garbage_collection(
    status: &TargetStatus,
    needed: &Needed,
    owner: &Owner,
    observed: &Observation,
) -> Decision {
    let versions = unneeded_versions(status, &needed.existing);
    let last = status.run.as_ref().and_then(|run| run.snapshot.as_ref());
    let failed = !observed.errors.is_empty();
    if !versions.is_empty() && last.is_some() && observed.known.snapshot.is_none() && !failed {
        return Decision::Observe(vec![Read::Snapshot]);
    }
    let snapshot = observed
        .known
        .snapshot
        .as_ref()
        .map(|(_, snapshot)| snapshot);
    let observations = &observed.components;
    // Whatever it waits for, or can't delete, the next collection tries again.
    let mut nexts = Vec::new();
    let mut is_gone = |next: Next| {
        let is_gone = next == Next::Ready;
        nexts.push(next);
        is_gone
    };
    // Only the snapshot says what a rollback needs.
    let is_snapshot_known = last.is_none() || snapshot.is_some();
    let retire = |version| {
        inventory::retire(version, &status.inventory, snapshot, owner, observations).map(next)
    };
    let mut gone = versions;
    gone.retain(|&version| is_snapshot_known && retire(version).is_some_and(&mut is_gone));
    let unneeded = unneeded_proposals(status, &needed.open).into_iter();
    let withdrawn: Vec<&Proposal> = withdrawals(unneeded, owner, observations)
        .into_iter()
        .filter_map(|(it, next)| is_gone(next).then_some(it))
        .collect();
    let mut wave: Wave = nexts.into_iter().collect();
    let discarded = |it: &StoredSnapshot| {
        observed
            .known
            .discarded
            .contains(&(it.key.clone(), it.version_id.clone()))
    };
    let left = status.expired_snapshots.iter().filter(|it| !discarded(it));
    wave.effects.extend(left.map(|it| discard(it.clone())));
    wave.effects.truncate(WAVE);
    if !failed && let Some(calls) = wave.calls(Decision::Execute) {
        return calls;
    }
    let mut next = status.clone();
    next.versions.retain(|one| !gone.contains(&one));
    next.proposals.retain(|one| !withdrawn.contains(&one));
    next.expired_snapshots.retain(|it| !discarded(it));
    if next != *status {
        return Decision::Record(Box::new(next));
    }
    Decision::Rest(match observed.errors.first() {
        Some((_, error)) => Outcome::from(error.clone()),
        None => outcome(status),
    })
}

/// Replaces the run. The snapshot of the former one expires, unless that could not be restored.
pub(super) fn replace_run(status: &mut TargetStatus, run: RunStatus) {
    let before = status.run.replace(run);
    let disposable = |run: &RunStatus| Step::of(run) != Some(Step::RollbackFailed);
    let old = before.filter(disposable).and_then(|before| before.snapshot);
    let new = status.run.as_ref().and_then(|run| run.snapshot.as_ref());
    let Some(old) = old.filter(|old| new.is_none_or(|new| new.version_id != old.version_id)) else {
        return;
    };
    expire(status, old.key, old.version_id);
}

/// Replaces the plan. The stored list of the former one expires.
pub(super) fn replace_plan(status: &mut TargetStatus, plan: PlanStatus) {
    let new = plan.stored.clone();
    let old = status.plan.replace(plan).and_then(|plan| plan.stored);
    if let Some(old) = old.filter(|old| new.is_none_or(|new| new != *old)) {
        expire(status, old.key, old.version_id);
    }
}

fn expire(status: &mut TargetStatus, key: String, version_id: String) {
    let expired = StoredSnapshot { key, version_id };
    status.expired_snapshots.push(expired);
    let excess = status.expired_snapshots.len().saturating_sub(MOST_EXPIRED);
    status.expired_snapshots.drain(..excess);
}

/// The recorded versions that no Release needs.
fn unneeded_versions<'a>(
    status: &'a TargetStatus,
    kept: &BTreeSet<String>,
) -> Vec<&'a PublishedVersion> {
    let run = status.run.as_ref();
    let live = status.live.as_ref().map(|live| &live.release);
    let before = run.and_then(|run| run.snapshot.as_ref()?.release.as_ref());
    let named = [live, run.map(|run| &run.release), before];
    let is_kept = |one: &PublishedVersion| {
        let named = named.iter().flatten();
        kept.contains(&one.release_uid) || named.into_iter().any(|it| it.uid == one.release_uid)
    };
    let components = run.iter().flat_map(|run| &run.components);
    let served = components.flat_map(|it| {
        let versions = [it.version.as_deref(), it.previous_version.as_deref()];
        versions.map(|version| version.map(|version| (it.resource.as_str(), version)))
    });
    let of_kept = status.versions.iter().filter(|one| is_kept(one));
    let needed: BTreeSet<(&str, &str)> = of_kept
        .map(|one| (one.function_name.as_str(), one.version.as_str()))
        .chain(served.flatten())
        .collect();
    let is_needed = |one: &PublishedVersion| {
        needed.contains(&(one.function_name.as_str(), one.version.as_str()))
    };
    let all = status.versions.iter();
    all.filter(|one| !is_needed(one)).collect()
}

fn discard(snapshot: StoredSnapshot) -> Effect {
    Effect {
        component: "snapshot".to_owned(),
        resource: snapshot.key.clone(),
        action: Action::DeleteSnapshot(snapshot),
    }
}
