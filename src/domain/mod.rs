//! What Sluice decides, as pure functions: no client, no clock, no async.

pub mod archive;
pub mod digest;
pub mod eligibility;
pub mod failure;
pub mod function;
pub mod grants;
pub mod outcome;
pub mod pipeline;
