//! The lab: the environment of the tests and the demo.
//!
//! - [`kube`]: a real Kubernetes control plane, helm and kubectl, and the controller, started as its
//!   chart describes.
//! - [`aws`]: the AWS emulator behind a proxy that adds the strictness it lacks, counts calls and
//!   injects faults.
//! - [`gitlab`]: a simulated GitLab that real clients accept.
//!
//! [`lab`] starts all of them at once. [`hook`] hooks into the requests of one caller to AWS and GitLab, so
//! that a test can watch, hold and fail each of them. [`toolchain`] installs the programs that these modules
//! need.
#![allow(
    clippy::missing_panics_doc,
    reason = "a lab that cannot start ends the test anyway"
)]

pub mod aws;
pub mod error;
pub mod gitlab;
pub mod hook;
pub mod kube;
pub mod lab;
pub mod process;
pub mod runtime;
pub mod toolchain;
