//! Promote: executes the planned change set, and follows the operation.

use super::{
    action::Action,
    begin::read,
    changes::{self, changes_nothing},
    deletion,
    desired::DesiredStack,
    observed::{Observed, What},
    progress,
    propose::{is_of, next_of},
    stack::{ChangeSet, Stack},
    state::{State, existing, is_change_set_pending, state},
    view::{Next, View},
    waits,
};
use crate::{
    api::v1alpha1::{Intent, Proposal},
    domain::ownership::{Adoption, Claim},
};

/// The change set that the run executes, unless there is nothing to change.
fn to_execute<'a>(want: &DesiredStack, view: View<'a>) -> Option<&'a Proposal> {
    let proposal = view.status.proposal(&want.component, &view.run.release)?;
    (!changes_nothing(proposal)).then_some(proposal)
}

/// The adoption, if it may come to one, and the execution of the change set, for the journal.
pub fn intents(want: &DesiredStack, view: View<'_>) -> Vec<Intent> {
    let intent = |operation: &str, result: Option<String>| Intent {
        component: want.component.clone(),
        operation: operation.to_owned(),
        resource: want.stack_name.clone(),
        result,
    };
    let adoption = (want.adoption != Adoption::NotAsked).then(|| intent("PutObject", None));
    let execution = to_execute(want, view);
    let execution = execution.map(|it| intent("ExecuteChangeSet", Some(it.name.clone())));
    adoption.into_iter().chain(execution).collect()
}

/// The next read or action until the stack has what the change set gives it.
pub fn promote(want: &DesiredStack, view: View<'_>) -> Next {
    let (name, observed) = (&want.stack_name, view.observed);
    let proposal = to_execute(want, view);
    if proposal.is_none() && want.adoption == Adoption::NotAsked {
        return Next::Ready;
    }
    let Some(found) = observed.stack(name) else {
        return Next::Read(read(name, What::Stack));
    };
    let Some(proposal) = proposal else {
        return adopt(want, existing(found), view).unwrap_or(Next::Ready);
    };
    let executed =
        existing(found).filter(|stack| is_of(stack.change_set.as_deref(), &proposal.name));
    if let Some(stack) = executed {
        return follow(want, stack, &proposal.name, observed, view);
    }
    if let Some(stack) = found.filter(|stack| state(&stack.status) == State::Working) {
        return Next::Wait(waits::for_other(name, stack));
    }
    if let Some(first) = adopt(want, existing(found), view) {
        return first;
    }
    let Some(change_set) = observed.change_set(name, &proposal.name) else {
        return Next::Read(read(name, What::ChangeSet(proposal.name.clone())));
    };
    match change_set {
        Some(change_set) => execute(want, proposal, change_set, observed),
        None => Next::Fail(format!(
            "stack {name} was not changed: change set {} was deleted externally",
            proposal.name
        )),
    }
}

/// The adoption of an unmanaged stack, before its first change; `None` if it is this Deployment's, or absent.
fn adopt(want: &DesiredStack, stack: Option<&Stack>, view: View<'_>) -> Option<Next> {
    let stack = stack.filter(|stack| view.owner.claim(stack.ownership()) != Claim::Ours)?;
    let obstacle = view.owner.obstacle(stack.ownership(), &want.adoption);
    Some(match obstacle {
        Some(why) => Next::Fail(format!("stack {} was not changed: {why}", want.stack_name)),
        None => Next::Act(Action::Adopt {
            key: stack.record_key(),
            owner: view.owner.tags(),
        }),
    })
}

/// Executes the change set if it still has the planned changes.
fn execute(
    want: &DesiredStack,
    proposal: &Proposal,
    found: &ChangeSet,
    observed: &Observed,
) -> Next {
    let name = &want.stack_name;
    if is_change_set_pending(found) || found.execution == "EXECUTE_IN_PROGRESS" {
        return Next::Wait(waits::for_change_set(name));
    }
    let changes = match changes::collect(found, name, observed) {
        Ok(changes) => changes,
        Err(incomplete) => return next_of(name, incomplete),
    };
    if Some(changes::digest(&changes).to_string()) != proposal.planned {
        return Next::Fail(format!(
            "stack {name} was not changed: the changes of change set {} are not those of the plan",
            proposal.name
        ));
    }
    if found.execution != "AVAILABLE" {
        let reason = found
            .reason
            .as_deref()
            .unwrap_or("the stack was changed since");
        return Next::Fail(format!(
            "stack {name} was not changed: change set {} can't be executed ({}): {reason}",
            proposal.name, found.execution
        ));
    }
    Next::Act(Action::Execute {
        change_set: found.id.clone(),
        token: proposal.name.clone(),
    })
}

/// Follows the operation to its end.
fn follow(
    want: &DesiredStack,
    stack: &Stack,
    token: &str,
    observed: &Observed,
    view: View<'_>,
) -> Next {
    let name = &want.stack_name;
    if matches!(
        stack.status.as_str(),
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE"
    ) {
        return Next::Ready;
    }
    let Some(events) = observed.events(name, token) else {
        return Next::Read(deletion::events(name, stack, token));
    };
    let is_undone = stack.status.contains("ROLLBACK") || stack.status.ends_with("FAILED");
    if state(&stack.status) == State::Working && !is_undone {
        let found = observed.change_set(name, token).flatten();
        let planned = found.map(|found| found.changes.len());
        let progress = progress::summary(events, &stack.id, planned, view.pass.began);
        return Next::Wait(waits::for_stack(format!("stack {name}: {progress}")));
    }
    // AWS restores the stack: that is its own, and the restore of the run waits for it.
    Next::Fail(format!(
        "stack {name}: {}",
        progress::failure(stack, events)
    ))
}
