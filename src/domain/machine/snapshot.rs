//! What stood on a Target before a run: enough to put it back.
//!
//! A snapshot holds environment values, so it is kept in the account's own encrypted artifact bucket;
//! the status holds only its digest and where it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::observation::Observation;
use crate::domain::{
    desired::DesiredFunction,
    digest::Sha256,
    function::{Alias, AliasTarget, Function, FunctionConfiguration},
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
    /// The function's name.
    pub function_name: String,
    /// The alias's name.
    pub alias_name: String,
    /// The function, if there was one.
    pub function: Option<FunctionSnapshot>,
    /// The alias, if there was one.
    pub alias: Option<AliasSnapshot>,
}

/// A function's `$LATEST`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSnapshot {
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
    /// Of what was seen of these functions; those that were not looked at yet are left out.
    pub fn take<'a>(
        functions: impl IntoIterator<Item = &'a DesiredFunction>,
        seen: &Observation,
    ) -> Self {
        let component = |want: &DesiredFunction| {
            let function = seen.functions.get(&want.function_name)?.as_ref();
            let alias = seen
                .aliases
                .get(&want.function_name)
                .and_then(Option::as_ref);
            Some(ComponentSnapshot {
                component: want.component.clone(),
                function_name: want.function_name.clone(),
                alias_name: want.alias.clone(),
                function: function.map(FunctionSnapshot::of),
                alias: alias.map(AliasSnapshot::of),
            })
        };
        Self {
            components: functions.into_iter().filter_map(component).collect(),
        }
    }

    /// What stood there for this component.
    pub fn component(&self, name: &str) -> Option<&ComponentSnapshot> {
        self.components
            .iter()
            .find(|component| component.component == name)
    }
}

impl FunctionSnapshot {
    fn of(function: &Function) -> Self {
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
    fn of(alias: &Alias) -> Self {
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
