//! What goes wrong in one run of a scenario, as a name by which it can be run again.

use std::fmt;

use sluice_lab::door::{Fault, Point};

/// A call of a scenario, told apart from all others by what it is and the how-manieth of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallName {
    /// `kubernetes`, `gitlab`, `lambda`, `s3`…
    pub service: String,
    /// Such as `patch` or `UpdateAlias`.
    pub operation: String,
    /// What it is about, in words that are the same in each run.
    pub resource: String,
    /// From 1.
    pub nth: u32,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Blow {
    /// The controller is killed at this point of it.
    Kill(Point),
    /// It goes wrong once.
    Once(Fault),
    /// The session that signed it has ended, for it and all that comes after.
    Expire,
    /// Its whole service goes wrong from here on for that many seconds.
    Outage(Fault, u64),
    /// The controller is paused before it is sent, another one takes over, and the first goes on.
    Pause,
}

/// One run of a scenario in which one thing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: &'static str,
    /// At which call.
    pub call: CallName,
    /// What happens there.
    pub blow: Blow,
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

impl fmt::Display for Blow {
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
        write!(f, "{}/{}@{}", self.scenario, self.call, self.blow)
    }
}

impl Plan {
    /// A number that depends on the plan's name alone: by it the same ones are picked each time.
    pub fn lot(&self) -> u64 {
        // FNV-1a.
        self.to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
    }
}
