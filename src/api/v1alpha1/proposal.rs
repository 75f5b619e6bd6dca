//! What Sluice creates in AWS to compute a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ReleaseRef;

/// A draft in AWS that Sluice created so that AWS computes the changes of a plan, such as a change set.
/// Nothing that serves uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// The kind of its resource, as in the inventory.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// The resource that it would change.
    #[schemars(length(max = 1024))]
    pub resource: String,
    /// Its name in AWS.
    #[schemars(length(max = 128))]
    pub name: String,
    /// Its number, which no other proposal of this Target has.
    pub serial: i64,
    /// The Release that it was created for.
    pub release: ReleaseRef,
    /// Digest of everything that AWS computes the changes from.
    #[schemars(length(max = 64))]
    pub inputs: String,
    /// Digest of the changes, once AWS has computed them. A run makes exactly these changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub planned: Option<String>,
}
