//! The component protocol in the words of this kind.

use super::{
    action::Action,
    observed::{Observed, Read},
    snapshot::FunctionSnapshot,
};
use crate::domain::workload::protocol;

/// What comes next for a function.
pub type Next = protocol::Next<Read, Action>;

/// What a decision about a function is made from.
pub type View<'a> = protocol::View<'a, Observed, FunctionSnapshot>;
