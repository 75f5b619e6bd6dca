//! What should be on one Target, worked out from a Release.
//!
//! Everything that can be known without asking AWS is checked here: names, limits, permissions. A
//! [`Invalid`] names the field and the way out; nothing has been touched then.

use std::{collections::BTreeMap, time::Duration};

mod function;
mod site;
#[cfg(test)]
mod tests;

pub use self::{
    function::{DesiredCheck, DesiredFunction, configuration_digest},
    site::DesiredSite,
};
use super::{
    check::{DesiredAlarms, DesiredHttp, DesiredMetric, StageCheck, StageCheckKind},
    digest::Sha256,
    duration::duration,
    grants::{Permissions, Resource},
    levels::levels,
    ownership::{Adoption, Owner},
    substitution::Variables,
    traffic::Traffic,
};
use crate::api::v1alpha1::{
    Check, Component, DeletionPolicy, OnFailure, PinnedArtifact, ReleaseRef, ReleaseSpec, Stage,
    TargetSpec,
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

/// What the Release wants on this Target.
pub fn desired(
    reference: &ReleaseRef,
    release: &ReleaseSpec,
    target: &TargetSpec,
    owner: &Owner,
    permissions: &Permissions,
) -> Result<Desired, Invalid> {
    let stage = stage_of(&release.template.stages, target).ok_or_else(|| {
        Invalid::new(
            "spec.stages",
            format!("{} has no stage {}", reference.name, target.stage),
        )
    })?;
    let variables = variables(reference, release, target, &stage.name);
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
        let workload = match (&component.lambda, &component.s3) {
            (Some(lambda), None) => {
                let over = overrides.map(|over| &over.lambda);
                let mut function = scope.function(lambda, over, &release.artifacts)?;
                function.checks = invocations
                    .map(|(name, invoke)| scope.check(name, invoke))
                    .collect::<Result<_, _>>()?;
                Workload::Function(Box::new(function))
            }
            (None, Some(s3)) => Workload::Site(Box::new(scope.site(s3, &release.artifacts)?)),
            _ => {
                let field = format!("spec.components[{}]", component.name);
                return Err(Invalid::new(
                    field,
                    "exactly one of lambda and s3 must be set",
                ));
            }
        };
        for other in &components {
            if let Some((field, why)) = workload.clash(&other.workload) {
                return Err(scope.invalid(field, format!("{why} of component {}", other.name)));
            }
        }
        components.push(DesiredComponent {
            name: component.name.clone(),
            level,
            workload,
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
    target: &'a TargetSpec,
    owner: &'a Owner,
    permissions: &'a Permissions,
    variables: &'a Variables,
}

impl Scope<'_> {
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

    fn expand_map(
        &self,
        field: &str,
        map: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Invalid> {
        map.iter()
            .map(|(key, value)| Ok((key.clone(), self.expand(&format!("{field}.{key}"), value)?)))
            .collect()
    }

    /// What the Release pinned under that name.
    fn artifact<'r>(
        &self,
        name: &str,
        artifacts: &'r [PinnedArtifact],
    ) -> Result<Pinned<'r>, Invalid> {
        let pinned = artifacts.iter().find(|artifact| artifact.name == name);
        let pinned = pinned
            .ok_or_else(|| self.invalid("artifact", format!("there is no artifact {name}")))?;
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
