//! The one integration-test binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adapters_aws;
mod adapters_gitlab;
mod adapters_kubernetes;
mod architecture;
mod assemblies;
mod chart;
mod check_kinds;
mod cluster;
mod crds;
mod docs;
mod e2e;
mod generated;
mod packaging;
mod process;
