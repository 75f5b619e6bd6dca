//! A component that is a stack.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    assembly::{Bootstrap, select},
    stack::{ParameterValue, Settings, Stack},
};
use crate::{
    api::v1alpha1::{
        Allow, AssemblyStack, Capability, Cdk, CloudAssembly, CloudFormation as Spec, Component,
        PinnedArtifact, StoreLocation,
    },
    domain::{
        digest::Sha256,
        grants::{Resource, matches},
        invalid::{Invalid, Problems},
        limits,
        ownership::{Adoption, is_mark, is_marked},
        substitution::{OutputRef, Outputs, Template, Variables},
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
    /// The exports of other components' stacks that the template may import, as the output `*`, until they are known.
    pub imports: BTreeSet<OutputRef>,
    /// The resources that a change may replace or delete.
    pub allow: Allow,
    /// The resources that a continued rollback may skip.
    pub resources_to_skip: Vec<String>,
    /// Whether existing resources become part of the stack.
    pub imports_existing: bool,
    /// Whether an existing stack that is unmanaged may be adopted.
    pub adoption: Adoption,
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
    /// Where the artifact has it.
    pub at: TemplateAt,
    /// Its name in messages: the field, the artifact and its job.
    pub origin: String,
}

/// Where an artifact has a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum TemplateAt {
    /// The artifact is the template.
    Whole,
    /// A file in the archive, by its path.
    File(String),
    /// The template of a stack in a cloud assembly.
    Assembly(Box<StackInAssembly>),
}

/// A stack in a cloud assembly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StackInAssembly {
    /// Folder of the assembly in the archive, without a slash at its end.
    pub assembly: String,
    /// The stack.
    pub stack: AssemblyStack,
    /// The bootstrap through which its files are published.
    pub bootstrap: Bootstrap,
}

impl TemplateFile {
    /// A key that identifies the template's bytes.
    pub fn id(&self) -> Sha256 {
        Sha256::of_json(&(self.sha256, &self.at))
    }

    /// What reading it needs, for this stack.
    pub fn grant<'a>(&'a self, stack: &'a str) -> Resource<'a> {
        match &self.at {
            TemplateAt::Whole | TemplateAt::File(_) => Resource::Stack(stack),
            TemplateAt::Assembly(it) => {
                Resource::StackWithBootstrap(stack, &it.bootstrap.qualifier)
            }
        }
    }
}

/// The output that stands for all exports of a stack: it is known once the stack serves, or does not change. No
/// template can have an output of this name.
pub const EXPORTS: &str = "*";

impl DesiredStack {
    /// Whether it waits for outputs or exports of other components.
    pub fn waits_for_others(&self) -> bool {
        !self.deferred.is_empty() || !self.imports.is_empty()
    }

    /// The settings for the stack, if it exists: without the owner's tags for an adopted one, which has none.
    pub fn settings_on(&self, stack: Option<&Stack>) -> Settings {
        let mut settings = self.settings.clone();
        if stack.is_some_and(|stack| !is_marked(&stack.tags)) {
            settings.tags.retain(|key, _| !is_mark(key));
        }
        settings
    }

    /// Fills in those outputs that are known.
    #[must_use]
    pub fn resolve(&self, outputs: &Outputs) -> Self {
        let mut resolved = self.clone();
        let known = take_known(&mut resolved.deferred, outputs);
        let known = known.map(|(name, value)| (name, ParameterValue::Value(value)));
        resolved.settings.parameters.extend(known);
        resolved.imports.retain(|it| outputs.get(it).is_none());
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
    let may_adopt = match (&stack_name, &role) {
        (Some(name), Some(role)) => scope.permissions.can_adopt_stack(name, role),
        _ => false,
    };
    let source = found.keep(source(stack, scope));
    if let (Some(name), Some(source)) = (&stack_name, &source)
        && matches!(source.at, TemplateAt::Assembly(_))
        && let Err(refused) = scope.granted("cdk.qualifier", source.grant(name))
    {
        found.push(refused);
    }
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
        imports: scope.needs.iter().map(|it| exports(it)).collect(),
        allow: stack.allow.clone(),
        resources_to_skip: stack.rollback.resources_to_skip.clone(),
        imports_existing: stack.import_existing_resources,
        adoption: scope.adoption(may_adopt),
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
    let at = template_at(stack, scope)?;
    if at == TemplateAt::Whole && size > limits::TEMPLATE {
        return Err(scope.invalid("artifact", too_large(size)));
    }
    let mut artifacts = scope.template_artifacts.iter();
    let job = artifacts.find(|one| one.name == stack.artifact);
    let job = job.map_or_else(String::new, |it| format!(" of job {}", it.job.name));
    let file = match &at {
        TemplateAt::Whole => String::new(),
        TemplateAt::File(path) => format!("{path} in "),
        TemplateAt::Assembly(it) => format!("stack {} of {} in ", it.stack.name, it.assembly),
    };
    let field = format!("spec.components[{}].{}", scope.component.name, scope.field);
    Ok(TemplateFile {
        location: artifact.pinned.location.clone(),
        sha256: artifact.sha256,
        size,
        at,
        origin: format!("{file}artifact {}{job} for {field}", stack.artifact),
    })
}

fn template_at(stack: &Spec, scope: &Scope<'_>) -> Result<TemplateAt, Invalid> {
    let Some(cdk) = &stack.cdk else {
        let path = stack.template.clone();
        return Ok(path.map_or(TemplateAt::Whole, TemplateAt::File));
    };
    let name = scope.expand("cdk.stack", &cdk.stack)?;
    let artifact = scope.artifact(&stack.artifact)?;
    let found = stack_in(cdk, &name, artifact.pinned);
    let found = found.map_err(|why| scope.invalid("cdk.stack", why))?;
    let bootstrap = Bootstrap {
        account_id: scope.target.account_id.clone(),
        region: scope.target.region.clone(),
        qualifier: cdk.qualifier.clone(),
    };
    let found = scope.within("cdk.stack", found, bootstrap.refusal(found))?;
    Ok(TemplateAt::Assembly(Box::new(StackInAssembly {
        assembly: folder(cdk).to_owned(),
        stack: found.clone(),
        bootstrap,
    })))
}

/// The folder of the assembly, without a slash at its end; empty for the archive itself.
pub fn folder(cdk: &Cdk) -> &str {
    match cdk.assembly.trim_start_matches("./").trim_end_matches('/') {
        "." => "",
        folder => folder,
    }
}

/// The stack with this name in the assembly.
fn stack_in<'a>(
    cdk: &Cdk,
    name: &str,
    artifact: &'a PinnedArtifact,
) -> Result<&'a AssemblyStack, String> {
    select(&assembly_of(cdk, artifact)?.stacks, name)
}

fn assembly_of<'a>(cdk: &Cdk, artifact: &'a PinnedArtifact) -> Result<&'a CloudAssembly, String> {
    let folder = folder(cdk);
    let mut assemblies = artifact.assemblies.iter();
    let found = assemblies.find(|it| it.folder == folder);
    found.ok_or_else(|| format!("the Release was made without the assembly {folder}"))
}

/// What stands for the name that the app gives the stack, in the name of a stack.
const STACK_NAME: &str = "$(stack.name)";

/// The components for the stacks of an assembly that the component's `cdk.stack` names, which may be a pattern.
pub fn expand(
    component: &Component,
    stack: &Spec,
    artifacts: &[PinnedArtifact],
    variables: &Variables,
) -> Result<Vec<Component>, (&'static str, String)> {
    let at = "cdk.stack";
    let itself = || Ok(vec![component.clone()]);
    let Some(cdk) = &stack.cdk else {
        return itself();
    };
    let Some(artifact) = artifacts.iter().find(|it| it.name == stack.artifact) else {
        return itself();
    };
    let name = variables.expand(&cdk.stack);
    let name = name.map_err(|error| (at, error.to_string()))?;
    let one = |found: &AssemblyStack, name: String| {
        let spec = Spec {
            stack_name: stack.stack_name.replace(STACK_NAME, &found.stack_name),
            cdk: Some(Cdk {
                stack: found.name.clone(),
                ..cdk.clone()
            }),
            ..stack.clone()
        };
        Component {
            name,
            cloud_formation: Some(spec),
            ..component.clone()
        }
    };
    if !name.contains('*') {
        // A stack that is not there is reported where the desired state is made.
        return match stack_in(cdk, &name, artifact) {
            Ok(found) => Ok(vec![one(found, component.name.clone())]),
            Err(_) => itself(),
        };
    }
    let assembly = assembly_of(cdk, artifact).map_err(|why| (at, why))?;
    let found = assembly.stacks.iter().filter(|it| matches(&name, &it.name));
    let all: Vec<Component> = found
        .map(|found| one(found, component_name(&component.name, &found.name)))
        .collect();
    if all.is_empty() {
        let none = select(&assembly.stacks, &name).err().unwrap_or_default();
        return Err((at, none));
    }
    Ok(all)
}

/// The most characters of a component's name.
const COMPONENT_NAME: usize = 63;

/// The name of the component for a stack of a pattern.
fn component_name(component: &str, stack: &str) -> String {
    let plain = |c: char| {
        let is_plain = c.is_ascii_alphanumeric();
        if is_plain {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let stack: String = stack.chars().map(plain).collect();
    let name = format!("{component}-{}", stack.trim_matches('-'));
    if name.len() <= COMPONENT_NAME {
        return name;
    }
    let digest = Sha256::of(name.as_bytes()).short();
    let kept = &name[..COMPONENT_NAME - digest.len() - 1];
    format!("{kept}-{digest}")
}

/// Whether `one` is a stack that depends on the stack `other` in their common assembly.
pub fn needs(
    one: &Spec,
    other: &Spec,
    artifacts: &[PinnedArtifact],
    variables: &Variables,
) -> bool {
    let (Some(cdk), Some(of_other)) = (&one.cdk, &other.cdk) else {
        return false;
    };
    if one.artifact != other.artifact || folder(cdk) != folder(of_other) {
        return false;
    }
    let mut artifacts = artifacts.iter();
    let Some(artifact) = artifacts.find(|it| it.name == one.artifact) else {
        return false;
    };
    let found = |cdk: &Cdk| {
        let name = variables.expand(&cdk.stack).ok()?;
        stack_in(cdk, &name, artifact).ok()
    };
    match (found(cdk), found(of_other)) {
        (Some(one), Some(other)) => one.depends_on.contains(&other.name),
        _ => false,
    }
}

/// The exports of the stack of this component.
fn exports(component: &str) -> OutputRef {
    OutputRef {
        component: component.to_owned(),
        output: EXPORTS.to_owned(),
    }
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
    let (field, path) = match (&stack.template, &stack.cdk) {
        (_, Some(cdk)) => ("cdk", Some(&cdk.assembly)),
        (path, None) => ("template", path.as_ref()),
    };
    match (path, is_archive) {
        (Some(path), false) => {
            let why = problem.unwrap_or("it is not a zip archive");
            Some(format!(
                "{path} can't be found in it: {why}; omit {field} if the artifact is the template itself"
            ))
        }
        (None, true) => Some(
            "it is a zip archive: set template to the path of the template in it, or cdk to a stack of the assembly in it"
                .to_owned(),
        ),
        _ => None,
    }
}
