//! How soon a Target is reconciled again, and which waits are too short to report.

use std::time::Duration;

/// How soon to reconcile again after the API server has refused a stale decision.
pub const STALE: Duration = Duration::from_millis(100);

/// A wait shorter than this is not worth a status write.
pub const SHORT_WAIT: Duration = Duration::from_secs(5);
