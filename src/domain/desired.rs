//! What should be on one Target, worked out from a Release.
//!
//! Everything that can be known without asking AWS is checked here: names, limits, permissions. An
//! [`Invalid`] names the field and the way out; nothing has been touched then. [`examine`] finds all of
//! them, for [`super::preflight`]; a Target goes by the first.

use std::time::Duration;

#[cfg(test)]
mod tests;

use super::{
    check::{DesiredAlarms, DesiredHttp, DesiredMetric, StageCheck, StageCheckKind},
    duration::duration,
    grants::Permissions,
    invalid::{Invalid, Problems},
    levels::levels,
    ownership::Owner,
    substitution::Variables,
    traffic::Traffic,
    workload::{component::DesiredComponent, scope::Scope, spec},
};
use crate::api::v1alpha1::{
    Check, DeletionPolicy, OnFailure, ReleaseRef, ReleaseSpec, Stage, TargetSpec,
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
            problems: found.into_inner(),
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
            field: spec::field(component).unwrap_or_default(),
            component,
            stage,
            template_artifacts: &template.artifacts,
            artifacts: &release.artifacts,
            target,
            owner,
            permissions,
            variables: &variables,
        };
        let Some(workload) = spec::desire(&scope, &mut found) else {
            continue;
        };
        let wanted = DesiredComponent {
            name: component.name.clone(),
            level,
            workload,
        };
        let clash = components.iter().find_map(|other| {
            let (field, why) = wanted.clash(other)?;
            Some(scope.invalid(field, format!("{why} of component {}", other.name)))
        });
        found.extend(clash);
        components.push(wanted);
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
        problems: found.into_inner(),
        progress_deadline,
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
