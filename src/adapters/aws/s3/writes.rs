//! The common parts of all writes to a bucket: their conditions and their timeouts.

use std::time::Duration;

use crate::{
    adapters::aws::{errors::Call, timeouts::WRITE_TIMEOUT},
    domain::workload::s3::site::Condition,
    ports::{CallError, CallErrorKind},
};

/// The lowest rate at which S3 takes or copies an object: the timeout of a call grows with its size.
const BYTES_A_SECOND: u64 = 512 << 10;

/// `If-Match` and `If-None-Match`.
pub(super) fn headers(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Absent => (None, Some("*".to_owned())),
        Condition::Is(etag) => (Some(etag.clone()), None),
    }
}

/// A deleted key fails the condition on its ETag, for which S3 answers 404 and not 412.
pub(super) fn unmet(error: CallError, condition: &Condition) -> CallError {
    let gone = error.kind == CallErrorKind::NotFound && !error.message.contains("NoSuchBucket");
    if gone && matches!(condition, Condition::Is(_)) {
        return CallError {
            kind: CallErrorKind::Stale,
            ..error
        };
    }
    error
}

/// The timeout for writing this many bytes.
fn allowance(size: u64) -> Duration {
    WRITE_TIMEOUT + Duration::from_secs(size / BYTES_A_SECOND)
}

/// Waits for the response within the timeout for an object of this size.
pub(super) async fn in_time<T>(
    call: &Call,
    size: u64,
    sent: impl Future<Output = Result<T, CallError>> + Send,
) -> Result<T, CallError> {
    let allowed = allowance(size);
    match tokio::time::timeout(allowed, sent).await {
        Ok(answer) => answer,
        Err(_) => Err(call.unusable(format!("no answer within {}s", allowed.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_key_fails_an_etag_condition() {
        let missing = |message: &str| {
            CallError::new("s3:PutObject", "s3://b/k", CallErrorKind::NotFound, message)
        };
        let is = Condition::Is("\"1\"".into());
        let kind = |message: &str, condition: &Condition| unmet(missing(message), condition).kind;
        assert_eq!(kind("no such key (NoSuchKey)", &is), CallErrorKind::Stale);
        assert_eq!(kind("none (NoSuchBucket)", &is), CallErrorKind::NotFound);
        assert_eq!(
            kind("no such key (NoSuchKey)", &Condition::Absent),
            CallErrorKind::NotFound
        );
    }

    #[test]
    fn large_object_has_a_longer_timeout() {
        assert_eq!(allowance(0), WRITE_TIMEOUT);
        assert_eq!(
            allowance(60 * BYTES_A_SECOND),
            WRITE_TIMEOUT + Duration::from_mins(1)
        );
    }
}
