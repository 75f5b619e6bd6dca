//! The shells: one controller per resource. Each observes, asks the domain, acts and reports.

pub mod deployment;
