//! The shells: one controller per resource. Each observes, asks the domain, acts and reports.

pub mod context;
pub mod deployment;
pub mod events;
pub mod feed;
pub mod guard;
pub mod malformed;
mod retry;
pub mod runtime;
pub mod status;
pub mod target;
pub mod written;
