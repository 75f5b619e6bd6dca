//! `sluice.dev/v1alpha1`.
//!
//! Conventions: unions are a struct with one optional member per variant and a CEL rule that
//! exactly one is set; every string and list is bounded; there is no enum and no CEL in a status,
//! so that an older controller can read what a newer one wrote.
#![allow(
    clippy::duplicated_attributes,
    reason = "each printer column repeats the names of its settings"
)]

mod account;
mod approval;
mod check;
mod common;
mod component;
mod deployment;
mod drift;
mod gate;
mod gitlab_connection;
mod release;
mod rollout;
mod target;

pub use account::*;
pub use approval::*;
pub use check::*;
pub use common::*;
pub use component::*;
pub use deployment::*;
pub use drift::*;
pub use gate::*;
pub use gitlab_connection::*;
pub use release::*;
pub use rollout::*;
pub use target::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The API group of every resource.
pub const GROUP: &str = "sluice.dev";

/// Whether a count says nothing.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// The definitions of all resources, in the order in which they are documented.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        GitLabConnection::crd(),
        Account::crd(),
        Deployment::crd(),
        Release::crd(),
        Target::crd(),
        Approval::crd(),
    ]
}
