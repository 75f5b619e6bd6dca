//! What stands behind Approvals: the admission policy that vouches for who made them.

pub mod policy;
