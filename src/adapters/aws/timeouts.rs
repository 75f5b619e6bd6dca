//! Timeouts of calls.

use std::time::Duration;

/// Timeout of a read, with the SDK's retries.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Timeout for sending a write to Lambda or CloudFormation and waiting for the response. Lambda answers within
/// a few seconds even if it copies a large package, and CloudFormation only begins what it is asked for. A new leader has to wait longer than that, because some writes have no
/// precondition that would stop those of a former leader.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(12);

/// Timeout for opening a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
