//! The simulator's HTTP: GitLab's REST API, the object storage beside it, and the lab's own
//! control under `/_lab/`.
//!
//! Expected flow of a request: [`server`] notes it and lets a fault have its way, [`call`] finds
//! the endpoint and who asks, a handler reads or changes the world, and [`server`] adds what every
//! answer carries. Handlers never wait, so the world is locked for the length of one.
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
