//! Lambda functions, versions and aliases as data: what is there, and what should be.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::digest::Sha256;

/// What the inventory calls a function.
pub const INVENTORY: &str = "LambdaFunction";

/// What the keys of packages in an artifact bucket begin with.
pub const PACKAGES: &str = "packages";

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
    /// Environment variables. Values are secret: they are never shown.
    pub environment: BTreeMap<String, String>,
    /// Empty where there is none.
    pub description: String,
}

/// A function, or one of its versions, as it is now.
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
    /// What we manage.
    pub configuration: FunctionConfiguration,
    /// Changes with every update, and once more when an update settles.
    pub revision_id: String,
    /// Whether it can be invoked.
    pub state: FunctionState,
    /// Whether the last update has settled.
    pub last_update: LastUpdate,
    /// ARN of the dead-letter queue, where there is one.
    pub dead_letter_queue: Option<String>,
    /// The function's tags.
    pub tags: BTreeMap<String, String>,
    /// When code or settings were changed last, as far as Lambda says so in a way that can be read.
    pub last_modified: Option<Timestamp>,
}

impl Function {
    /// Whether Lambda is at work on it.
    pub fn is_settling(&self) -> bool {
        self.state == FunctionState::Pending || self.last_update == LastUpdate::InProgress
    }
}

/// Concurrency that is provisioned for an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionedConcurrency {
    /// How many execution environments were asked for.
    pub requested: i32,
    /// Whether Lambda is still providing them.
    pub is_allocating: bool,
    /// Why Lambda could not provide them, where it could not.
    pub failure: Option<String>,
}

/// Lambda's `State`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionState {
    /// Being made.
    Pending,
    /// Can be invoked.
    Active,
    /// Asleep until it is invoked.
    Inactive,
    /// Could not be made; why.
    Failed(String),
}

/// Lambda's `LastUpdateStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastUpdate {
    /// Still going on: another update is refused.
    InProgress,
    /// Done.
    Successful,
    /// Not done; why.
    Failed(String),
}

/// Where a function's code comes from: an object in the same account and region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeLocation {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The object's version.
    pub version_id: String,
}

/// An alias as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// The version that gets what the weights leave over.
    pub version: String,
    /// Further versions with their share, from 0 to 1.
    pub weights: BTreeMap<String, f64>,
    /// Empty where there is none.
    pub description: String,
    /// Changes with every update.
    pub revision_id: String,
}

/// What an invocation came to. A function's own error is an answer, not a failure of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The version that answered.
    pub executed_version: Option<String>,
    /// `Handled` or `Unhandled` where the function failed.
    pub function_error: Option<String>,
    /// What it said.
    pub payload: Bytes,
}

/// Where an alias should send what it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct AliasTarget {
    /// The version that gets what the weights leave over.
    pub version: String,
    /// At most one further version with its share, from 0 to 1.
    pub weights: BTreeMap<String, f64>,
    /// Empty for none.
    pub description: String,
}
