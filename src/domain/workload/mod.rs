//! Kinds of workload, and the component protocol by which the engine drives all of them.
//!
//! A kind is a folder here ([`lambda`], [`s3`]), with its shell in `controllers/workload`, its port in
//! `ports` and its adapter in `adapters/aws`. [`kind`] defines the protocol and [`kinds`] lists the kinds.
//! The other files dispatch to the right kind: for a [`spec`], a desired [`component`], a [`snapshot`] or an
//! item of the [`inventory`]. Code outside of this folder never matches on kinds.

pub mod change;
pub mod cloud_formation;
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
