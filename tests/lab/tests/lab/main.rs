//! The lab's own tests: what stands on it is worth no more than it is.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod aws;
mod gitlab;
mod kube;
