//! How soon a Target is looked at again, and what such a wait is worth telling.

use std::time::Duration;

/// How soon to look again when the API server says that the decision was stale.
pub const STALE: Duration = Duration::from_millis(100);

/// What is not worth a status write because it passes so soon.
pub const SHORT_WAIT: Duration = Duration::from_secs(5);
