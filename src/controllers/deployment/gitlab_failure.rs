//! Calls to GitLab that failed, told by what they were about.

use crate::{
    domain::{outcome::Outcome, reason::Reason},
    ports::CallError,
};

/// A failed call, with the field or object that it is about.
pub fn about(field: &str, error: CallError) -> Outcome {
    let message = format!("{field}: {error}");
    match Outcome::from(error) {
        Outcome::Stalled {
            reason: Reason::NotFound,
            ..
        } if field.ends_with("project") => Outcome::Stalled {
            reason: Reason::ProjectNotFound,
            message,
        },
        Outcome::Stalled { reason, .. } => Outcome::Stalled { reason, message },
        Outcome::Transient { reason, after, .. } => Outcome::Transient {
            reason,
            message,
            after,
        },
        other => other,
    }
}
