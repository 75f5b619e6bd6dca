//! Failed calls to the API server: the outcome of the reconcile, and the message.

use std::time::Duration;

use kube::core::Status;

use crate::domain::{outcome::Outcome, reason::Reason};

/// How soon to reconcile again after the API server has refused a stale write.
const STALE: Duration = Duration::from_millis(100);

/// The outcome of a failed write to the API server.
pub fn api_failure(error: kube::Error) -> Outcome {
    match error {
        kube::Error::Api(status) if status.is_conflict() => Outcome::Waiting {
            reason: Reason::Stale,
            message: "The object changed meanwhile".to_owned(),
            after: STALE,
        },
        kube::Error::Api(status) if status.is_not_found() => Outcome::Done {
            reason: Reason::Gone,
            message: "The object is gone".to_owned(),
        },
        error => Outcome::Transient {
            reason: Reason::ApiServer,
            message: refusal(&error),
            after: None,
        },
    }
}

/// What the API server said, or why it gave no answer.
pub fn refusal(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        let Status {
            message,
            reason,
            code,
            ..
        } = &**status;
        return format!("the API server refused: {message} ({code} {reason})");
    }
    // The root cause is last; the other errors name layers of the client.
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("the API server gave no usable answer: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_server_refusal_is_reported_verbatim() {
        let status = Status::failure(
            "targets.sluice.dev \"a\" is invalid: spec.run: Too long",
            "Invalid",
        );
        let error = kube::Error::Api(status.with_code(422).boxed());
        assert_eq!(
            api_failure(error).message(),
            "the API server refused: targets.sluice.dev \"a\" is invalid: spec.run: Too long (422 Invalid)"
        );
        let io = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let message = refusal(&kube::Error::Service(Box::new(io)));
        assert_eq!(
            message,
            "the API server gave no usable answer: connection refused"
        );
    }
}
