//! The state of a function before a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::function::{Alias, AliasTarget, Function, FunctionConfiguration};
use crate::domain::digest::Sha256;

/// The state of a function before a run, also if it did not exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSnapshot {
    /// The function's name.
    pub function_name: String,
    /// The alias's name.
    pub alias_name: String,
    /// Its `$LATEST`, if there was one.
    pub latest: Option<LatestSnapshot>,
    /// The alias, if there was one.
    pub alias: Option<AliasSnapshot>,
}

/// A function's `$LATEST`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestSnapshot {
    /// Digest of the code, lower-case hex: its package is kept beside the snapshot.
    pub code_sha256: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The settings.
    pub configuration: FunctionConfiguration,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// An alias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AliasSnapshot {
    /// The version that gets the rest of the traffic.
    pub version: String,
    /// Additional versions with their weights.
    pub weights: BTreeMap<String, f64>,
    /// Empty if it has none.
    pub description: String,
}

impl LatestSnapshot {
    /// The snapshot of a function.
    pub fn of(function: &Function) -> Self {
        Self {
            code_sha256: function.code_sha256.to_string(),
            architecture: function.architecture.clone(),
            configuration: function.configuration.clone(),
            tags: function.tags.clone(),
        }
    }

    /// The code's digest; `None` if the snapshot is damaged.
    pub fn digest(&self) -> Option<Sha256> {
        Sha256::from_hex(&self.code_sha256)
    }
}

impl AliasSnapshot {
    /// The snapshot of an alias.
    pub fn of(alias: &Alias) -> Self {
        Self {
            version: alias.version.clone(),
            weights: alias.weights.clone(),
            description: alias.description.clone(),
        }
    }

    /// Whether the alias has its former routing.
    pub fn is(&self, alias: &Alias) -> bool {
        self == &Self::of(alias)
    }

    /// The routing that restores it.
    pub fn target(&self) -> AliasTarget {
        AliasTarget {
            version: self.version.clone(),
            weights: self.weights.clone(),
            description: self.description.clone(),
        }
    }
}
