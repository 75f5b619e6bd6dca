//! How long calls take at most.

use std::time::Duration;

/// How long a read takes at most, with the SDK's retries.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// How long sending a write to Lambda and waiting for the answer takes at most. Lambda answers within
/// a few seconds even where it copies a large package. A new leader has to wait longer than that, because
/// some writes have no precondition that would stop a former leader's.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(12);

/// How long opening a connection takes at most.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
