//! The controller of Deployments and the state that it keeps in memory.

use std::sync::Arc;

use super::{gates::Readings, preflight::Cache, source::Sources, transfer::Transfers};
use crate::{
    api::v1alpha1::Deployment,
    controllers::{context::Context, wakes::Wakes},
};

/// The controller of Deployments.
pub struct DeploymentController {
    pub(super) context: Arc<Context>,
    pub(super) sources: Sources,
    pub(super) news: Wakes<Deployment>,
    pub(super) transfers: Arc<Transfers>,
    pub(super) readings: Readings,
    pub(super) preflights: Cache,
}

impl DeploymentController {
    /// Creates a controller with nothing in memory.
    pub fn new(context: Arc<Context>, transfers: Arc<Transfers>) -> Self {
        Self {
            sources: Sources::default(),
            news: Wakes::default(),
            context,
            transfers,
            readings: Readings::default(),
            preflights: Cache::default(),
        }
    }
}
