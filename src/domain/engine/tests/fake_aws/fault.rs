//! The faults of calls, and crashes of the controller.

/// The fault of one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The call never arrives.
    Throttled,
    /// The call has its effect, and the reply is lost.
    LostReply,
    /// The controller crashes before it sends the call.
    CrashBefore,
    /// The controller crashes after the effect.
    CrashAfter,
}

impl Fault {
    /// Every fault that there is.
    pub const ALL: [Self; 4] = [
        Self::Throttled,
        Self::LostReply,
        Self::CrashBefore,
        Self::CrashAfter,
    ];
}
