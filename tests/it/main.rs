//! The one integration-test binary.

mod adapters_aws;
