//! The deletion of a stack.

use super::{
    action::Action,
    begin::{CHANGE_SET_PREFIX, read},
    observed::{Observed, Read, What},
    progress,
    stack::Stack,
    state::{State, existing, state},
    view::Next,
    waits,
};
use crate::{api::v1alpha1::InventoryItem, domain::ownership::Owner};

/// The read of the events of an operation.
pub fn events(name: &str, stack: &Stack, token: &str) -> Read {
    let what = What::Events {
        stack: stack.id.clone(),
        token: token.to_owned(),
    };
    read(name, what)
}

/// The next read or action to delete a stack that the Release no longer has.
pub fn delete(item: &InventoryItem, owner: &Owner, observed: &Observed) -> Next {
    let name = &item.name;
    let Some(found) = observed.stack(name) else {
        return Next::Read(read(name, What::Stack));
    };
    match existing(found) {
        Some(stack) if owner.refusal(&stack.tags).is_none() => {
            delete_stack(stack, name, &format!("{CHANGE_SET_PREFIX}delete"), observed)
        }
        _ => Next::Ready,
    }
}

/// Deletes a stack, and follows the deletion.
pub fn delete_stack(stack: &Stack, name: &str, token: &str, observed: &Observed) -> Next {
    match stack.status.as_str() {
        "DELETE_IN_PROGRESS" => {
            Next::Wait(waits::for_stack(format!("the deletion of stack {name}")))
        }
        "DELETE_FAILED" => match observed.events(name, token) {
            None => Next::Read(events(name, stack, token)),
            Some(events) => Next::Fail(format!(
                "stack {name} can't be deleted: {}. Delete it again once the cause is gone, or retain what can't be \
                 deleted: aws cloudformation delete-stack --stack-name {name} --retain-resources …",
                progress::failure(stack, events)
            )),
        },
        _ if stack.is_protected => Next::Fail(format!(
            "stack {name} can't be deleted: it has termination protection; end that with aws cloudformation \
             update-termination-protection --no-enable-termination-protection --stack-name {name}"
        )),
        // AWS accepts the deletion of a stack that is being created, and of no other that it works on.
        "CREATE_IN_PROGRESS" => Next::Act(deletion(stack, token)),
        status if state(status) == State::Working => {
            Next::Wait(waits::for_stack(format!("stack {name}, which is {status}")))
        }
        _ if observed.has_asked_for_deletion(name) => {
            // AWS accepts some deletions, and gives them up with a reason: the stack keeps its state.
            let reason = stack.reason.as_deref().unwrap_or("AWS gives no reason");
            Next::Fail(format!("stack {name} can't be deleted: {reason}"))
        }
        _ => Next::Act(deletion(stack, token)),
    }
}

fn deletion(stack: &Stack, token: &str) -> Action {
    Action::Delete {
        stack: stack.id.clone(),
        token: token.to_owned(),
    }
}
