//! Lambda functions, versions and aliases as data.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::digest::Sha256;

/// The name of this kind in the inventory.
pub const INVENTORY: &str = "LambdaFunction";

/// The key prefix of packages in an artifact bucket.
pub const PACKAGES_PREFIX: &str = "packages";

/// The settings of a function that Sluice manages and that belong to a version.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionConfiguration {
    /// Lambda's identifier, such as `python3.13`.
    pub runtime: String,
    /// Such as `app.handler`.
    pub handler: String,
    /// ARN of the execution role.
    pub role: String,
    /// MiB.
    pub memory_size: i32,
    /// Seconds.
    pub timeout: i32,
    /// Environment variables. Values are secret: they never appear in messages.
    pub environment: BTreeMap<String, String>,
    /// Empty if it has none.
    pub description: String,
}

/// The current state of a function, or of one of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Without qualifier.
    pub arn: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// Digest of the code.
    pub code_sha256: Sha256,
    /// Size of the package in bytes.
    pub code_size: i64,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The settings that Sluice manages.
    pub configuration: FunctionConfiguration,
    /// Changes with every update, and once more when an update settles.
    pub revision_id: String,
    /// Whether it can be invoked.
    pub state: FunctionState,
    /// Whether the last update has settled.
    pub last_update: LastUpdate,
    /// ARN of the dead-letter queue, if it has one.
    pub dead_letter_queue: Option<String>,
    /// The function's tags.
    pub tags: BTreeMap<String, String>,
    /// When code or settings were last modified, if Lambda's answer could be parsed.
    pub last_modified: Option<Timestamp>,
}

impl Function {
    /// Whether Lambda is still working on it.
    pub fn is_settling(&self) -> bool {
        self.state == FunctionState::Pending || self.last_update == LastUpdate::InProgress
    }
}

/// Provisioned concurrency of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionedConcurrency {
    /// The number of requested execution environments.
    pub requested: i32,
    /// Whether Lambda is still providing them.
    pub is_allocating: bool,
    /// Why Lambda could not provide them, if it failed.
    pub failure: Option<String>,
}

/// Lambda's `State`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionState {
    /// In creation.
    Pending,
    /// Can be invoked.
    Active,
    /// Idle, without resources, until it is invoked.
    Inactive,
    /// The creation failed, for this reason.
    Failed(String),
}

/// Lambda's `LastUpdateStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastUpdate {
    /// Lambda applies an update and refuses another one.
    InProgress,
    /// The last update succeeded.
    Successful,
    /// The last update failed, for this reason.
    Failed(String),
}

/// The location of a function's code: an object in the same account and region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeLocation {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The object's version.
    pub version_id: String,
}

/// The current state of an alias.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// The version that gets the rest of the traffic.
    pub version: String,
    /// Additional versions with their weights, from 0 to 1.
    pub weights: BTreeMap<String, f64>,
    /// Empty if it has none.
    pub description: String,
    /// Changes with every update.
    pub revision_id: String,
}

/// The result of an invocation. An error of the function itself is a response, not a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The version that responded.
    pub executed_version: Option<String>,
    /// `Handled` or `Unhandled` if the function failed.
    pub function_error: Option<String>,
    /// The response.
    pub payload: Bytes,
}

/// The desired routing of an alias.
#[derive(Clone, Debug, PartialEq)]
pub struct AliasTarget {
    /// The version that gets the rest of the traffic.
    pub version: String,
    /// At most one additional version with its weight, from 0 to 1.
    pub weights: BTreeMap<String, f64>,
    /// Empty for none.
    pub description: String,
}
