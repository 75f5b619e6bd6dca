//! The one integration-test binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod architecture;
mod chart;
mod cluster;
mod crds;
mod generated;
