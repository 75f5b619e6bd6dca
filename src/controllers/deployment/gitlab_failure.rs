//! The outcomes of failed GitLab calls.

use crate::{
    domain::{outcome::Outcome, reason::Reason},
    ports::CallError,
};

/// The outcome of a failed call. Its message starts with the field or object that the call is about.
pub fn failed_call(field: &str, error: CallError) -> Outcome {
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
