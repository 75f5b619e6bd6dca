//! Deployments: what is delivered, from which pipeline, where.

pub mod transfer;
