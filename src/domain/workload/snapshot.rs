//! The state of a Target before a run.

use serde::{Deserialize, Serialize};

use super::kinds::WorkloadSnapshot;

/// The state of one component before a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSnapshot {
    /// The component.
    pub component: String,
    /// Its level in the run: the highest is restored first.
    pub level: usize,
    /// Its state on AWS.
    pub workload: WorkloadSnapshot,
}

/// The state of a Target before a run, complete enough to restore it.
///
/// It holds environment values, so it is kept in the account's own encrypted artifact bucket; the status
/// holds only its digest and location.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// One per component that the run touches.
    pub components: Vec<ComponentSnapshot>,
}

impl Snapshot {
    /// The state of this component.
    pub fn component(&self, name: &str) -> Option<&ComponentSnapshot> {
        self.components.iter().find(|one| one.component == name)
    }
}
