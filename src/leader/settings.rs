//! How the Lease is held.

use std::time::Duration;

/// How the Lease is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the Lease.
    pub name: String,
    /// Who this process is: the pod, and what tells it from an earlier one of that name.
    pub identity: String,
    /// How long the Lease holds without being renewed; whole seconds.
    pub duration: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// How soon to try again.
    pub retry: Duration,
    /// How long to hold still after the Lease of a former leader has run out.
    pub takeover_delay: Duration,
}
