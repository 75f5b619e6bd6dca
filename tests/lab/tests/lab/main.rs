//! The lab's own tests: what the others rely on does what it says.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod kube;
