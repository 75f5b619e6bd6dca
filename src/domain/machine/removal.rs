//! What is deleted: everything at the end of a Target, and what a Release no longer has once its stage
//! has succeeded. Both from the Target's status alone.

use jiff::Timestamp;

use super::{
    Decision, Step,
    next::{Next, wait_for},
    observation::Observation,
    workload,
};
use crate::{
    api::v1alpha1::{DeletionPolicy, Run, TargetStatus, annotation},
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
        let run = Run::new(
            journal.release.clone(),
            journal.attempt,
            crate::api::v1alpha1::Goal::Restore,
            1,
        );
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
    let nexts = items.map(|item| workload::delete(item, owner, seen));
    carry_out(nexts, &way_out, seen)
        .unwrap_or_else(|| Decision::Rest(Outcome::done("Removed", "Nothing is left to remove")))
}

/// What to do next about what the Release no longer has.
pub(super) fn decide_prune(
    policy: DeletionPolicy,
    status: &TargetStatus,
    owner: &Owner,
    seen: &Observation,
) -> Decision {
    let items = status.inventory.iter().filter(|item| item.is_to_prune());
    let nexts = items.clone().map(|item| {
        if !item.dropped {
            return workload::prune(item, seen);
        }
        if item.created && policy == DeletionPolicy::Delete {
            return workload::delete(item, owner, seen);
        }
        Next::Ready
    });
    let way_out = "Mend it; until then it is tried again, and what serves is not touched";
    if let Some(decision) = carry_out(nexts, way_out, seen) {
        return decision;
    }
    if items.count() == 0 {
        return Decision::Rest(super::outcome(status));
    }
    let mut status = status.clone();
    status.inventory.retain(|item| !item.dropped);
    for item in status
        .inventory
        .iter_mut()
        .filter(|item| item.is_to_prune())
    {
        item.objects = workload::pruned(item, seen);
    }
    Decision::Record(Box::new(status))
}

/// Takes these away side by side; `None` once all of them are gone.
fn carry_out(
    nexts: impl Iterator<Item = Next>,
    way_out: &str,
    seen: &Observation,
) -> Option<Decision> {
    if let Some((component, error)) = seen.errors.first() {
        let mut outcome = wait_for(error);
        if let Outcome::Stalled { message, .. } = &mut outcome {
            *message = format!("component {component} can't be deleted: {message}. {way_out}");
        }
        return Some(Decision::Wait(outcome));
    }
    let (mut reads, mut acts, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for next in nexts {
        match next {
            Next::Read(read) => reads.push(read),
            Next::Act(effect) => acts.push(effect),
            Next::Wait(what) | Next::Running(what) | Next::Stuck(what) | Next::NotYet(what) => {
                waits.push(what);
            }
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
