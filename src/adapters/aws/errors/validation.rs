//! The `ValidationError`s of CloudFormation.
//!
//! CloudFormation has one code for what is wrong with a request, for a stack that does not exist, and for one
//! whose state does not permit the call, so only the wording of the message tells them apart. This wording has
//! been the same for years, and many tools rely on it. A message with other words is about the request.

use crate::ports::CallErrorKind;

/// Words for a state that has changed since it was read.
const STALE: [&str; 4] = [
    // `CancelUpdateStack`, `ContinueUpdateRollback`.
    "cannot be called from current stack status",
    // `CreateChangeSet` of a new stack.
    "already exists and cannot be created again",
    // `DeleteStack` with resources to retain.
    "only when the current stack status is",
    "only when the stack is in the DELETE_FAILED state",
];

/// Words for a template that CloudFormation may not read from S3.
const UNREADABLE: [&str; 2] = [
    "S3 error: Access Denied",
    "must reference a valid S3 object to which you have access",
];

/// The kind of a `ValidationError` with this message.
pub(super) fn kind(message: &str) -> CallErrorKind {
    use CallErrorKind as Kind;
    if is_missing_stack(message) {
        return Kind::NotFound;
    }
    if let Some(state) = refusing_state(message) {
        // A stack under review waits for its first change set, however long.
        let ends_by_itself = state.ends_with("_IN_PROGRESS") && state != "REVIEW_IN_PROGRESS";
        return if ends_by_itself {
            Kind::Busy
        } else {
            Kind::Stale
        };
    }
    if STALE.iter().any(|words| message.contains(words)) {
        Kind::Stale
    } else if message.contains("is invalid or cannot be assumed") {
        Kind::RoleNotAssumable
    } else if UNREADABLE.iter().any(|words| message.contains(words)) {
        Kind::Denied
    } else {
        Kind::Invalid
    }
}

/// Whether the stack of the call does not exist. Other things that do not exist, such as the version of a
/// template, are wrong in the request.
fn is_missing_stack(message: &str) -> bool {
    let names_stack = ["Stack [", "Stack with id ", "Stack:"];
    let missing = message.trim_end_matches('.').ends_with("does not exist");
    missing && names_stack.iter().any(|words| message.starts_with(words))
}

/// The state because of which a stack can't be changed (`Stack:arn:… is in UPDATE_IN_PROGRESS state and can not be
/// updated.`) or deleted (`Stack [arn:…] cannot be deleted while in status UPDATE_IN_PROGRESS`).
fn refusing_state(message: &str) -> Option<&str> {
    if let Some((_, state)) = message.split_once(" cannot be deleted while in status ") {
        return Some(state.trim_end_matches('.'));
    }
    let (before, after) = message.split_once(" state and can")?;
    let (_, state) = before.rsplit_once(" is in ")?;
    (after.starts_with("not ") || after.starts_with(" not ")).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_map_to_error_kinds() {
        use CallErrorKind as Kind;
        let stack = "Stack:arn:aws:cloudformation:eu-west-1:222222222222:stack/shop/0c5b6a20";
        let in_state = |state: &str| format!("{stack} is in {state} state and can not be updated.");
        for (message, expected) in [
            ("Stack with id shop does not exist".into(), Kind::NotFound),
            ("Stack [shop] does not exist".into(), Kind::NotFound),
            ("Stack [shop] does not exist.".into(), Kind::NotFound),
            (in_state("UPDATE_IN_PROGRESS"), Kind::Busy),
            (in_state("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), Kind::Busy),
            (in_state("DELETE_IN_PROGRESS"), Kind::Busy),
            (in_state("REVIEW_IN_PROGRESS"), Kind::Stale),
            (in_state("ROLLBACK_COMPLETE"), Kind::Stale),
            (in_state("UPDATE_ROLLBACK_FAILED"), Kind::Stale),
            (
                format!("{stack} is in UPDATE_COMPLETE state and can not continue rollback"),
                Kind::Stale,
            ),
            (
                "Stack [shop] cannot be deleted while in status UPDATE_IN_PROGRESS".into(),
                Kind::Busy,
            ),
            (
                "Stack [shop] cannot be deleted while TerminationProtection is enabled".into(),
                Kind::Invalid,
            ),
            (
                "When you delete a stack, specify which resources to retain only when the stack is in the \
                 DELETE_FAILED state."
                    .into(),
                Kind::Stale,
            ),
            (
                "CancelUpdateStack cannot be called from current stack status".into(),
                Kind::Stale,
            ),
            (
                "Stack [shop] already exists and cannot be created again with the changeSet [s-1].".into(),
                Kind::Stale,
            ),
            (
                "Invalid operation on stack [shop]. Specify retained resources only when the current stack \
                 status is DELETE_FAILED."
                    .into(),
                Kind::Stale,
            ),
            (
                "Role arn:aws:iam::222222222222:role/cfn is invalid or cannot be assumed".into(),
                Kind::RoleNotAssumable,
            ),
            ("S3 error: Access Denied".into(), Kind::Denied),
            (
                "TemplateURL must reference a valid S3 object to which you have access.".into(),
                Kind::Denied,
            ),
            ("S3 error: The specified key does not exist.".into(), Kind::Invalid),
            ("Parameters: [Stage] must have values".into(), Kind::Invalid),
            ("Template format error: unsupported structure.".into(), Kind::Invalid),
            ("No updates are to be performed.".into(), Kind::Invalid),
            (String::new(), Kind::Invalid),
        ] {
            assert_eq!(kind(&message), expected, "{message}");
        }
    }
}
