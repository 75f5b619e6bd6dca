//! Plans: one injection at one call of a scenario, with a name by which it can be run again.

use std::fmt;

use sluice_lab::hook::{Fault, Point};

/// Identifies a call of a scenario by service, operation, resource and ordinal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallName {
    /// `kubernetes`, `gitlab`, `lambda`, `s3`…
    pub service: String,
    /// The HTTP method or the operation, such as `patch` or `UpdateAlias`.
    pub operation: String,
    /// The resource, with placeholders for names that differ between runs.
    pub resource: String,
    /// Its ordinal among the same calls, from 1.
    pub nth: u32,
}

/// A fault that is injected at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Injection {
    /// The controller is killed at this point of the call.
    Kill(Point),
    /// The call fails once with this fault.
    Once(Fault),
    /// The session that signed the call expires, for this call and all later ones.
    Expire,
    /// The whole service fails with this fault for this many seconds.
    Outage(Fault, u64),
    /// The controller is paused before it sends the call, another one becomes leader, and the first resumes.
    Pause,
}

/// One run of a scenario with one injection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Plan {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// The call at which the fault is injected.
    pub call: CallName,
    /// The injected fault.
    pub injection: Injection,
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            operation,
            resource,
            nth,
        } = self;
        write!(f, "{service}:{operation}:{resource}#{nth}")
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(point) => write!(f, "kill-{point:?}"),
            Self::Once(fault) => write!(f, "once-{fault:?}"),
            Self::Expire => f.write_str("expire"),
            Self::Outage(fault, seconds) => write!(f, "outage-{fault:?}-{seconds}s"),
            Self::Pause => write!(f, "pause"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.scenario, self.call, self.injection)
    }
}

impl Plan {
    /// A hash of the plan's name alone, so that each run of the matrix picks the same sample.
    pub fn stable_hash(&self) -> u64 {
        // FNV-1a.
        self.to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
    }
}
