//! What Sluice decides, as pure functions: no client, no clock, no async.

pub mod archive;
pub mod check;
pub mod desired;
pub mod digest;
pub mod duration;
pub mod eligibility;
pub mod failure;
pub mod function;
pub mod gates;
pub mod grants;
pub mod levels;
pub mod limits;
pub mod machine;
pub mod names;
pub mod outcome;
pub mod ownership;
pub mod pattern;
pub mod pipeline;
pub mod preflight;
pub mod priority;
pub mod project;
pub mod release;
pub mod rollout;
pub mod site;
pub mod substitution;
pub mod traffic;
