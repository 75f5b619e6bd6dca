//! What a run waits for, and how often it looks.

use std::time::Duration;

use super::stack::Stack;
use crate::domain::workload::protocol::Wait;

/// A wait for an operation on a stack, which takes seconds to hours.
pub fn for_stack(what: impl Into<String>) -> Wait {
    Wait {
        what: what.into(),
        least: Duration::from_secs(1),
        most: Duration::from_secs(15),
    }
}

/// A wait for an operation that is not of this run.
pub fn for_other(name: &str, stack: &Stack) -> Wait {
    for_stack(format!(
        "stack {name}, which is {} by an operation that Sluice did not begin",
        stack.status
    ))
}

/// A wait for a change set.
pub fn for_change_set(stack: &str) -> Wait {
    Wait {
        what: format!("the change set of stack {stack}"),
        least: Duration::from_millis(500),
        most: Duration::from_secs(5),
    }
}
