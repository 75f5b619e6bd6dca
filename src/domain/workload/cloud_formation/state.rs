//! The states of stacks and change sets, and what Sluice does in each.
//!
//! Source: CloudFormation User Guide, "Stack status codes", and API Reference, `DescribeChangeSet`.

use super::stack::{ChangeSet, Stack};

/// What a stack's state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be updated.
    Settled,
    /// An operation is in progress.
    Working,
    /// It has no resources yet, only change sets.
    Review,
    /// It can't be updated: the reason, and the way out.
    Stuck(&'static str),
}

/// The states that are stuck, each with the reason and the way out.
const STUCK: [(&str, &str); 7] = [
    (
        "CREATE_FAILED",
        "its creation failed and was not rolled back: delete the stack, or roll it back",
    ),
    (
        "ROLLBACK_COMPLETE",
        "its creation failed and was rolled back, so that nothing is left of it but its name: delete the stack",
    ),
    (
        "ROLLBACK_FAILED",
        "its creation failed, and so did the rollback: delete the stack, retaining what can't be deleted",
    ),
    (
        "UPDATE_FAILED",
        "an update failed and was not rolled back: roll the stack back, or update it",
    ),
    (
        "UPDATE_ROLLBACK_FAILED",
        "an update failed, and so did its rollback: fix the cause and continue the rollback",
    ),
    (
        "DELETE_FAILED",
        "its deletion failed: fix the cause and delete it again, or retain what can't be deleted",
    ),
    (
        "IMPORT_ROLLBACK_FAILED",
        "an import failed, and so did its rollback: contact AWS Support, or delete the stack",
    ),
];

/// What the state means.
pub fn state(status: &str) -> State {
    if status == "REVIEW_IN_PROGRESS" {
        return State::Review;
    }
    if status.ends_with("_IN_PROGRESS") {
        return State::Working;
    }
    match STUCK.iter().find(|(stuck, _)| *stuck == status) {
        Some((_, why)) => State::Stuck(why),
        None => State::Settled,
    }
}

/// Whether an operation is in progress.
pub fn is_working(status: &str) -> bool {
    state(status) == State::Working
}

/// Whether AWS still computes the change set, or executes it.
pub fn is_change_set_pending(change_set: &ChangeSet) -> bool {
    matches!(
        change_set.status.as_str(),
        "CREATE_PENDING" | "CREATE_IN_PROGRESS" | "DELETE_PENDING" | "DELETE_IN_PROGRESS"
    )
}

/// The stack, unless it is only there for change sets: AWS creates such a stack, without resources, for the first
/// change set of a name.
pub fn existing(stack: Option<&Stack>) -> Option<&Stack> {
    stack.filter(|stack| state(&stack.status) != State::Review)
}

/// The name of a change set, from its ARN: `arn:aws:cloudformation:<region>:<account>:changeSet/<name>/<id>`.
pub fn change_set_name(arn: &str) -> Option<&str> {
    let (_, rest) = arn.split_once(":changeSet/")?;
    rest.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_the_user_guide_has_a_meaning() {
        let settled = [
            "CREATE_COMPLETE",
            "UPDATE_COMPLETE",
            "UPDATE_ROLLBACK_COMPLETE",
            "IMPORT_COMPLETE",
            "IMPORT_ROLLBACK_COMPLETE",
        ];
        let working = [
            "CREATE_IN_PROGRESS",
            "DELETE_IN_PROGRESS",
            "ROLLBACK_IN_PROGRESS",
            "UPDATE_IN_PROGRESS",
            "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
            "IMPORT_IN_PROGRESS",
            "IMPORT_ROLLBACK_IN_PROGRESS",
        ];
        for status in settled {
            assert_eq!(state(status), State::Settled, "{status}");
        }
        for status in working {
            assert_eq!(state(status), State::Working, "{status}");
        }
        for (status, why) in STUCK {
            assert_eq!(state(status), State::Stuck(why), "{status}");
        }
        assert_eq!(state("REVIEW_IN_PROGRESS"), State::Review);
    }

    #[test]
    fn change_set_is_named_by_its_arn() {
        let arn = "arn:aws:cloudformation:eu-west-1:222222222222:changeSet/sluice-1/0f0e";
        assert_eq!(change_set_name(arn), Some("sluice-1"));
        assert_eq!(change_set_name("sluice-1"), None);
    }
}
