//! The one integration-test binary.

mod architecture;
mod chart;
mod cluster;
mod generated;
