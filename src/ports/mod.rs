//! The interfaces to external systems, in the program's own terms: one narrow trait per need.
//!
//! No SDK type appears here. A failed call returns a [`CallError`] with the operation, the resource and
//! the kind of failure, because the kind decides what happens next.

pub mod as_of;
pub mod cloud;
pub mod gitlab;
pub mod http;
pub mod lambda;
pub mod monitoring;
pub mod s3;
pub mod secrets;
pub mod stacks;
pub mod store;
pub mod turn;
pub mod validators;

pub use crate::domain::failure::{CallError, CallErrorKind};
