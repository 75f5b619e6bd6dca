//! What is deleted: everything at the end of a Target, and what a Release no longer has once its stage
//! has succeeded. Both from the Target's status alone.

use jiff::Timestamp;

use super::{Decision, Step, next::Next, observation::Observation, workload};
use crate::{
    api::v1alpha1::{DeletionPolicy, InventoryItem, Run, TargetStatus, annotation},
    domain::{outcome::Outcome, ownership::Owner},
};

/// What to do next; [`Decision::Rest`] once AWS is as the policy says.
///
/// A run under way is put back first, so that nothing is left half done.
pub fn decide_removal(
    policy: DeletionPolicy,
    status: &TargetStatus,
    owner: &Owner,
    seen: &Observation,
    now: Timestamp,
) -> Decision {
    if let Some(journal) = &status.run
        && !Step::of(journal).is_some_and(Step::is_end)
    {
        let run = Run {
            release: journal.release.clone(),
            attempt: journal.attempt,
            goal: crate::api::v1alpha1::Goal::Restore,
            sequence: 1,
            plan_digest: None,
            reason: None,
            paused: false,
            immediate: false,
            correction: 0,
        };
        let order = super::Order::Restore("the Target was deleted".to_owned());
        return super::decide(&order, &run, status, owner, seen, now);
    }
    let way_out = format!(
        "Mend it, or set the annotation {}=true to leave it in AWS",
        annotation::ABANDON
    );
    let items = status
        .inventory
        .iter()
        .filter(|item| item.created && policy == DeletionPolicy::Delete);
    delete(items, &way_out, owner, seen)
        .unwrap_or_else(|| Decision::Rest(Outcome::done("Removed", "Nothing is left to remove")))
}

/// What to do next about what the Release no longer has.
pub(super) fn decide_prune(
    policy: DeletionPolicy,
    status: &TargetStatus,
    owner: &Owner,
    seen: &Observation,
) -> Decision {
    let dropped = status.inventory.iter().filter(|item| item.dropped);
    let items = dropped
        .clone()
        .filter(|item| item.created && policy == DeletionPolicy::Delete);
    let way_out = "Mend it; until then it is tried again, and what serves is not touched";
    if let Some(decision) = delete(items, way_out, owner, seen) {
        return decision;
    }
    if dropped.count() == 0 {
        return Decision::Rest(super::outcome(status));
    }
    let mut status = status.clone();
    status.inventory.retain(|item| !item.dropped);
    Decision::Record(Box::new(status))
}

/// Deletes these side by side; `None` once all of them are gone.
fn delete<'a>(
    items: impl Iterator<Item = &'a InventoryItem>,
    way_out: &str,
    owner: &Owner,
    seen: &Observation,
) -> Option<Decision> {
    if let Some((component, error)) = seen.errors.first() {
        let mut outcome = Outcome::from(error.clone());
        if let Outcome::Stalled { message, .. } = &mut outcome {
            *message = format!("component {component} can't be deleted: {message}. {way_out}");
        }
        return Some(Decision::Wait(outcome));
    }
    let (mut reads, mut acts, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match workload::delete(item, owner, seen) {
            Next::Read(read) => reads.push(read),
            Next::Act(effect) => acts.push(effect),
            Next::Wait(what) => waits.push(what),
            Next::Ready => {}
            Next::Fail(why) => {
                return Some(Decision::Wait(Outcome::stalled("CanNotDelete", why)));
            }
        }
    }
    if !reads.is_empty() {
        return Some(Decision::Observe(reads));
    }
    if !acts.is_empty() {
        return Some(Decision::Execute(acts));
    }
    (!waits.is_empty()).then(|| {
        Decision::Wait(Outcome::Waiting {
            reason: "WaitingForLambda",
            message: format!("Waiting for {}", waits.join(" and ")),
            after: std::time::Duration::from_secs(1),
        })
    })
}
