//! A CloudFormation stack.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{has_no_reserved_keys, has_parameter_names, has_valid_keys, is_role};

/// A CloudFormation stack, created and updated by change sets.
///
/// The change set is part of the plan: exactly the change set that was planned, and approved where a gate
/// asks for it, is executed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.template) || !has(self.cdk)")
    .message("set template, or cdk, but not both: the template of a stack of a CDK app is in the app's assembly"),
    validation = Rule::new("!has(self.cdk) || !self.cdk.stack.contains('*') || self.stackName.contains('$(stack.name)')")
    .message("stackName must contain $(stack.name), because cdk.stack names several stacks"),
    validation = Rule::new("has(self.cdk) || !self.stackName.contains('$(stack.name)')")
    .message("stackName must be set: only a stack of a CDK app has a name of its own, $(stack.name)"))]
#[serde(rename_all = "camelCase")]
pub struct CloudFormation {
    /// Name of the stack. Takes `$(…)`; with `cdk`, also `$(stack.name)`, the name that the app gives the stack, which is
    /// the default then. Stacks of an app may refer to each other by these names.
    #[serde(default = "stack_name")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^[a-zA-Z][a-zA-Z0-9-]{0,127}$')")
        .message("must be 1 to 128 letters, digits and -, beginning with a letter"))]
    pub stack_name: String,
    /// Name of the artifact: a template, or a zip that has one or the assembly of a CDK app.
    #[schemars(length(min = 1, max = 63))]
    pub artifact: String,
    /// Path of the template in the zip, such as `infra/template.yaml`. Omit it if the artifact is the
    /// template itself. What it refers to by local paths, such as `CodeUri: ./src`, is packaged; the rest is
    /// passed on as it is, without substitution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub template: Option<String>,
    /// The stack of a CDK app whose template is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdk: Option<Cdk>,
    /// Name (with path) or ARN of the service role. CloudFormation changes the resources with its rights
    /// only. Takes `$(…)`.
    #[schemars(length(min = 1, max = 768))]
    #[x_kube(validation = is_role())]
    pub role: String,
    /// Parameters of the template. Values take `$(…)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 200,
        "additionalProperties" = {"type": "string", "maxLength": 4096}
    ))]
    #[x_kube(validation = has_parameter_names())]
    pub parameters: BTreeMap<String, String>,
    /// Names of parameters that keep the value that the stack has. A new stack has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 255)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub use_previous: Vec<String>,
    /// Tags of the stack, besides those that Sluice sets. CloudFormation sets them on its resources too.
    /// Values take `$(…)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 40,
        "additionalProperties" = {"type": "string", "maxLength": 1024}
    ))]
    #[x_kube(validation = has_no_reserved_keys(), validation = has_valid_keys())]
    pub tags: BTreeMap<String, String>,
    /// The capabilities that the template may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub capabilities: Vec<Capability>,
    /// ARNs of the SNS topics that events of the stack go to. Take `$(…)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), inner(length(min = 1, max = 1024)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub notification_arns: Vec<String>,
    /// Whether resources that exist already, with the names that the template gives them, become part of the
    /// stack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub import_existing_resources: bool,
    /// The resources that a change may replace or delete.
    #[serde(default, skip_serializing_if = "Allow::is_empty")]
    pub allow: Allow,
    /// What may happen when CloudFormation can't roll back a failed update.
    #[serde(default, skip_serializing_if = "StackRollback::is_empty")]
    pub rollback: StackRollback,
}

/// A stack of a CDK app, in the cloud assembly that `cdk synth` wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cdk {
    /// The stack, as `cdk list` shows it: its path in the app, such as `Checkout`, or `Prod/Checkout` in a stage of
    /// the app. Its id or its name in CloudFormation will do too. In a pattern, such as `Prod/*`, `*` stands for any
    /// characters: each stack whose path matches is a component of its own. Takes `$(…)`.
    #[schemars(length(min = 1, max = 512))]
    pub stack: String,
    /// Folder of the assembly in the zip.
    #[serde(default = "assembly")]
    #[schemars(length(min = 1, max = 1024))]
    pub assembly: String,
    /// Qualifier of the bootstrap, through which the stack's files are published. A grant must have it.
    #[serde(default = "qualifier")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]+$"), length(min = 1, max = 10))]
    pub qualifier: String,
}

/// The name that a CDK app gives its stack.
fn stack_name() -> String {
    "$(stack.name)".to_owned()
}

/// The folder that `cdk synth` writes unless it gets another.
fn assembly() -> String {
    "cdk.out".to_owned()
}

/// The qualifier that `cdk bootstrap` uses unless it gets another.
fn qualifier() -> String {
    "hnb659fds".to_owned()
}

/// What may happen when CloudFormation can't roll back a failed update (state `UPDATE_ROLLBACK_FAILED`). Sluice then
/// has it continue the rollback once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StackRollback {
    /// Logical ids of the resources that the continued rollback skips if they have failed; those of a nested stack
    /// as `NestedStackName.LogicalId`. CloudFormation then takes a skipped resource for restored, but leaves it as it
    /// is: it may differ from the template, or be gone. Correct it before the next change of the resource, and remove
    /// the entry again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(
            length(min = 1, max = 384),
            regex(pattern = r"^([a-zA-Z][a-zA-Z0-9-]*[.])?[a-zA-Z0-9]+$")
        )
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub resources_to_skip: Vec<String>,
}

impl StackRollback {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The resources that a change may replace or delete. Each entry is a logical id such as `Table`, or a type such as
/// `AWS::DynamoDB::Table`; `*` matches any characters. A change that needs more is not executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// Those that may be replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 255)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub replacement: Vec<String>,
    /// Those that may be deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 255)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub deletion: Vec<String>,
}

impl Allow {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Capabilities that a template may use.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Capability {
    /// It creates IAM resources.
    #[serde(rename = "CAPABILITY_IAM")]
    Iam,
    /// It creates IAM resources with names.
    #[serde(rename = "CAPABILITY_NAMED_IAM")]
    NamedIam,
    /// It has macros or transforms.
    #[serde(rename = "CAPABILITY_AUTO_EXPAND")]
    AutoExpand,
}

impl Capability {
    /// The name in CloudFormation's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iam => "CAPABILITY_IAM",
            Self::NamedIam => "CAPABILITY_NAMED_IAM",
            Self::AutoExpand => "CAPABILITY_AUTO_EXPAND",
        }
    }
}

/// Settings of a stack that can differ between stages.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudFormationOverride {
    /// Merged into the component's parameters, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 200,
        "additionalProperties" = {"type": "string", "maxLength": 4096}
    ))]
    #[x_kube(validation = has_parameter_names())]
    pub parameters: BTreeMap<String, String>,
    /// Merged into the component's tags, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 40,
        "additionalProperties" = {"type": "string", "maxLength": 1024}
    ))]
    #[x_kube(validation = has_no_reserved_keys(), validation = has_valid_keys())]
    pub tags: BTreeMap<String, String>,
}
