//! The admission policies that vouch for who created an Approval.

pub mod policy;
