//! What should be on one Target, worked out from a Release.
//!
//! Everything that can be known without asking AWS is checked here: names, limits, permissions. An
//! [`Invalid`] names the field and the way out; nothing has been touched then. [`examine`] finds all of
//! them, for [`super::preflight`]; a Target goes by the first.

use std::{collections::BTreeMap, time::Duration};

mod function;
mod site;
#[cfg(test)]
mod tests;

pub use self::{
    function::{DesiredCheck, DesiredFunction, Expected, configuration_digest},
    site::DesiredSite,
};
use super::{
    check::{DesiredAlarms, DesiredHttp, DesiredMetric, StageCheck, StageCheckKind},
    digest::Sha256,
    duration::duration,
    grants::{Permissions, Resource},
    levels::levels,
    names,
    ownership::{Adoption, Owner},
    substitution::Variables,
    traffic::Traffic,
};
use crate::api::v1alpha1::{
    Artifact, Check, Component, DeletionPolicy, LambdaOverride, OnFailure, PinnedArtifact,
    ReleaseRef, ReleaseSpec, Stage, TargetSpec,
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
    /// Files in a bucket.
    Site(Box<DesiredSite>),
}

impl Workload {
    /// What it is called on AWS: a function's name, or a bucket with a prefix.
    pub fn resource(&self) -> String {
        match self {
            Self::Function(function) => function.function_name.clone(),
            Self::Site(site) => site.place.to_string(),
        }
    }

    /// Why both can't be there: the field, and whose it is too.
    fn clash(&self, other: &Self) -> Option<(&'static str, String)> {
        match (self, other) {
            (Self::Function(one), Self::Function(other)) => {
                let name = &one.function_name;
                let same = *name == other.function_name;
                same.then(|| ("functionName", format!("{name} is also the function")))
            }
            (Self::Site(one), Self::Site(other)) => {
                let overlap = one.place.overlaps(&other.place);
                overlap.then(|| {
                    let (one, other) = (&one.place, &other.place);
                    ("prefix", format!("{one} overlaps {other}"))
                })
            }
            _ => None,
        }
    }
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

/// What a Release wants on a Target, as far as that can be told, and all that is wrong with it.
#[derive(Debug)]
pub struct Examined {
    /// The components that nothing is wrong with.
    pub components: Vec<DesiredComponent>,
    /// The checks of the stage as a whole, the same.
    pub checks: Vec<StageCheck>,
    /// How traffic moves.
    pub traffic: Option<Traffic>,
    /// What is wrong, in the order of the spec.
    pub problems: Vec<Invalid>,
    progress_deadline: Option<Duration>,
}

/// What the Release wants on this Target.
pub fn desired(
    reference: &ReleaseRef,
    release: &ReleaseSpec,
    target: &TargetSpec,
    owner: &Owner,
    permissions: &Permissions,
) -> Result<Desired, Invalid> {
    let examined = examine(reference, release, target, owner, permissions);
    if let Some(first) = examined.problems.into_iter().next() {
        return Err(first);
    }
    let missing = || Invalid::new("spec", "it can't be worked out");
    Ok(Desired {
        release: reference.clone(),
        components: examined.components,
        checks: examined.checks,
        traffic: examined.traffic.ok_or_else(missing)?,
        on_failure: release.template.rollback.on_failure,
        deletion_policy: target.deletion_policy,
        progress_deadline: examined.progress_deadline.ok_or_else(missing)?,
    })
}

/// What the Release wants on this Target, and everything that is wrong with that.
pub fn examine(
    reference: &ReleaseRef,
    release: &ReleaseSpec,
    target: &TargetSpec,
    owner: &Owner,
    permissions: &Permissions,
) -> Examined {
    let template = &release.template;
    let mut found = Problems::default();
    let Some(stage) = stage_of(&template.stages, target) else {
        let why = format!("{} has no stage {}", reference.name, target.stage);
        found.push(Invalid::new("spec.stages", why));
        return Examined {
            components: Vec::new(),
            checks: Vec::new(),
            traffic: None,
            problems: found.0,
            progress_deadline: None,
        };
    };
    let variables = variables(reference, release, target, &stage.name);
    let traffic = found.keep(Traffic::of(stage.rollout.as_ref()).map_err(|(field, why)| {
        Invalid::new(format!("spec.stages[{}].rollout.{field}", stage.name), why)
    }));
    let dependencies: Vec<(&str, &[String])> = template
        .components
        .iter()
        .map(|component| (component.name.as_str(), component.depends_on.as_slice()))
        .collect();
    let levels = found.keep(
        levels(&dependencies)
            .map_err(|circle| Invalid::new("spec.components[].dependsOn", circle.to_string())),
    );
    let levels = levels.unwrap_or_else(|| vec![0; template.components.len()]);
    let mut components: Vec<DesiredComponent> = Vec::new();
    for (component, level) in template.components.iter().zip(levels) {
        let scope = Scope {
            component,
            stage,
            template_artifacts: &template.artifacts,
            target,
            owner,
            permissions,
            variables: &variables,
        };
        let Some(workload) = scope.workload(&release.artifacts, &mut found) else {
            continue;
        };
        let clash = components.iter().find_map(|other| {
            let (field, why) = workload.clash(&other.workload)?;
            Some(scope.invalid(field, format!("{why} of component {}", other.name)))
        });
        found.0.extend(clash);
        components.push(DesiredComponent {
            name: component.name.clone(),
            level,
            workload,
        });
    }
    let mut checks = Vec::new();
    for check in &stage.checks {
        let made = stage_check(check, &variables).map_err(|invalid| {
            let (stage, check) = (&stage.name, &check.name);
            let field = format!("spec.stages[{stage}].checks[{check}].{}", invalid.field);
            Invalid::new(field, invalid.message)
        });
        checks.extend(found.keep(made).flatten());
    }
    let progress_deadline = found
        .keep(duration(&template.progress_deadline).ok_or_else(|| {
            Invalid::new("spec.progressDeadline", "must be a duration such as 10m")
        }));
    Examined {
        components,
        checks,
        traffic,
        problems: found.0,
        progress_deadline,
    }
}

/// What was found wrong on the way.
#[derive(Debug, Default)]
struct Problems(Vec<Invalid>);

impl Problems {
    fn push(&mut self, problem: Invalid) {
        self.0.push(problem);
    }

    /// The value; what is wrong with it is kept.
    fn keep<T>(&mut self, result: Result<T, Invalid>) -> Option<T> {
        result.map_err(|problem| self.push(problem)).ok()
    }
}

/// A check of the stage as a whole; `None` where it belongs to a component. The field of an error begins
/// below the check.
fn stage_check(check: &Check, variables: &Variables) -> Result<Option<StageCheck>, Invalid> {
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
    Ok(Some(StageCheck { name, kind: kind? }))
}

/// The stage of a Target, also where the Release knows it by the name from before it was renamed.
fn stage_of<'a>(stages: &'a [Stage], target: &TargetSpec) -> Option<&'a Stage> {
    let named = |name: &str| stages.iter().find(|stage| stage.name == name);
    named(&target.stage).or_else(|| named(target.former_stage.as_deref()?))
}

/// The names that `$(…)` takes on a Target.
fn variables(
    reference: &ReleaseRef,
    release: &ReleaseSpec,
    target: &TargetSpec,
    stage: &str,
) -> Variables {
    source_variables(
        &release.source.project,
        &release.source.git_ref,
        &release.source.commit,
        release.source.pipeline_id,
    )
    .with("release.name", &reference.name)
    .with("release.revision", release.revision.to_string())
    .with("stage.name", stage)
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
    stage: &'a Stage,
    /// What is taken from the pipeline.
    template_artifacts: &'a [Artifact],
    target: &'a TargetSpec,
    owner: &'a Owner,
    permissions: &'a Permissions,
    variables: &'a Variables,
}

impl Scope<'_> {
    /// What the component is on AWS; `None` where something is wrong with it.
    fn workload(&self, artifacts: &[PinnedArtifact], found: &mut Problems) -> Option<Workload> {
        match (&self.component.lambda, &self.component.s3) {
            (Some(lambda), None) => {
                let function = self.function(lambda, artifacts, found)?;
                Some(Workload::Function(Box::new(function)))
            }
            (None, Some(s3)) => {
                let site = found.keep(self.site(s3, artifacts))?;
                Some(Workload::Site(Box::new(site)))
            }
            _ => {
                let field = format!("spec.components[{}]", self.component.name);
                let why = "exactly one of lambda and s3 must be set";
                found.push(Invalid::new(field, why));
                None
            }
        }
    }

    /// What the spec and the grants say about taking something over.
    fn adoption(&self, granted: bool) -> Adoption {
        match (self.component.adopt, granted) {
            (false, _) => Adoption::NotAsked,
            (true, true) => Adoption::Granted {
                unqualified: self.component.allow_unqualified,
            },
            (true, false) => Adoption::NotGranted {
                account: self.target.account.clone(),
            },
        }
    }

    fn granted(&self, field: &str, resource: Resource<'_>) -> Result<(), Invalid> {
        match self.permissions.refusal(resource) {
            None => Ok(()),
            Some(why) => Err(self.invalid(field, why)),
        }
    }

    fn expand(&self, field: &str, text: &str) -> Result<String, Invalid> {
        self.variables
            .expand(text)
            .map_err(|error| self.invalid(field, error.to_string()))
    }

    /// The value, where AWS takes it.
    fn within<T>(&self, field: &str, value: T, problem: Option<String>) -> Result<T, Invalid> {
        problem.map_or(Ok(value), |why| Err(self.invalid(field, why)))
    }

    /// What the stage has in place of the component's settings.
    fn overrides(&self) -> Option<&LambdaOverride> {
        let mut overrides = self.stage.overrides.iter();
        let own = overrides.find(|over| over.component == self.component.name)?;
        Some(&own.lambda)
    }

    /// The component's map with the stage's own entries in it, filled in.
    fn merged(
        &self,
        field: &str,
        map: &BTreeMap<String, String>,
        over: Option<&BTreeMap<String, String>>,
        found: &mut Problems,
    ) -> Option<BTreeMap<String, String>> {
        let before = found.0.len();
        let own = over.into_iter().flatten();
        let theirs = map
            .iter()
            .filter(|(key, _)| !over.is_some_and(|over| over.contains_key(*key)));
        let mut merged = BTreeMap::new();
        for (key, value) in theirs {
            let value = self.expand(&format!("{field}.{key}"), value);
            merged.extend(found.keep(value).map(|value| (key.clone(), value)));
        }
        for (key, value) in own {
            let value = self.variables.expand(value).map_err(|error| {
                let field = self.overriding(&format!("{field}.{key}"));
                Invalid::new(field, error.to_string())
            });
            merged.extend(found.keep(value).map(|value| (key.clone(), value)));
        }
        (found.0.len() == before).then_some(merged)
    }

    /// What is wrong with a setting, said of the stage's own value where it `has_own`.
    fn wrong(&self, field: &str, has_own: bool, why: impl Into<String>) -> Invalid {
        if has_own {
            Invalid::new(self.overriding(field), why)
        } else {
            self.invalid(field, why)
        }
    }

    /// The path of a setting that the stage has its own value of.
    fn overriding(&self, field: &str) -> String {
        let (stage, component) = (&self.stage.name, &self.component.name);
        format!("spec.stages[{stage}].overrides[{component}].lambda.{field}")
    }

    /// What the Release pinned under that name.
    fn artifact<'r>(
        &self,
        name: &str,
        artifacts: &'r [PinnedArtifact],
    ) -> Result<Pinned<'r>, Invalid> {
        let pinned = artifacts.iter().find(|artifact| artifact.name == name);
        let pinned = pinned.ok_or_else(|| {
            let near = names::but(
                name,
                artifacts.iter().map(|artifact| artifact.name.as_str()),
            );
            self.invalid("artifact", format!("there is no artifact {name}{near}"))
        })?;
        let sha256 = Sha256::from_hex(&pinned.sha256)
            .ok_or_else(|| self.invalid("artifact", format!("{name} has no SHA-256 digest")))?;
        Ok(Pinned { pinned, sha256 })
    }

    fn invalid(&self, field: &str, message: impl Into<String>) -> Invalid {
        let Self { component, .. } = self;
        let kind = if component.s3.is_some() {
            "s3"
        } else {
            "lambda"
        };
        Invalid::new(
            format!("spec.components[{}].{kind}.{field}", component.name),
            message,
        )
    }
}

/// What the Release pinned.
struct Pinned<'a> {
    pinned: &'a PinnedArtifact,
    sha256: Sha256,
}
