//! How the Lease is held.

use std::time::Duration;

/// How the Lease is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the Lease.
    pub name: String,
    /// The identity of this process: the pod, and a suffix that distinguishes it from earlier pods of that
    /// name.
    pub identity: String,
    /// How long the Lease holds without being renewed; whole seconds.
    pub duration: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// How soon a standby, or a failed renewal, tries again.
    pub retry: Duration,
    /// How long to wait before leading, after the Lease of a former leader has expired.
    pub takeover_delay: Duration,
}
