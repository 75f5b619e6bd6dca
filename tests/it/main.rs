//! The one integration-test binary.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

mod adapters_gitlab;
