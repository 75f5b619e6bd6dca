//! The lab: real parts for tests and the demo.
//!
//! - [`kube`]: a real Kubernetes control plane, helm and kubectl, and the controller started as its
//!   chart says.
//! - [`aws`]: the AWS emulator behind a proxy that adds the strictness it lacks, counts calls and
//!   injects faults.
//! - [`gitlab`]: a GitLab that real clients accept.
//!
//! [`lab`] starts all of them at once. [`door`] lets one caller's requests to AWS and GitLab be watched, held
//! and failed one by one.
//! [`toolchain`] installs the programs that these need.
#![allow(
    clippy::missing_panics_doc,
    reason = "a lab that cannot start has nothing else to do"
)]

pub mod aws;
pub mod door;
pub mod error;
pub mod gitlab;
pub mod kube;
pub mod lab;
pub mod process;
pub mod runtime;
pub mod toolchain;
