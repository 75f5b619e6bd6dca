//! Actions on stacks and change sets, and their result.

use super::{desired::TemplateFile, digests::TemplateDigests, stack::Settings};
use crate::domain::grants::Resource;

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
        /// ARN of the change set.
        change_set: String,
    },
    /// `CancelUpdateStack`.
    CancelUpdate {
        /// ARN of the stack.
        stack: String,
        /// `ClientRequestToken`.
        token: String,
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
    /// Whether existing resources become part of the stack.
    pub imports_existing: bool,
}

/// A template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateText {
    /// The template of a Release.
    OfRelease(Box<TemplateFile>),
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
    /// The resource that a grant must allow for it.
    pub fn grant<'a>(&'a self, stack: &'a str) -> Resource<'a> {
        match self {
            Self::CreateChangeSet(new) => Resource::StackWithRole(stack, &new.settings.role),
            Self::Execute { .. }
            | Self::DeleteChangeSet { .. }
            | Self::CancelUpdate { .. }
            | Self::Delete { .. } => Resource::Stack(stack),
        }
    }

    /// The AWS operation.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateChangeSet(_) => "CreateChangeSet",
            Self::Execute { .. } => "ExecuteChangeSet",
            Self::DeleteChangeSet { .. } => "DeleteChangeSet",
            Self::CancelUpdate { .. } => "CancelUpdateStack",
            Self::Delete { .. } => "DeleteStack",
        }
    }
}
