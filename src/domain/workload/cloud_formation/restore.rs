//! Restore: brings a stack back to its state before the run.
//!
//! | before | now | next |
//! |---|---|---|
//! | absent | absent, or not ours | ready |
//! | absent | being created, or created | `DeleteStack` |
//! | existing | as before | ready |
//! | existing | being updated by this run | `CancelUpdateStack` |
//! | existing | updated | a change set to the former template and settings |
//! | existing | its rollback failed | `ContinueUpdateRollback`, once for each attempt |
//! | existing | gone, or otherwise stuck | fails, with the way out |

use std::collections::BTreeSet;

use super::{
    action::{Action, ChangeSetToCreate, TemplateText},
    begin::{CHANGE_SET_PREFIX, differing, live_reads, read},
    changes::{self, Incomplete},
    deletion::{delete_stack, events},
    observed::{Observed, What},
    progress,
    propose::{is_of, next_of},
    repair::Rollback,
    snapshot::{FormerStack, StackSnapshot},
    stack::{ChangeSet, Stack},
    state::{State, change_set_name, existing, is_change_set_pending, state},
    view::{Next, View},
    waits,
};
use crate::{
    api::v1alpha1::{Difference, Restored, RunStatus},
    domain::{digest::Sha256, ownership::Owner, workload::change::difference},
};

/// The next read or action to restore the snapshot. The run may have adopted the stack: then its adoption ends last.
pub fn restore(component: &str, then: &StackSnapshot, journal: &RunStatus, view: View<'_>) -> Next {
    let next = restore_stack(component, then, journal, view);
    let stack = existing(view.observed.stack(&then.stack_name).flatten());
    let is_adopted = stack
        .filter(|stack| stack.record.is_some() && view.owner.refusal(stack.ownership()).is_none());
    let was_ours = |before: &FormerStack| view.owner.refusal(before.ownership()).is_none();
    match (is_adopted, &then.before) {
        (Some(stack), Some(before)) if next == Next::Ready && !was_ours(before) => {
            Next::Act(Action::Disown {
                key: stack.record_key(),
            })
        }
        _ => next,
    }
}

fn restore_stack(
    component: &str,
    then: &StackSnapshot,
    journal: &RunStatus,
    view: View<'_>,
) -> Next {
    let (name, observed) = (&then.stack_name, view.observed);
    let Some(found) = observed.stack(name) else {
        return Next::Read(read(name, What::Stack));
    };
    let Some(before) = &then.before else {
        return restore_absence(name, journal, found, view);
    };
    let Some(stack) = existing(found) else {
        return missing(name, observed);
    };
    if stack.id != before.id {
        return Next::Fail(format!(
            "stack {name} can't be restored: it was deleted and created again by another tool"
        ));
    }
    let name_of_restore = restoring_name(component, journal);
    match state(&stack.status) {
        State::Working => interrupt(name, component, stack, journal, view),
        State::RollbackFailed => {
            let token = format!("{name_of_restore}-continue");
            continue_rollback(component, then, (before, stack), token, view)
        }
        State::Stuck(it) => {
            let why = it.describe(name);
            Next::Stuck(format!("stack {name} is {}: {why}", stack.status))
        }
        State::Settled | State::Review | State::CreationRolledBack => {
            if let Some(first) = live_reads(name, observed).into_iter().next() {
                return Next::Read(first);
            }
            if is_as_before(name, before, stack, observed) {
                return clean_up(name, &name_of_restore, observed);
            }
            let (of, from) = ((component, journal), (before, stack));
            bring_back(of, then, from, &name_of_restore, view)
        }
    }
}

/// The name of the change set that restores the state before the run. Another attempt of a restore needs a new
/// one, because AWS executes a change set only once.
fn restoring_name(component: &str, journal: &RunStatus) -> String {
    let snapshot = journal.snapshot.as_ref().map(|it| &it.version_id);
    let of = (&journal.release.uid, component, snapshot);
    format!(
        "{CHANGE_SET_PREFIX}restore-{}-{}",
        Sha256::of_json(&of).short(),
        journal.attempt
    )
}

/// A stack that was not found counts as deleted only once its absence is confirmed.
fn missing(name: &str, observed: &Observed) -> Next {
    if observed.is_absence_confirmed(name) {
        return Next::Fail(format!("stack {name} can't be restored: it was deleted"));
    }
    Next::wait(format!(
        "another read that confirms that stack {name} is gone"
    ))
}

/// Deletes the stack that the run created.
fn restore_absence(name: &str, journal: &RunStatus, found: Option<&Stack>, view: View<'_>) -> Next {
    let Some(stack) = existing(found) else {
        // Before the stack exists, only a change set does: it is withdrawn once its Release is rejected.
        let is_confirmed = found.is_some() || view.observed.is_absence_confirmed(name);
        return if is_confirmed {
            Next::Ready
        } else {
            Next::wait(format!(
                "another read that confirms that stack {name} does not exist"
            ))
        };
    };
    if view.owner.refusal(&stack.tags).is_some() {
        return Next::Ready;
    }
    let token = format!("{CHANGE_SET_PREFIX}restore-{}", journal.attempt);
    match delete_stack(stack, name, &token, view.observed) {
        // A person may remove the cause before the deadline.
        Next::Fail(why) => Next::Stuck(why),
        next => next,
    }
}

/// Ends the operation of the run; waits for any other.
fn interrupt(
    name: &str,
    component: &str,
    stack: &Stack,
    journal: &RunStatus,
    view: View<'_>,
) -> Next {
    let proposal = view.status.proposal(component, &journal.release);
    let is_ours = proposal.is_some_and(|it| is_of(stack.change_set.as_deref(), &it.name));
    if is_ours && stack.status == "UPDATE_IN_PROGRESS" {
        return Next::Act(Action::CancelUpdate {
            stack: stack.id.clone(),
            token: format!("{}-cancel", restoring_name(component, journal)),
        });
    }
    Next::Wait(waits::for_stack(format!(
        "stack {name}, which is {}",
        stack.status
    )))
}

/// Has CloudFormation continue the rollback, which brings back the state before the failed update.
fn continue_rollback(
    component: &str,
    then: &StackSnapshot,
    (before, stack): (&FormerStack, &Stack),
    token: String,
    view: View<'_>,
) -> Next {
    let name = &then.stack_name;
    // A person may remove the cause before the deadline.
    let blocked = |why: String| Next::Stuck(format!("stack {name} can't be restored: {why}"));
    if let Some(why) = view.owner.refusal(stack.ownership()) {
        return blocked(why);
    }
    let rollback = Rollback {
        component,
        name,
        role: stack.role.as_ref().unwrap_or(&before.settings.role),
        skip: &then.resources_to_skip,
        token,
    };
    rollback
        .resume(stack, view.observed)
        .unwrap_or_else(blocked)
}

/// Whether the stack is as it was.
fn is_as_before(name: &str, before: &FormerStack, stack: &Stack, observed: &Observed) -> bool {
    observed.template(name) == Some(before.template)
        && differing(&before.settings, stack).is_empty()
}

/// Deletes the change set of the restore if it turned out to be unnecessary.
fn clean_up(stack: &str, name: &str, observed: &Observed) -> Next {
    match observed.change_set(stack, name) {
        None => Next::Read(read(stack, What::ChangeSet(name.to_owned()))),
        Some(Some(found)) if found.execution == "AVAILABLE" => Next::Act(Action::DeleteChangeSet {
            change_set: found.id.clone(),
        }),
        Some(_) => Next::Ready,
    }
}

/// Updates the stack to its former template and settings.
fn bring_back(
    (component, journal): (&str, &RunStatus),
    then: &StackSnapshot,
    (before, stack): (&FormerStack, &Stack),
    change_set: &str,
    view: View<'_>,
) -> Next {
    let (name, observed) = (&then.stack_name, view.observed);
    match observed.change_set(name, change_set) {
        None => Next::Read(read(name, What::ChangeSet(change_set.to_owned()))),
        Some(None) => Next::Act(Action::CreateChangeSet(Box::new(ChangeSetToCreate {
            name: change_set.to_owned(),
            creates: false,
            template: TemplateText::Kept(before.template),
            settings: before.settings.clone(),
            // The stack has their values already.
            systems_manager_parameters: Vec::new(),
            imports_existing: false,
        }))),
        Some(Some(found)) if found.execution == "EXECUTE_FAILED" => {
            match observed.events(name, change_set) {
                Some(events) => {
                    let why = progress::failure(stack, events);
                    Next::Fail(format!("stack {name} can't be restored: {why}"))
                }
                None => Next::Read(events(name, stack, change_set)),
            }
        }
        Some(Some(found)) => match created_by_run(component, journal, stack, name, view) {
            Ok(own) => execute(component, then, found, &own, observed),
            Err(first) => first,
        },
    }
}

/// The resources that the run itself has created, by the change set that it executed: a restore may delete them.
/// Or what comes first.
fn created_by_run(
    component: &str,
    journal: &RunStatus,
    stack: &Stack,
    name: &str,
    view: View<'_>,
) -> Result<BTreeSet<String>, Next> {
    let proposal = view.status.proposal(component, &journal.release);
    let executed = stack.change_set.as_deref();
    let Some(arn) = executed.filter(|arn| proposal.is_some_and(|it| is_of(Some(arn), &it.name)))
    else {
        return Ok(BTreeSet::new());
    };
    match view.observed.change_set(name, arn) {
        None => Err(Next::Read(read(name, What::ChangeSet(arn.to_owned())))),
        Some(None) => Ok(BTreeSet::new()),
        Some(Some(found)) => match changes::collect(found, name, view.observed) {
            Ok(changes) => Ok(changes::created(&changes)),
            Err(Incomplete::Unread(arn)) => Err(Next::Read(read(name, What::ChangeSet(arn)))),
            Err(Incomplete::Pending(_) | Incomplete::Failed(_)) => Ok(BTreeSet::new()),
        },
    }
}

fn execute(
    component: &str,
    then: &StackSnapshot,
    found: &ChangeSet,
    own: &BTreeSet<String>,
    observed: &Observed,
) -> Next {
    let name = &then.stack_name;
    if is_change_set_pending(found) || found.execution == "EXECUTE_IN_PROGRESS" {
        return Next::Wait(waits::for_change_set(name));
    }
    // The resources are as before: only the text of the template differs, which AWS does not change alone. AWS
    // deletes the empty change set with the next execution.
    if found.is_empty() {
        return Next::Ready;
    }
    if found.status != "CREATE_COMPLETE" || found.execution != "AVAILABLE" {
        let reason = found.reason.as_deref().unwrap_or("AWS gives no reason");
        return Next::Fail(format!(
            "stack {name} can't be restored: change set {} is {} ({}): {reason}",
            found.id, found.status, found.execution
        ));
    }
    let changes = match changes::collect(found, name, observed) {
        Ok(changes) => changes,
        Err(incomplete) => return next_of(name, incomplete),
    };
    if let Some(why) = changes::refusal(&changes, &then.allow, own, component) {
        return Next::Fail(format!("stack {name} can't be restored: {why}"));
    }
    Next::Act(Action::Execute {
        change_set: found.id.clone(),
        token: change_set_name(&found.id).unwrap_or_default().to_owned(),
    })
}

/// The restored state, for the status.
pub fn restored(component: &str, then: &StackSnapshot, observed: &Observed) -> Restored {
    let state = match (&then.before, observed.last(&then.stack_name).flatten()) {
        (Some(before), _) => format!("template {}", before.template.exact.short()),
        (None, Some(_)) => "unchanged: the run did not create it".to_owned(),
        (None, None) => "absent, as before".to_owned(),
    };
    Restored {
        component: component.to_owned(),
        resource: then.stack_name.clone(),
        state,
    }
}

/// The differences from the state before the run, by the last observation.
pub fn not_restored(
    component: &str,
    then: &StackSnapshot,
    owner: &Owner,
    observed: &Observed,
) -> Vec<Difference> {
    let name = &then.stack_name;
    let whole = |expected: Option<&str>, found: &str| {
        let values = (expected.map(str::to_owned), Some(found.to_owned()));
        difference(component, name, None, values)
    };
    let Some(found) = observed.last(name) else {
        return Vec::new();
    };
    match (&then.before, existing(found)) {
        (Some(_), None) => vec![whole(Some("there"), "gone")],
        (None, Some(stack)) if owner.refusal(&stack.tags).is_none() => vec![whole(None, "there")],
        (None, _) => Vec::new(),
        (Some(before), Some(stack)) => {
            let settings = differing(&before.settings, stack).into_iter();
            let mut found: Vec<_> = settings
                .map(|(field, values)| difference(component, name, Some(&field), values))
                .collect();
            let now = observed.template(name).filter(|it| *it != before.template);
            if let Some(now) = now {
                let values = (Some(before.template.exact.short()), Some(now.exact.short()));
                found.push(difference(component, name, Some("template"), values));
            }
            found
        }
    }
}
