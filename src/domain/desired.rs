//! What should be on one Target, worked out from a Release.
//!
//! Everything that can be known without asking AWS is checked here: names, limits, permissions. A
//! [`Invalid`] names the field and the way out; nothing has been touched then.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

#[cfg(test)]
mod tests;

use super::{
    check::{DesiredAlarms, DesiredHttp, DesiredMetric, StageCheck, StageCheckKind},
    digest::Sha256,
    function::FunctionConfiguration,
    grants::Permissions,
    levels::levels,
    ownership::{Adoption, Owner},
    substitution::{UnknownName, Variables},
    traffic::Traffic,
};
use crate::api::v1alpha1::{
    Check, Component, DeletionPolicy, Expectation, InvokeCheck, LambdaOverride, OnFailure,
    PinnedArtifact, ReleaseRef, ReleaseSpec, StoreLocation, TargetSpec,
};

/// What should be on one Target.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The Release it comes from.
    pub release: ReleaseRef,
    /// In the order of the template.
    pub components: Vec<DesiredComponent>,
    /// The checks of the stage as a whole.
    pub checks: Vec<StageCheck>,
    /// How traffic moves.
    pub traffic: Traffic,
    /// What a failure leads to.
    pub on_failure: OnFailure,
    /// What becomes of what the Release no longer has.
    pub deletion_policy: DeletionPolicy,
    /// How long the Target may go without progress.
    pub progress_deadline: Duration,
}

/// A component as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredComponent {
    /// Its name.
    pub name: String,
    /// How many other components have to serve before it, in a row.
    pub level: usize,
    /// What it is on AWS.
    pub workload: Workload,
}

/// What a component is on AWS.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// A Lambda function.
    Function(Box<DesiredFunction>),
}

impl Desired {
    /// The components of one level.
    pub fn level(&self, level: usize) -> impl Iterator<Item = &DesiredComponent> {
        self.components
            .iter()
            .filter(move |component| component.level == level)
    }

    /// The highest level.
    pub fn last_level(&self) -> usize {
        let levels = self.components.iter().map(|component| component.level);
        levels.max().unwrap_or_default()
    }
}

/// A function as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredFunction {
    /// The component's name.
    pub component: String,
    /// The function's name.
    pub function_name: String,
    /// The alias that serves.
    pub alias: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Digest of the package.
    pub code_sha256: Sha256,
    /// Where the package is kept in the hub.
    pub package: StoreLocation,
    /// The settings that belong to a version.
    pub configuration: FunctionConfiguration,
    /// The user's tags and ours.
    pub tags: BTreeMap<String, String>,
    /// Whether it is taken over where it exists and is nobody's.
    pub adoption: Adoption,
    /// What must hold on the version before traffic, and through the alias after.
    pub checks: Vec<DesiredCheck>,
}

impl DesiredFunction {
    /// Digest of the whole effective configuration, for plans and status: says whether something
    /// changed without saying what.
    pub fn configuration_digest(&self) -> Sha256 {
        configuration_digest(&self.architecture, &self.configuration)
    }
}

/// Digest of everything that belongs to a version besides its code.
pub fn configuration_digest(architecture: &str, configuration: &FunctionConfiguration) -> Sha256 {
    Sha256::of_json(&(architecture, configuration))
}

/// An invocation and what it must answer.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredCheck {
    /// How messages call it.
    pub name: String,
    /// The event, as JSON text.
    pub payload: String,
    /// What the answer must hold.
    pub expect: Option<Expectation>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A field that can't be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// Path in the Deployment's spec.
    pub field: String,
    /// What is wrong and the way out.
    pub message: String,
}

impl Invalid {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// What the Release wants on this Target.
pub fn desired(
    reference: &ReleaseRef,
    release: &ReleaseSpec,
    target: &TargetSpec,
    owner: &Owner,
    permissions: &Permissions,
) -> Result<Desired, Invalid> {
    let stage = release
        .template
        .stages
        .iter()
        .find(|stage| stage.name == target.stage)
        .ok_or_else(|| {
            Invalid::new(
                "spec.stages",
                format!("{} has no stage {}", reference.name, target.stage),
            )
        })?;
    let variables = variables(reference, release, target);
    let traffic = Traffic::of(stage.rollout.as_ref()).map_err(|(field, why)| {
        Invalid::new(format!("spec.stages[{}].rollout.{field}", stage.name), why)
    })?;
    let dependencies: Vec<(&str, &[String])> = release
        .template
        .components
        .iter()
        .map(|component| (component.name.as_str(), component.depends_on.as_slice()))
        .collect();
    let levels = levels(&dependencies)
        .map_err(|circle| Invalid::new("spec.components[].dependsOn", circle.to_string()))?;
    let mut components: Vec<DesiredComponent> = Vec::new();
    for (component, level) in release.template.components.iter().zip(levels) {
        let overrides = stage
            .overrides
            .iter()
            .find(|over| over.component == component.name);
        let invocations = stage
            .checks
            .iter()
            .filter_map(|check| Some((check.name.as_str(), check.invoke.as_ref()?)))
            .filter(|(_, invoke)| invoke.component == component.name);
        let scope = Scope {
            component,
            target,
            owner,
            permissions,
            variables: &variables,
        };
        let mut function =
            scope.function(overrides.map(|over| &over.lambda), &release.artifacts)?;
        function.checks = invocations
            .map(|(name, invoke)| scope.check(name, invoke))
            .collect::<Result<_, _>>()?;
        let same = |other: &&DesiredComponent| match &other.workload {
            Workload::Function(other) => other.function_name == function.function_name,
        };
        if let Some(twin) = components.iter().find(same) {
            return Err(scope.invalid(
                "functionName",
                format!(
                    "{} is also the function of component {}",
                    function.function_name, twin.name
                ),
            ));
        }
        components.push(DesiredComponent {
            name: component.name.clone(),
            level,
            workload: Workload::Function(Box::new(function)),
        });
    }
    let checks = stage
        .checks
        .iter()
        .filter_map(|check| stage_check(check, &variables).transpose())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|(check, invalid)| {
            let field = format!(
                "spec.stages[{}].checks[{check}].{}",
                stage.name, invalid.field
            );
            Invalid::new(field, invalid.message)
        })?;
    let progress_deadline = duration(&release.template.progress_deadline)
        .ok_or_else(|| Invalid::new("spec.progressDeadline", "must be a duration such as 10m"))?;
    Ok(Desired {
        release: reference.clone(),
        components,
        checks,
        traffic,
        on_failure: release.template.rollback.on_failure,
        deletion_policy: target.deletion_policy,
        progress_deadline,
    })
}

/// A check of the stage as a whole; `None` where it belongs to a component. An error carries the check's
/// name.
fn stage_check(
    check: &Check,
    variables: &Variables,
) -> Result<Option<StageCheck>, (String, Invalid)> {
    let kind = if let Some(alarms) = &check.alarms {
        DesiredAlarms::new(alarms, variables).map(StageCheckKind::Alarms)
    } else if let Some(metric) = &check.metric {
        DesiredMetric::new(metric, variables).map(|it| StageCheckKind::Metric(Box::new(it)))
    } else if let Some(http) = &check.http {
        DesiredHttp::new(http, variables).map(|it| StageCheckKind::Http(Box::new(it)))
    } else {
        return Ok(None);
    };
    let name = check.name.clone();
    match kind {
        Ok(kind) => Ok(Some(StageCheck { name, kind })),
        Err(invalid) => Err((name, invalid)),
    }
}

/// The names that `$(…)` takes on a Target.
fn variables(reference: &ReleaseRef, release: &ReleaseSpec, target: &TargetSpec) -> Variables {
    source_variables(
        &release.source.project,
        &release.source.git_ref,
        &release.source.commit,
        release.source.pipeline_id,
    )
    .with("release.name", &reference.name)
    .with("release.revision", release.revision.to_string())
    .with("stage.name", &target.stage)
    .with("target.account", &target.account)
    .with("target.accountId", &target.account_id)
    .with("target.region", &target.region)
}

/// The names that `$(…)` takes before there is a Release.
pub fn source_variables(project: &str, git_ref: &str, commit: &str, pipeline_id: i64) -> Variables {
    Variables::default()
        .with("source.project", project)
        .with("source.ref", git_ref)
        .with("source.commit", commit)
        .with("source.pipelineId", pipeline_id.to_string())
}

/// One component on one Target.
struct Scope<'a> {
    component: &'a Component,
    target: &'a TargetSpec,
    owner: &'a Owner,
    permissions: &'a Permissions,
    variables: &'a Variables,
}

impl Scope<'_> {
    fn function(
        &self,
        over: Option<&LambdaOverride>,
        artifacts: &[PinnedArtifact],
    ) -> Result<DesiredFunction, Invalid> {
        let lambda = &self.component.lambda;
        let function_name = self.expand("functionName", &lambda.function_name)?;
        if !is_function_name(&function_name) {
            return Err(self.invalid(
                "functionName",
                format!(
                    "{function_name:?} is not a function's name: 1 to 64 letters, digits, - and _"
                ),
            ));
        }
        let role = self.expand(
            "role",
            over.and_then(|over| over.role.as_ref())
                .unwrap_or(&lambda.role),
        )?;
        let role = self.role_arn(&role)?;
        let role_name = role.split_once(":role/").map_or("", |(_, name)| name);
        if !self.permissions.allow_function(&function_name, role_name) {
            return Err(self.invalid(
                "functionName",
                format!(
                    "Account {} has no grant that lets namespace {} deploy function {function_name} with role \
                     {role_name}; ask the platform team to extend its spec.grants",
                    self.target.account, self.owner.namespace
                ),
            ));
        }
        let artifact = artifacts
            .iter()
            .find(|artifact| artifact.name == lambda.artifact)
            .ok_or_else(|| {
                self.invalid(
                    "artifact",
                    format!("there is no artifact {}", lambda.artifact),
                )
            })?;
        if let Some(problem) = super::archive::lambda_problem(artifact.archive.as_ref(), None) {
            return Err(self.invalid("artifact", problem));
        }
        let code_sha256 = Sha256::from_hex(&artifact.sha256).ok_or_else(|| {
            self.invalid(
                "artifact",
                format!("{} has no SHA-256 digest", artifact.name),
            )
        })?;
        let mut environment = lambda.environment.clone();
        let mut tags = lambda.tags.clone();
        if let Some(over) = over {
            environment.extend(over.environment.clone());
            tags.extend(over.tags.clone());
        }
        let description = over
            .and_then(|over| over.description.as_ref())
            .or(lambda.description.as_ref());
        let mut tags = self.expand_map("tags", &tags)?;
        tags.extend(self.owner.tags());
        let granted = self.permissions.allow_adopting_function(&function_name);
        Ok(DesiredFunction {
            component: self.component.name.clone(),
            adoption: self.adoption(granted),
            function_name,
            alias: lambda.alias.clone(),
            architecture: lambda.architecture.as_str().to_owned(),
            code_sha256,
            package: artifact.location.clone(),
            configuration: FunctionConfiguration {
                runtime: lambda.runtime.clone(),
                handler: lambda.handler.clone(),
                role,
                memory_size: over
                    .and_then(|over| over.memory_size)
                    .unwrap_or(lambda.memory_size),
                timeout: over.and_then(|over| over.timeout).unwrap_or(lambda.timeout),
                environment: self.expand_map("environment", &environment)?,
                description: self.expand("description", description.map_or("", String::as_str))?,
            },
            tags,
            checks: Vec::new(),
        })
    }

    fn check(&self, name: &str, invoke: &InvokeCheck) -> Result<DesiredCheck, Invalid> {
        let field = |below: &str| {
            format!(
                "spec.stages[{}].checks[{name}].invoke.{below}",
                self.target.stage
            )
        };
        let unknown = |name: &str| {
            let field = field(name);
            move |error: UnknownName| Invalid::new(field, error.to_string())
        };
        let payload = invoke
            .payload
            .clone()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let payload = self
            .variables
            .expand_json(&payload)
            .map_err(unknown("payload"))?;
        let expect = match &invoke.expect {
            Some(expect) => Some(Expectation {
                path: expect.path.clone(),
                equals: self
                    .variables
                    .expand_json(&expect.equals)
                    .map_err(unknown("expect.equals"))?,
            }),
            None => None,
        };
        let timeout = duration(&invoke.timeout)
            .ok_or_else(|| Invalid::new(field("timeout"), "must be a duration such as 10s"))?;
        Ok(DesiredCheck {
            name: name.to_owned(),
            payload: payload.to_string(),
            expect,
            timeout,
        })
    }

    /// What the spec and the grants say about taking something over.
    fn adoption(&self, granted: bool) -> Adoption {
        match (self.component.adopt, granted) {
            (false, _) => Adoption::NotAsked,
            (true, true) => Adoption::Granted,
            (true, false) => Adoption::NotGranted {
                account: self.target.account.clone(),
            },
        }
    }

    /// The role's ARN: a bare name is a role of the Target's own account and partition.
    fn role_arn(&self, role: &str) -> Result<String, Invalid> {
        let Some(rest) = role.strip_prefix("arn:") else {
            let partition = partition(&self.target.region);
            return Ok(format!(
                "arn:{partition}:iam::{}:role/{role}",
                self.target.account_id
            ));
        };
        let account = rest.split(':').nth(3).unwrap_or_default();
        if account != self.target.account_id || !role.contains(":role/") {
            return Err(self.invalid(
                "role",
                format!("{role} is not a role of account {}; name the role alone to use each account's own", self.target.account_id),
            ));
        }
        Ok(role.to_owned())
    }

    fn expand(&self, field: &str, text: &str) -> Result<String, Invalid> {
        self.variables
            .expand(text)
            .map_err(|error| self.invalid(field, error.to_string()))
    }

    fn expand_map(
        &self,
        field: &str,
        map: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Invalid> {
        map.iter()
            .map(|(key, value)| Ok((key.clone(), self.expand(&format!("{field}.{key}"), value)?)))
            .collect()
    }

    fn invalid(&self, field: &str, message: impl Into<String>) -> Invalid {
        Invalid::new(
            format!("spec.components[{}].lambda.{field}", self.component.name),
            message,
        )
    }
}

/// The partition of a region, by the prefixes that AWS gives them.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// A duration as specs write it: `10m`, `1h30m`.
pub fn duration(text: &str) -> Option<Duration> {
    let parsed: kube::core::Duration = text.parse().ok()?;
    (!parsed.is_negative()).then(|| parsed.into())
}

/// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>: a name, at most 64
/// characters. ARNs are not taken: they could point elsewhere.
fn is_function_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}
