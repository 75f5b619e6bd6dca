//! Actions on stacks and change sets, and their result.

use std::collections::BTreeMap;

use super::{digests::TemplateDigests, stack::Settings};
use crate::domain::{digest::Sha256, grants::Resource};

/// A change of a stack or change set.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `CreateChangeSet`.
    CreateChangeSet(Box<ChangeSetToCreate>),
    /// `ExecuteChangeSet`.
    Execute {
        /// ARN of the change set.
        change_set: String,
        /// `ClientRequestToken`, which the events have.
        token: String,
    },
    /// `DeleteChangeSet`.
    DeleteChangeSet {
        /// ARN or name of the change set.
        change_set: String,
    },
    /// `CancelUpdateStack`.
    CancelUpdate {
        /// ARN of the stack.
        stack: String,
        /// `ClientRequestToken`.
        token: String,
    },
    /// `ContinueUpdateRollback`.
    ContinueRollback {
        /// ARN of the stack.
        stack: String,
        /// ARN of the service role.
        role: String,
        /// The resources to skip.
        skip: Vec<String>,
        /// `ClientRequestToken`, which the events have.
        token: String,
    },
    /// Writes the record of an adopted stack, unless there is one.
    Adopt {
        /// Its key in the artifact bucket.
        key: String,
        /// The tags that name the owner.
        owner: BTreeMap<String, String>,
    },
    /// Deletes the record of an adopted stack.
    Disown {
        /// Its key in the artifact bucket.
        key: String,
    },
    /// `DeleteStack`.
    Delete {
        /// ARN of the stack.
        stack: String,
        /// `ClientRequestToken`.
        token: String,
    },
}

/// A change set to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeSetToCreate {
    /// Its name, which is its `ClientToken` too.
    pub name: String,
    /// Whether it creates the stack.
    pub creates: bool,
    /// The template.
    pub template: TemplateText,
    /// Everything else that CloudFormation gets.
    pub settings: Settings,
    /// The names of the parameters in Systems Manager whose values the template uses.
    pub systems_manager_parameters: Vec<String>,
    /// Whether existing resources become part of the stack.
    pub imports_existing: bool,
}

/// A template's text in the Target's artifact bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateText {
    /// The template of a Release, by the digest of its exact text.
    Exact(Sha256),
    /// The template of a snapshot, by its digests.
    Kept(TemplateDigests),
}

/// The calls of the action were accepted: what was observed of the stack is outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether AWS now works on the stack or change set.
    pub is_aws_working: bool,
}

impl Action {
    /// The resources that grants must allow for it.
    pub fn grants<'a>(&'a self, stack: &'a str) -> Vec<Resource<'a>> {
        match self {
            Self::CreateChangeSet(new) => {
                let mut needed = vec![Resource::StackWithRole(stack, &new.settings.role)];
                let parameters = new.systems_manager_parameters.iter();
                needed.extend(parameters.map(|name| Resource::Parameter(name)));
                needed
            }
            Self::ContinueRollback { role, .. } => vec![Resource::StackWithRole(stack, role)],
            Self::Execute { .. }
            | Self::DeleteChangeSet { .. }
            | Self::CancelUpdate { .. }
            | Self::Adopt { .. }
            | Self::Disown { .. }
            | Self::Delete { .. } => vec![Resource::Stack(stack)],
        }
    }

    /// The AWS operation.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateChangeSet(_) => "CreateChangeSet",
            Self::Execute { .. } => "ExecuteChangeSet",
            Self::DeleteChangeSet { .. } => "DeleteChangeSet",
            Self::CancelUpdate { .. } => "CancelUpdateStack",
            Self::ContinueRollback { .. } => "ContinueUpdateRollback",
            Self::Adopt { .. } => "PutObject",
            Self::Disown { .. } => "DeleteObject",
            Self::Delete { .. } => "DeleteStack",
        }
    }
}
