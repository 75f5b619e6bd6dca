//! A component that is a stack.

use std::collections::BTreeMap;

use super::stack::{ParameterValue, Settings};
use crate::{
    api::v1alpha1::{Allow, Capability, CloudFormation as Spec, StoreLocation},
    domain::{
        digest::Sha256,
        grants::Resource,
        invalid::{Invalid, Problems},
        limits,
        substitution::{Outputs, Template},
        workload::scope::{Scope, deferred, take_known, texts},
    },
};

/// The desired state of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredStack {
    /// The component's name.
    pub component: String,
    /// The stack's name.
    pub stack_name: String,
    /// The template in the Release's artifact.
    pub source: TemplateFile,
    /// Everything else that CloudFormation gets. A parameter that needs an output of another component has the
    /// reference as its value until the output is known.
    pub settings: Settings,
    /// Parameters that need an output of another component.
    pub deferred: BTreeMap<String, Template>,
    /// The resources that a change may replace or delete.
    pub allow: Allow,
    /// The resources that a continued rollback may skip.
    pub resources_to_skip: Vec<String>,
    /// Whether existing resources become part of the stack.
    pub imports_existing: bool,
}

/// A template in an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFile {
    /// The artifact's location in the hub.
    pub location: StoreLocation,
    /// Digest of the artifact.
    pub sha256: Sha256,
    /// Size of the artifact, in bytes.
    pub size: u64,
    /// Path of the template in the artifact; `None` if the artifact is the template.
    pub path: Option<String>,
    /// Its name in messages: the field, the artifact and its job.
    pub origin: String,
}

impl TemplateFile {
    /// A key that identifies the template's bytes.
    pub fn id(&self) -> Sha256 {
        Sha256::of_json(&(self.sha256, &self.path))
    }
}

impl DesiredStack {
    /// Fills in those outputs that are known.
    #[must_use]
    pub fn resolve(&self, outputs: &Outputs) -> Self {
        let mut resolved = self.clone();
        let known = take_known(&mut resolved.deferred, outputs);
        let known = known.map(|(name, value)| (name, ParameterValue::Value(value)));
        resolved.settings.parameters.extend(known);
        resolved
    }
}

/// The desired state; `None` if it is invalid, with the reasons in `found`.
pub fn desire(stack: &Spec, scope: &Scope<'_>, found: &mut Problems) -> Option<DesiredStack> {
    let over = scope
        .overrides()
        .and_then(|over| over.cloud_formation.as_ref());
    let stack_name = found.keep(stack_name(stack, scope));
    let role = found.keep(role(stack, scope));
    if let (Some(name), Some(role)) = (&stack_name, &role)
        && let Err(refused) = scope.granted("stackName", Resource::StackWithRole(name, role))
    {
        found.push(refused);
    }
    let source = found.keep(source(stack, scope));
    let parameters = over.map(|over| &over.parameters);
    let parameters = scope.merged("parameters", &stack.parameters, parameters, found);
    let deferred = parameters.as_ref().map(deferred).unwrap_or_default();
    let parameters = parameters.map(texts);
    for why in parameters.iter().flat_map(limits::parameters) {
        found.push(scope.invalid("parameters", why));
    }
    let has_value = |name: &&String| parameters.as_ref().is_some_and(|it| it.contains_key(*name));
    let twice = stack.use_previous.iter().filter(has_value);
    for name in twice {
        let why = format!("{name} has a value in parameters too: remove one of the two");
        found.push(scope.invalid("usePrevious", why));
    }
    let tags = over.map(|over| &over.tags);
    let tags = scope.tags(&stack.tags, tags, scope.owner.tags().len(), found);
    let notifications = stack.notification_arns.iter();
    let notifications = notifications.map(|arn| found.keep(scope.expand("notificationArns", arn)));
    let notifications: Option<_> = notifications.collect::<Vec<_>>().into_iter().collect();
    let mut tags = tags?;
    tags.extend(scope.owner.tags());
    let values = parameters?
        .into_iter()
        .map(|(name, value)| (name, ParameterValue::Value(value)));
    let previous = stack
        .use_previous
        .iter()
        .map(|name| (name.clone(), ParameterValue::Previous));
    Some(DesiredStack {
        component: scope.component.name.clone(),
        stack_name: stack_name?,
        source: source?,
        settings: Settings {
            parameters: values.chain(previous).collect(),
            tags,
            capabilities: stack
                .capabilities
                .iter()
                .map(|it| Capability::as_str(*it).to_owned())
                .collect(),
            role: role?,
            notifications: notifications?,
        },
        deferred,
        allow: stack.allow.clone(),
        resources_to_skip: stack.rollback.resources_to_skip.clone(),
        imports_existing: stack.import_existing_resources,
    })
}

fn stack_name(stack: &Spec, scope: &Scope<'_>) -> Result<String, Invalid> {
    let name = scope.expand("stackName", &stack.stack_name)?;
    let problem = limits::stack_name(&name);
    scope.within("stackName", name, problem)
}

/// The service role's ARN.
fn role(stack: &Spec, scope: &Scope<'_>) -> Result<String, Invalid> {
    let role = scope.expand("role", &stack.role)?;
    scope
        .role_arn(&role)
        .map_err(|why| scope.invalid("role", why))
}

fn source(stack: &Spec, scope: &Scope<'_>) -> Result<TemplateFile, Invalid> {
    let artifact = scope.artifact(&stack.artifact)?;
    let problem = artifact_problem(stack, artifact.pinned.archive.is_some(), None);
    let artifact = scope.within("artifact", artifact, problem)?;
    let size = artifact.pinned.size.unsigned_abs();
    if stack.template.is_none() && size > limits::TEMPLATE {
        return Err(scope.invalid("artifact", too_large(size)));
    }
    let mut artifacts = scope.template_artifacts.iter();
    let job = artifacts.find(|one| one.name == stack.artifact);
    let job = job.map_or_else(String::new, |it| format!(" of job {}", it.job.name));
    let path = stack.template.as_deref();
    let file = path.map_or_else(String::new, |path| format!("{path} in "));
    let field = format!("spec.components[{}].{}", scope.component.name, scope.field);
    Ok(TemplateFile {
        location: artifact.pinned.location.clone(),
        sha256: artifact.sha256,
        size,
        path: path.map(str::to_owned),
        origin: format!("{file}artifact {}{job} for {field}", stack.artifact),
    })
}

/// The message for a template that is too large.
pub fn too_large(size: u64) -> String {
    format!(
        "the template has {size} bytes, and CloudFormation allows at most {}: move parts of it into nested stacks",
        limits::TEMPLATE
    )
}

/// Why the artifact is unsuitable. `problem` says why it is not a valid archive.
pub fn artifact_problem(stack: &Spec, is_archive: bool, problem: Option<&str>) -> Option<String> {
    match (&stack.template, is_archive) {
        (Some(path), false) => {
            let why = problem.unwrap_or("it is not a zip archive");
            Some(format!(
                "{path} can't be found in it: {why}; omit template if the artifact is the template itself"
            ))
        }
        (None, true) => {
            Some("it is a zip archive: set template to the path of the template in it".to_owned())
        }
        _ => None,
    }
}
