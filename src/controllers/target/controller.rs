//! The controller of Targets, with what it remembers between passes.

use std::sync::Arc;

use super::{collection_attempts::CollectionAttempts, drift_checks::DriftChecks, memory::Memory};
use crate::controllers::context::Context;

/// The controller of Targets.
pub struct TargetController {
    pub(super) context: Arc<Context>,
    pub(super) memory: Memory,
    pub(super) drift_checks: DriftChecks,
    pub(super) collections: CollectionAttempts,
}

impl TargetController {
    /// A controller that remembers nothing yet.
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            memory: Memory::default(),
            drift_checks: DriftChecks::default(),
            collections: CollectionAttempts::default(),
        }
    }
}
