//! Sluice is a Kubernetes controller that delivers artifacts of GitLab pipelines to AWS.
//!
//! Dependencies point one way: [`api`] ← [`domain`] ← [`ports`] ← {[`adapters`], [`controllers`]} ←
//! [`app`].

pub mod adapters;
pub mod api;
pub mod app;
pub mod cli;
pub mod controllers;
pub mod domain;
pub mod fair_semaphore;
pub mod fence;
pub mod generate;
pub mod http;
pub mod leader;
pub mod metrics;
pub mod ports;
pub mod telemetry;
