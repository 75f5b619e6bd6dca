//! The priority of calls that wait for a budget.

/// The priority of a call, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Restores a run, or rolls back to an earlier Release.
    Restore,
    /// Moves traffic, or watches it.
    Traffic,
    /// Prepares changes that no caller sees yet.
    Preparation,
    /// Reads the state that a plan is made from.
    Planning,
    /// Checks for drift, or collects garbage.
    Background,
}
