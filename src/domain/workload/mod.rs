//! What a component is on AWS: kinds of workload, and the protocol by which the engine drives all of them.
//!
//! A kind is a folder here ([`lambda`], [`s3`]), with its shell in `controllers/workload`, its port in `ports`
//! and its adapter in `adapters/aws`. [`kind`] says what it answers and [`kinds`] lists all of them. The files
//! beside them ask the one that is meant: of a [`spec`], of a [`component`] as it should be, of a
//! [`snapshot`], of an item of the [`inventory`]. Nothing outside of this folder matches on kinds.

pub mod change;
pub mod component;
pub mod context;
pub mod inventory;
pub mod kind;
pub mod kinds;
pub mod lambda;
#[cfg(test)]
pub mod note;
mod observed;
pub mod protocol;
mod restore;
pub mod s3;
pub mod scope;
pub mod snapshot;
pub mod spec;
