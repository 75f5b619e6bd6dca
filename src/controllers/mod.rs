//! The shells: one controller per resource. Each observes, asks the domain, acts and reports.

mod access;
pub mod account;
mod api_failure;
pub mod approval;
pub mod cache;
pub mod connection;
pub mod context;
pub mod deployment;
pub mod events;
pub mod feed;
pub mod guard;
pub mod malformed;
mod recheck;
mod report;
mod retry;
pub mod runtime;
pub mod status;
pub mod target;
mod wakes;
pub mod watched;
pub mod workload;
