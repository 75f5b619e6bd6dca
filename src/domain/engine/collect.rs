//! What nothing needs any more: versions of Releases that are gone, and snapshots and long plans of earlier
//! runs.
//!
//! # Guarantees
//! - A version goes only if no kept Release, no run, no snapshot and not the alias that serves has it;
//!   and only where it still is what was published: our function, the same code.
//! - The record of a version goes after the version: what a crash leaves half done is found again.
//! - The snapshot of the last run stays, and so does that of a run that could not be put back.
//!
//! # Assumptions
//! AWS itself refuses to delete a version that any other alias names.

use std::collections::BTreeSet;

use super::{
    decision::Decision,
    observation::{Action, Effect, Observation, Read},
    scene::{Next, next},
    step::{Step, outcome},
};
use crate::{
    api::v1alpha1::{PlanStatus, PublishedVersion, RunStatus, StoredSnapshot, TargetStatus},
    domain::{outcome::Outcome, ownership::Owner, workload::inventory},
};

/// How many deletions are made side by side.
const WAVE: usize = 10;

/// How many snapshots wait before they are removed together.
const MANY: usize = 10;

/// How many snapshots are on record at most.
const MOST_EXPIRED: usize = 50;

/// What there is to remove, as far as the status tells: versions as `function:version`, and keys of
/// snapshots once there are many. `kept` are the uids of the Releases that exist.
pub fn garbage(status: &TargetStatus, kept: &BTreeSet<String>) -> BTreeSet<String> {
    let versions = unneeded(status, kept);
    let versions = versions
        .iter()
        .map(|one| format!("{}:{}", one.function_name, one.version));
    let many = status.expired_snapshots.len() >= MANY;
    let snapshots = status.expired_snapshots.iter().filter(|_| many);
    versions
        .chain(snapshots.map(|it| format!("{}?{}", it.key, it.version_id)))
        .collect()
}

/// What to do next to remove what nothing needs; [`Decision::Rest`] once that is done, as far as it can
/// be.
pub fn decide_garbage_collection(
    status: &TargetStatus,
    kept: &BTreeSet<String>,
    owner: &Owner,
    observed: &Observation,
) -> Decision {
    let versions = unneeded(status, kept);
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
    let (mut reads, mut acts, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    // Without the snapshot nobody knows what a rollback needs.
    let known = last.is_none() || snapshot.is_some();
    for version in versions.iter().filter(|_| known) {
        let retired = inventory::retire(
            version,
            &status.inventory,
            snapshot,
            owner,
            &observed.components,
        );
        match retired.map(next) {
            Some(Next::Read(read)) if reads.contains(&read) => {}
            Some(Next::Read(read)) => reads.push(read),
            Some(Next::Act(effect)) => acts.push(effect),
            Some(Next::Ready) => gone.push(*version),
            Some(
                Next::Wait(_)
                | Next::Running(_)
                | Next::Stuck(_)
                | Next::Inconclusive(_)
                | Next::Fail(_),
            )
            | None => {}
        }
    }
    let discarded = |it: &StoredSnapshot| {
        observed
            .known
            .discarded
            .contains(&(it.key.clone(), it.version_id.clone()))
    };
    let left = status.expired_snapshots.iter().filter(|it| !discarded(it));
    acts.extend(left.map(|it| discard(it.clone())));
    if !failed && !reads.is_empty() {
        return Decision::Observe(reads);
    }
    if !failed && !acts.is_empty() {
        acts.truncate(WAVE);
        return Decision::Execute(acts);
    }
    let mut next = status.clone();
    next.versions.retain(|one| !gone.contains(&one));
    next.expired_snapshots.retain(|it| !discarded(it));
    if next != *status {
        return Decision::Record(Box::new(next));
    }
    Decision::Rest(match observed.errors.first() {
        Some((_, error)) => Outcome::from(error.clone()),
        None => outcome(status),
    })
}

/// A new run takes the place of the one before, whose snapshot nothing needs any more.
pub(super) fn replace_run(status: &mut TargetStatus, run: RunStatus) {
    let before = status.run.replace(run);
    let put_back = |run: &RunStatus| Step::of(run) != Some(Step::RollbackFailed);
    let old = before.filter(put_back).and_then(|before| before.snapshot);
    let new = status.run.as_ref().and_then(|run| run.snapshot.as_ref());
    let Some(old) = old.filter(|old| new.is_none_or(|new| new.version_id != old.version_id)) else {
        return;
    };
    expire(status, old.key, old.version_id);
}

/// A new plan takes the place of the one before, whose list nobody needs any more.
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
    let most = status.expired_snapshots.len().saturating_sub(MOST_EXPIRED);
    status.expired_snapshots.drain(..most);
}

/// The versions on record that no Release needs.
fn unneeded<'a>(status: &'a TargetStatus, kept: &BTreeSet<String>) -> Vec<&'a PublishedVersion> {
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
