//! The lab's own tests: tests that use the lab can only be as good as the lab.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod aws;
mod gitlab;
mod kube;
