//! The component protocol with the types of this kind.

use super::{
    action::Action,
    observed::{Observed, Read},
    snapshot::StackSnapshot,
};
use crate::domain::workload::protocol;

/// The next read or action for a stack.
pub type Next = protocol::Next<Read, Action>;

/// The input to a decision about a stack.
pub type View<'a> = protocol::View<'a, Observed, StackSnapshot>;
