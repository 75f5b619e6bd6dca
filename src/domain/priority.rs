//! How urgent a call is where calls have to wait for one another.

/// The most urgent comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Undoes a run, or rolls back to an earlier Release.
    Restore,
    /// Moves traffic, or watches it.
    Traffic,
    /// Prepares what no caller sees yet.
    Preparation,
    /// Reads what a plan is made from.
    Planning,
    /// Looks for drift, or collects garbage.
    Background,
}
