//! The removal of a Target: what Sluice deletes from AWS, from the status alone.

use jiff::Timestamp;

use super::{
    decide::decide,
    decision::{Decision, Task},
    inputs::next,
    observation::Observation,
    propose::withdrawals,
    prune::{delete_items, dependents_first, is_deleted},
    step::Step,
};
use crate::{
    api::v1alpha1::{DeletionPolicy, Goal, InventoryItem, Run, TargetStatus, annotation},
    domain::{outcome::Outcome, ownership::Owner, reason::Reason, workload::inventory},
};

/// The items that Sluice deletes from AWS when a Target is removed.
pub fn deleted_on_removal(
    policy: DeletionPolicy,
    status: &TargetStatus,
) -> impl Iterator<Item = &InventoryItem> {
    let items = status.inventory.iter();
    items.filter(move |item| is_deleted(policy, item))
}

/// Decides the next step of a removal; [`Decision::Rest`] once AWS is as the policy says.
///
/// A run under way is restored first, so that nothing is left half done.
pub fn decide_removal(
    policy: DeletionPolicy,
    status: &TargetStatus,
    owner: &Owner,
    observed: &Observation,
    now: Timestamp,
) -> Decision {
    if let Some(journal) = &status.run
        && !Step::of(journal).is_some_and(Step::is_end)
    {
        let run = Run::new(journal.release.clone(), journal.attempt, Goal::Restore, 1);
        let task = Task::Restore("the Target was deleted".to_owned());
        return decide(&task, &run, status, owner, observed, now);
    }
    let remedy = format!(
        "Fix it, or set the annotation {}=true to leave it in AWS",
        annotation::ABANDON
    );
    let withdrawals = withdrawals(status.proposals.iter(), owner, &observed.components)
        .into_iter()
        .map(|(_, next)| next);
    let deletions = dependents_first(deleted_on_removal(policy, status), |item| {
        next(inventory::delete(item, owner, &observed.components))
    });
    delete_items(withdrawals, &remedy, observed)
        .or_else(|| delete_items(deletions, &remedy, observed))
        .unwrap_or_else(|| {
            Decision::Rest(Outcome::done(Reason::Removed, "Nothing is left to remove"))
        })
}
