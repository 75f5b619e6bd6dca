//! Sluice delivers what a GitLab pipeline built into AWS: a Kubernetes controller.
//!
//! Dependencies point one way: [`api`] ← [`domain`] ← [`ports`] ← {[`adapters`], [`controllers`]} ←
//! `app`.

pub mod adapters;
pub mod api;
pub mod controllers;
pub mod domain;
pub mod generate;
pub mod leader;
pub mod metrics;
pub mod ports;
