//! What the program needs from the outside, in its own words: one narrow trait per need.
//!
//! No type of an SDK appears here. Every call answers with a [`CallError`] that says which operation
//! on which thing failed and of what kind the failure is, because that decides what happens next.

pub mod as_of;
pub mod cloud;
pub mod gitlab;
pub mod http;
pub mod lambda;
pub mod monitoring;
pub mod s3;
pub mod secrets;
pub mod store;
pub mod turn;
pub mod validators;

pub use crate::domain::failure::{CallError, CallErrorKind};
