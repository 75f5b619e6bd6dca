//! The simulator's HTTP servers: GitLab's REST API, the object storage, and the lab's control under
//! `/_lab/`.
//!
//! The flow of a request: [`server`] records it and applies a fault, [`call`] finds the endpoint and the
//! identity, a handler reads or changes the state, and [`server`] adds the common headers. Handlers never
//! wait, so each holds the lock of the state from start to end.
#![allow(
    missing_docs,
    reason = "private to the simulator; the names are GitLab's own"
)]

mod access;
mod answer;
mod artifacts;
mod call;
mod control;
mod jobs;
mod paging;
mod pipelines;
mod projects;
mod query;
mod route;
pub(super) mod server;
mod show;
mod show_ci;
mod storage;
mod wire;

pub(super) use call::Site;
