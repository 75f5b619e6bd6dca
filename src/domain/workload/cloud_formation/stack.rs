//! Stacks, change sets and events, as CloudFormation reports them.
//!
//! Fields, states and their meanings are those of the CloudFormation API Reference (`Stack`,
//! `DescribeChangeSet`, `ResourceChange`, `StackEvent`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::grants::stack_name;

/// A stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// ARN: it names this stack for ever, a later stack of the same name has another one.
    pub id: String,
    /// Its state, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// AWS's reason for the state.
    pub reason: Option<String>,
    /// `LastUpdatedTime`; `CreationTime` if it was never updated.
    pub changed_at: Option<Timestamp>,
    /// ARN of the change set that was last executed.
    pub change_set: Option<String>,
    /// Names of the change sets that wait to create the stack, while it is `REVIEW_IN_PROGRESS`.
    pub pending: Vec<String>,
    /// Parameters; those with `NoEcho` as `****`.
    pub parameters: BTreeMap<String, String>,
    /// Values of parameters that name something in Parameter Store.
    pub resolved: BTreeMap<String, String>,
    /// Tags of the stack.
    pub tags: BTreeMap<String, String>,
    /// Outputs.
    pub outputs: BTreeMap<String, String>,
    /// Acknowledged capabilities.
    pub capabilities: BTreeSet<String>,
    /// ARN of the service role.
    pub role: Option<String>,
    /// ARNs of the SNS topics that its events go to.
    pub notifications: BTreeSet<String>,
    /// Whether deletion is refused.
    pub is_protected: bool,
    /// ARN of the stack that it is nested in.
    pub parent: Option<String>,
    /// The owner's tags in the record of an adopted stack. The stack itself does not get them, because CloudFormation
    /// would set them on all of its resources.
    pub record: Option<BTreeMap<String, String>>,
}

impl Stack {
    /// The tags that name the owner: those of the stack, or those in its record.
    pub fn ownership(&self) -> &BTreeMap<String, String> {
        self.record.as_ref().unwrap_or(&self.tags)
    }

    /// The key of its record in the artifact bucket. A later stack of the same name has another one.
    pub fn record_key(&self) -> String {
        let (name, id) = (stack_name(&self.id), self.id.rsplit('/').next());
        format!("{RECORDS_PREFIX}/{name}/{}.json", id.unwrap_or_default())
    }
}

/// The settings of a stack besides its template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Parameters.
    pub parameters: BTreeMap<String, ParameterValue>,
    /// Tags of the stack, which AWS sets on its resources too.
    pub tags: BTreeMap<String, String>,
    /// Acknowledged capabilities.
    pub capabilities: BTreeSet<String>,
    /// ARN of the service role, whose rights change the resources.
    pub role: String,
    /// ARNs of the SNS topics that its events go to.
    pub notifications: BTreeSet<String>,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ParameterValue {
    /// This value.
    Value(String),
    /// The value that the stack has (`UsePreviousValue`).
    Previous,
}

/// The folder of artifact buckets with templates, named by their digests, where CloudFormation reads them.
pub const TEMPLATES_PREFIX: &str = "templates";

/// The folder of artifact buckets with the packages of templates, named by digests. It is in the folder of packages,
/// which service roles may read.
pub const ASSETS_PREFIX: &str = "packages/assets";

/// The folder of artifact buckets with other files that templates refer to, named by digests. CloudFormation reads some
/// of them with the permissions of Sluice, as it reads templates.
pub const FILES_PREFIX: &str = "templates/files";

/// The folder of artifact buckets with the records of adopted stacks.
pub const RECORDS_PREFIX: &str = "owners/stacks";

/// Where CloudFormation gets a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateSource {
    /// The text itself, at most 51,200 bytes (`TemplateBody`).
    Body(String),
    /// A key of the artifact bucket (`TemplateURL`), with its version.
    Stored {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The version.
        version_id: String,
    },
}

/// A change set to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChangeSet {
    /// Name of the stack.
    pub stack: String,
    /// Name of the change set.
    pub name: String,
    /// Whether it creates the stack (`ChangeSetType=CREATE`), rather than updating it.
    pub creates: bool,
    /// The template.
    pub template: TemplateSource,
    /// The other settings.
    pub settings: Settings,
    /// `ClientToken`: with the same token, CloudFormation creates only one change set.
    pub token: String,
    /// Whether existing resources with the names of the template become part of the stack
    /// (`ImportExistingResources`).
    pub imports_existing: bool,
}

/// A change set, nested ones not included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// ARN.
    pub id: String,
    /// ARN of its stack.
    pub stack: String,
    /// Its state, such as `CREATE_COMPLETE`.
    pub status: String,
    /// AWS's reason for the state.
    pub reason: Option<String>,
    /// Whether it can be executed, such as `AVAILABLE`.
    pub execution: String,
    /// The changes, in AWS's order.
    pub changes: Vec<ResourceChange>,
}

impl ChangeSet {
    /// Whether it failed because there is nothing to change.
    pub fn is_empty(&self) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        let empty = [
            "didn't contain changes",
            "No updates are to be performed",
            "There are no changes",
        ];
        self.status == "FAILED" && empty.iter().any(|text| reason.contains(text))
    }
}

/// The change of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceChange {
    /// `Add`, `Modify`, `Remove`, `Import`, `Dynamic` or `SyncWithActual`.
    pub action: String,
    /// Logical id.
    pub logical_id: String,
    /// Physical id, if the resource exists.
    pub physical_id: Option<String>,
    /// Type, such as `AWS::S3::Bucket`.
    pub resource_type: String,
    /// `True`, `False` or `Conditional`, for a modification.
    pub replacement: Option<String>,
    /// What the deletion or replacement does with the former resource: `Delete`, `Retain`, `Snapshot`,
    /// `ReplaceAndDelete`, `ReplaceAndRetain` or `ReplaceAndSnapshot`.
    pub policy: Option<String>,
    /// The changes of its properties.
    pub details: Vec<PropertyChange>,
    /// ARN of the nested change set, for a nested stack.
    pub nested: Option<String>,
}

/// The change of a property of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyChange {
    /// `Properties`, `Metadata`, `Tags`, `DeletionPolicy` and so on.
    pub attribute: String,
    /// Path within the resource, such as `/Properties/Environment/Variables/STAGE`; the property's name if AWS
    /// reports no path.
    pub path: String,
    /// `Never`, `Conditionally` or `Always`.
    pub recreation: String,
    /// Value before, as JSON or text.
    pub before: Option<String>,
    /// Value after, as JSON or text; absent if it is known only once another resource is changed.
    pub after: Option<String>,
    /// What causes it, such as `Db.Endpoint`, a parameter or a nested resource.
    pub cause: Option<String>,
    /// Whether AWS evaluates the value only during execution (`Evaluation=Dynamic`).
    pub is_dynamic: bool,
}

/// An event of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackEvent {
    /// Its id.
    pub id: String,
    /// When it occurred.
    pub at: Option<Timestamp>,
    /// Logical id; the stack's name for the stack itself.
    pub logical_id: String,
    /// Physical id; the stack's ARN for the stack itself.
    pub physical_id: Option<String>,
    /// Type; `AWS::CloudFormation::Stack` for the stack itself.
    pub resource_type: String,
    /// The state that the resource reached.
    pub status: String,
    /// AWS's or the resource's own reason.
    pub reason: Option<String>,
    /// The `ClientRequestToken` of the operation.
    pub token: Option<String>,
}

impl StackEvent {
    /// Whether it is about the stack itself.
    pub fn is_of_stack(&self, stack: &str) -> bool {
        self.physical_id.as_deref() == Some(stack)
    }
}

/// A resource of a stack (`ListStackResources`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackResource {
    /// Logical id.
    pub logical_id: String,
    /// Physical id; `None` if nothing was created.
    pub physical_id: Option<String>,
    /// Type, such as `AWS::S3::Bucket`.
    pub resource_type: String,
    /// Its state, such as `DELETE_SKIPPED`.
    pub status: String,
}

impl StackResource {
    /// Whether it exists in AWS.
    pub fn exists(&self) -> bool {
        self.physical_id.is_some() && self.status != "DELETE_COMPLETE"
    }
}

/// What CloudFormation finds in a template (`GetTemplateSummary`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateSummary {
    /// The parameters that the template declares, by name.
    pub parameters: BTreeMap<String, DeclaredParameter>,
    /// The capabilities that the template needs.
    pub capabilities: BTreeSet<String>,
    /// Why, in AWS's words.
    pub capabilities_reason: Option<String>,
    /// The transforms that the template declares.
    pub transforms: Vec<String>,
    /// The types of its resources.
    pub resource_types: BTreeSet<String>,
}

/// A parameter that a template declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredParameter {
    /// Type, such as `String`, or `AWS::SSM::Parameter::Value<String>` for the name of a parameter in Systems
    /// Manager.
    pub parameter_type: String,
    /// The default, if it has one.
    pub default: Option<String>,
    /// Whether AWS never shows its value.
    pub is_secret: bool,
}
