//! The lab: real parts for tests and the demo.
//!
//! - [`kube`]: a real Kubernetes control plane, helm and kubectl, and the controller started as its
//!   chart says.
//! - [`aws`]: the AWS emulator behind a proxy that adds the strictness it lacks, counts calls and
//!   injects faults.
//! - [`toolchain`]: the programs of others that the lab runs, installed under `target/lab`.
//! - [`gitlab`]: a GitLab that real clients accept.
#![allow(
    clippy::missing_panics_doc,
    reason = "a lab that cannot start has nothing else to do"
)]

pub mod aws;
pub mod error;
pub mod gitlab;
pub mod kube;
pub mod process;
pub mod toolchain;
