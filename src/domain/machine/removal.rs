//! What to do when a Target is being deleted: from its status alone.

use jiff::Timestamp;

use super::{
    Decision, Step,
    observation::{Action, Effect, Observation, Read},
};
use crate::{
    api::v1alpha1::{DeletionPolicy, Run, TargetStatus},
    domain::{function::FunctionState, outcome::Outcome, ownership::Owner},
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
        };
        let order = super::Order::Restore("the Target was deleted".to_owned());
        return super::decide(&order, &run, status, owner, seen, now);
    }
    let gone = Outcome::Done {
        reason: "Removed",
        message: "Nothing is left to remove".to_owned(),
    };
    if policy == DeletionPolicy::Retain {
        return Decision::Rest(gone);
    }
    if let Some((component, error)) = seen.errors.first() {
        let mut outcome = Outcome::from(error.clone());
        if let Outcome::Stalled { message, .. } = &mut outcome {
            *message = format!(
                "component {component} can't be deleted: {message}. Mend it, or set the annotation {}=true to leave it in AWS",
                crate::api::v1alpha1::annotation::ABANDON
            );
        }
        return Decision::Wait(outcome);
    }
    let (mut reads, mut acts, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for item in status.inventory.iter().filter(|item| item.created) {
        match seen.functions.get(&item.name) {
            None => reads.push(Read::Function {
                name: item.name.clone(),
            }),
            Some(None) => {}
            Some(Some(function)) if owner.refusal(&function.tags).is_some() => {}
            Some(Some(function)) if function.state == FunctionState::Pending => {
                waits.push(item.name.clone());
            }
            Some(Some(_)) => acts.push(Effect {
                component: item.component.clone(),
                function: item.name.clone(),
                action: Action::DeleteFunction,
            }),
        }
    }
    if !reads.is_empty() {
        return Decision::Observe(reads);
    }
    if !acts.is_empty() {
        return Decision::Execute(acts);
    }
    if waits.is_empty() {
        return Decision::Rest(gone);
    }
    Decision::Wait(Outcome::Waiting {
        reason: "WaitingForLambda",
        message: format!(
            "Waiting for {} to settle before it is deleted",
            waits.join(" and ")
        ),
        after: std::time::Duration::from_secs(1),
    })
}
