//! What stood on a Target before a run: enough to put it back.
//!
//! A snapshot holds environment values, so it is kept in the account's own encrypted artifact bucket;
//! the status holds only its digest and where it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    api::v1alpha1::{InventoryItem, StoredRef},
    domain::{
        digest::Sha256,
        function::{Alias, AliasTarget, Function, FunctionConfiguration},
        ownership::Owner,
        site::Place,
    },
};

/// What stood on a Target before a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// One per component that the run touches.
    pub components: Vec<ComponentSnapshot>,
}

/// What stood there for one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSnapshot {
    /// The component.
    pub component: String,
    /// Its level in the run: the highest goes back first.
    pub level: usize,
    /// What it was on AWS.
    pub workload: WorkloadSnapshot,
}

/// What a component was on AWS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkloadSnapshot {
    /// A Lambda function.
    Function(Box<FunctionSnapshot>),
    /// Files in a bucket.
    Place(Box<PlaceSnapshot>),
}

/// A bucket and prefix as they were; the objects themselves are listed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceSnapshot {
    /// Where.
    pub place: Place,
    /// The list of what the run changes there, and of what was kept.
    pub snapshot: StoredRef,
    /// The list of what was Sluice's, if anything was.
    pub manifest: Option<StoredRef>,
}

/// A function as it was, or that there was none.
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
    /// The version that gets what the weights leave over.
    pub version: String,
    /// Further versions with their share.
    pub weights: BTreeMap<String, f64>,
    /// Empty where there is none.
    pub description: String,
}

impl Snapshot {
    /// What stood there for this component.
    pub fn component(&self, name: &str) -> Option<&ComponentSnapshot> {
        self.components
            .iter()
            .find(|component| component.component == name)
    }
}

impl ComponentSnapshot {
    /// The function it was.
    pub fn function(&self) -> Option<&FunctionSnapshot> {
        match &self.workload {
            WorkloadSnapshot::Function(function) => Some(function),
            WorkloadSnapshot::Place(_) => None,
        }
    }

    /// The place it was.
    pub fn place(&self) -> Option<&PlaceSnapshot> {
        match &self.workload {
            WorkloadSnapshot::Function(_) => None,
            WorkloadSnapshot::Place(place) => Some(place),
        }
    }

    /// Whether it is what this item of the inventory is.
    pub fn is(&self, item: &InventoryItem) -> bool {
        match &self.workload {
            WorkloadSnapshot::Function(function) => function.function_name == item.name,
            WorkloadSnapshot::Place(place) => place.place.to_string() == item.name,
        }
    }

    /// Whether there was nothing of this Deployment: nothing at all, or what was nobody's.
    pub fn was_not_ours(&self, owner: &Owner) -> bool {
        match &self.workload {
            WorkloadSnapshot::Function(function) => {
                let latest = function.latest.as_ref();
                latest.is_none_or(|latest| owner.refusal(&latest.tags).is_some())
            }
            WorkloadSnapshot::Place(place) => place.manifest.is_none(),
        }
    }
}

impl LatestSnapshot {
    /// Of a function as it is.
    pub fn of(function: &Function) -> Self {
        Self {
            code_sha256: function.code_sha256.to_string(),
            architecture: function.architecture.clone(),
            configuration: function.configuration.clone(),
            tags: function.tags.clone(),
        }
    }

    /// The code's digest; `None` where the snapshot was damaged.
    pub fn digest(&self) -> Option<Sha256> {
        Sha256::from_hex(&self.code_sha256)
    }
}

impl AliasSnapshot {
    /// Of an alias as it is.
    pub fn of(alias: &Alias) -> Self {
        Self {
            version: alias.version.clone(),
            weights: alias.weights.clone(),
            description: alias.description.clone(),
        }
    }

    /// Whether the alias sends its traffic as it did then.
    pub fn is(&self, alias: &Alias) -> bool {
        self == &Self::of(alias)
    }

    /// Back to this.
    pub fn target(&self) -> AliasTarget {
        AliasTarget {
            version: self.version.clone(),
            weights: self.weights.clone(),
            description: self.description.clone(),
        }
    }
}
