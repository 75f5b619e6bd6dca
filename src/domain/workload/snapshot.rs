//! What was on a Target before a run.

use serde::{Deserialize, Serialize};

use super::kinds::WorkloadSnapshot;

/// What was there for one component before a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSnapshot {
    /// The component.
    pub component: String,
    /// Its level in the run: the highest is restored first.
    pub level: usize,
    /// What it was on AWS.
    pub workload: WorkloadSnapshot,
}

/// What was on a Target before a run: enough to restore it.
///
/// It holds environment values, so it is kept in the account's own encrypted artifact bucket; the status
/// holds only its digest and where it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// One per component that the run touches.
    pub components: Vec<ComponentSnapshot>,
}

impl Snapshot {
    /// What was there for this component.
    pub fn component(&self, name: &str) -> Option<&ComponentSnapshot> {
        self.components.iter().find(|one| one.component == name)
    }
}
