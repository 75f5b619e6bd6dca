//! Prune: deletes what a Release no longer has once its stage has succeeded, from the Target's status alone.

use std::collections::BTreeMap;

use super::{
    decision::Decision,
    inputs::{Next, next},
    observation::Observation,
    poll::wait_for,
    step::outcome,
    wave::{Wave, wait_without_deadline},
};
use crate::{
    api::v1alpha1::{DeletionPolicy, InventoryItem, TargetStatus},
    domain::{outcome::Outcome, ownership::Owner, reason::Reason, workload::inventory},
};

/// Whether Sluice deletes the item from AWS once it is no longer wanted.
pub(super) fn is_deleted(policy: DeletionPolicy, item: &InventoryItem) -> bool {
    item.created && policy == DeletionPolicy::Delete
}

/// Decides the next step of a prune.
pub(super) fn decide_prune(
    policy: DeletionPolicy,
    status: &TargetStatus,
    owner: &Owner,
    observed: &Observation,
) -> Decision {
    let items = status.inventory.iter().filter(|item| item.needs_prune());
    let next_of = |item: &InventoryItem| {
        if !item.removed {
            return next(inventory::prune(item, &observed.components));
        }
        if is_deleted(policy, item) {
            return next(inventory::delete(item, owner, &observed.components));
        }
        Next::Ready
    };
    let nexts = dependents_first(items.clone(), next_of);
    let remedy = "Fix the cause; Sluice retries until then, and the live Release is not affected";
    if let Some(decision) = delete_items(nexts, remedy, observed) {
        return decision;
    }
    if items.count() == 0 {
        return Decision::Rest(outcome(status));
    }
    let mut status = status.clone();
    status.inventory.retain(|item| !item.removed);
    for item in status
        .inventory
        .iter_mut()
        .filter(|item| item.needs_prune())
    {
        item.objects = inventory::objects_pruned(item, &observed.components);
    }
    Decision::Record(Box::new(status))
}

/// The next steps of the highest level that is not finished: what depends on other components goes before them.
pub(super) fn dependents_first<'a>(
    items: impl Iterator<Item = &'a InventoryItem>,
    next: impl Fn(&InventoryItem) -> Next,
) -> impl Iterator<Item = Next> {
    let mut levels: BTreeMap<i64, Vec<Next>> = BTreeMap::new();
    for item in items {
        levels.entry(item.level).or_default().push(next(item));
    }
    let is_open = |nexts: &Vec<Next>| nexts.iter().any(|next| *next != Next::Ready);
    let open = levels.into_values().rev().find(is_open);
    open.into_iter().flatten()
}

/// Deletes the items in parallel; `None` once all of them are gone.
pub(super) fn delete_items(
    nexts: impl Iterator<Item = Next>,
    remedy: &str,
    observed: &Observation,
) -> Option<Decision> {
    if let Some((component, error)) = observed.errors.first() {
        let mut outcome = wait_for(error);
        if let Outcome::Stalled { message, .. } = &mut outcome {
            *message = format!("component {component} can't be deleted: {message}. {remedy}");
        }
        return Some(Decision::Wait(outcome));
    }
    let mut wave: Wave = nexts.collect();
    if let Some(why) = wave.failures.first() {
        let outcome = Outcome::stalled(Reason::DeletionBlocked, format!("{why}. {remedy}"));
        return Some(Decision::Wait(outcome));
    }
    wave.calls(Decision::Execute)
        .or_else(|| wait_without_deadline(&wave.all_waits()).map(Decision::Wait))
}
