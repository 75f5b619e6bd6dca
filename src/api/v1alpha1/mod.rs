//! `sluice.dev/v1alpha1`.
//!
//! Conventions: a union is a struct with one optional member per variant and a CEL rule that
//! exactly one is set; every string and list is bounded; a status has no enum and no CEL rule,
//! so that an older controller can read a status that a newer one wrote.
#![allow(
    clippy::duplicated_attributes,
    reason = "each printer column repeats the names of its settings"
)]

mod account;
mod approval;
mod check;
mod cloud_formation;
mod common;
mod component;
mod definitions;
mod deployment;
mod drift;
mod gate;
mod gitlab_connection;
mod inventory;
mod lambda;
#[cfg(test)]
mod note;
mod plan;
mod proposal;
mod release;
mod rollout;
mod rules;
mod run;
mod s3;
mod target;
mod zero;

pub use account::*;
pub use approval::*;
pub use check::*;
pub use cloud_formation::*;
pub use common::*;
pub use component::*;
pub use definitions::*;
pub use deployment::*;
pub use drift::*;
pub use gate::*;
pub use gitlab_connection::*;
pub use inventory::*;
pub use lambda::*;
#[cfg(test)]
pub use note::*;
pub use plan::*;
pub use proposal::*;
pub use release::*;
pub use rollout::*;
pub use run::*;
pub use s3::*;
pub use target::*;
