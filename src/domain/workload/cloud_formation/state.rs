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
    /// Its creation failed and was rolled back: it can only be deleted.
    CreationRolledBack,
    /// An update failed, and so did its rollback, which can be continued.
    RollbackFailed,
    /// It can't be updated, and only a person knows the way out.
    Stuck(Stuck),
}

/// The reason why a stack can't be updated, and the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    why: &'static str,
    /// The way out, with `NAME` in place of the stack's name.
    way_out: &'static str,
}

impl Stuck {
    /// The reason and the way out, for the stack with this name.
    pub fn describe(self, name: &str) -> String {
        format!("{}: {}", self.why, self.way_out.replace("NAME", name))
    }
}

/// The states from which Sluice finds the way out, unless that fails or resources are left.
const REPAIRED: [(&str, State); 2] = [
    ("ROLLBACK_COMPLETE", State::CreationRolledBack),
    ("UPDATE_ROLLBACK_FAILED", State::RollbackFailed),
];

/// The states that are stuck.
const STUCK: [(&str, Stuck); 5] = [
    (
        "CREATE_FAILED",
        Stuck {
            why: "its creation failed and was not rolled back",
            way_out: "delete the stack with aws cloudformation delete-stack --stack-name NAME",
        },
    ),
    (
        "ROLLBACK_FAILED",
        Stuck {
            why: "its creation failed, and so did the rollback of it",
            way_out: "fix the cause and delete the stack with aws cloudformation delete-stack --stack-name NAME",
        },
    ),
    (
        "UPDATE_FAILED",
        Stuck {
            why: "an update failed and was not rolled back",
            way_out: "roll it back with aws cloudformation rollback-stack --stack-name NAME",
        },
    ),
    (
        "DELETE_FAILED",
        Stuck {
            why: "its deletion failed",
            way_out: "fix the cause and delete the stack with aws cloudformation delete-stack --stack-name NAME, or \
                      leave what can't be deleted in AWS with --retain-resources and the logical ids",
        },
    ),
    (
        "IMPORT_ROLLBACK_FAILED",
        Stuck {
            why: "an import failed, and so did its rollback",
            way_out: "contact AWS Support; aws cloudformation delete-stack --stack-name NAME deletes the stack with all \
                      resources that have no DeletionPolicy",
        },
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
    if let Some((_, repaired)) = REPAIRED.iter().find(|(it, _)| *it == status) {
        return *repaired;
    }
    match STUCK.iter().find(|(stuck, _)| *stuck == status) {
        Some((_, stuck)) => State::Stuck(*stuck),
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

/// The stack, unless it is to be created anew: it only has change sets, or its creation was rolled back.
pub fn updatable(stack: Option<&Stack>) -> Option<&Stack> {
    existing(stack).filter(|stack| state(&stack.status) != State::CreationRolledBack)
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
        for (status, stuck) in STUCK {
            assert_eq!(state(status), State::Stuck(stuck), "{status}");
        }
        assert_eq!(state("REVIEW_IN_PROGRESS"), State::Review);
        for (status, repaired) in REPAIRED {
            assert_eq!(state(status), repaired, "{status}");
        }
    }

    #[test]
    fn way_out_of_a_stuck_state_names_the_stack() {
        for (status, stuck) in STUCK {
            let text = stuck.describe("shop-prod");
            let command = "aws cloudformation ";
            assert!(text.contains(command), "{status}: {text}");
            assert!(text.contains("--stack-name shop-prod"), "{status}: {text}");
        }
    }

    #[test]
    fn change_set_is_named_by_its_arn() {
        let arn = "arn:aws:cloudformation:eu-west-1:222222222222:changeSet/sluice-1/0f0e";
        assert_eq!(change_set_name(arn), Some("sluice-1"));
        assert_eq!(change_set_name("sluice-1"), None);
    }
}
