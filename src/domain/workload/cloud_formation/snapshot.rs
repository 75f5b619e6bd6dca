//! The state of a stack before a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{digests::TemplateDigests, stack::Settings};
use crate::api::v1alpha1::Allow;

/// The state of a stack before a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StackSnapshot {
    /// The stack's name.
    pub stack_name: String,
    /// The stack, if it existed.
    pub before: Option<FormerStack>,
    /// The resources that a change may replace or delete, also while it is restored.
    pub allow: Allow,
    /// The resources that a continued rollback may skip.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources_to_skip: Vec<String>,
}

/// A stack before a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerStack {
    /// Its ARN.
    pub id: String,
    /// The digests of its template, by which the artifact bucket of the Target keeps the text.
    pub template: TemplateDigests,
    /// Its other settings. A parameter whose value AWS does not show keeps the value that it has.
    pub settings: Settings,
    /// The owner's tags in the record of an adopted stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<BTreeMap<String, String>>,
}

impl FormerStack {
    /// The tags that named the owner.
    pub fn ownership(&self) -> &BTreeMap<String, String> {
        self.record.as_ref().unwrap_or(&self.settings.tags)
    }
}
