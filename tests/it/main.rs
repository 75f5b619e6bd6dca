//! The one integration-test binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adapters_gitlab;
mod architecture;
mod chart;
mod cluster;
mod crds;
mod docs;
mod generated;
mod process;
