//! The desired state of one Target, computed from a Release.
//!
//! This module checks everything that can be known without a call to AWS: names, limits, permissions. An
//! [`Invalid`] names the field and the remedy; nothing has been changed then. [`examine`] finds all problems,
//! for [`super::preflight`]; a Target reports the first.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

mod expansion;
#[cfg(test)]
mod tests;

use self::expansion::{Placed, placed};
use super::{
    check::StageCheck,
    duration::duration,
    grants::Permissions,
    invalid::{Invalid, Problems},
    levels::levels,
    ownership::Owner,
    substitution::{OutputRef, Outputs, Variables},
    traffic::Traffic,
    workload::{component::DesiredComponent, scope::Scope, spec},
};
use crate::api::v1alpha1::{
    ComponentStatus, DeletionPolicy, OnFailure, ReleaseRef, ReleaseSpec, Stage, TargetSpec,
};

/// The desired state of one Target.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The Release.
    pub release: ReleaseRef,
    /// The components, in the order of the template.
    pub components: Vec<DesiredComponent>,
    /// The checks of the stage as a whole.
    pub checks: Vec<StageCheck>,
    /// How traffic moves.
    pub traffic: Traffic,
    /// What happens when a run fails.
    pub on_failure: OnFailure,
    /// What happens to resources that the Release no longer has.
    pub deletion_policy: DeletionPolicy,
    /// How long the Target may go without progress.
    pub progress_deadline: Duration,
}

impl Desired {
    /// The first output of a component that another component still needs.
    pub fn needs_output(&self) -> Option<&OutputRef> {
        self.components
            .iter()
            .find_map(DesiredComponent::needs_output)
    }

    /// Whether no component and no check needs an output any more.
    pub fn is_resolved(&self) -> bool {
        let mut checks = self.checks.iter();
        self.needs_output().is_none() && checks.all(|check| check.needed_outputs().is_empty())
    }

    /// The desired state with the outputs of the components that have these statuses in a run.
    pub fn resolve(&self, statuses: &[ComponentStatus]) -> Cow<'_, Self> {
        if self.is_resolved() {
            return Cow::Borrowed(self);
        }
        let outputs = self.outputs(statuses);
        let components = self.components.iter();
        let checks = self.checks.iter();
        Cow::Owned(Self {
            components: components.map(|it| it.resolve(&outputs)).collect(),
            checks: checks.map(|it| it.resolve(&outputs)).collect(),
            ..self.clone()
        })
    }

    /// The outputs of this component that other components and checks still wait for.
    pub fn awaited_outputs(&self, component: &str) -> BTreeSet<String> {
        let of_components = self.components.iter();
        let of_components = of_components.flat_map(DesiredComponent::needed_outputs);
        let of_checks = self.checks.iter().flat_map(StageCheck::needed_outputs);
        let needed = of_components.chain(of_checks);
        let of_component = needed.filter(|needed| needed.component == component);
        of_component.map(|needed| needed.output.clone()).collect()
    }

    /// The outputs of the components with these statuses.
    fn outputs(&self, statuses: &[ComponentStatus]) -> Outputs {
        let mut outputs = Outputs::default();
        for want in &self.components {
            let status = statuses.iter().find(|status| status.name == want.name);
            let of_component = status.map(|status| want.deferred_outputs(status));
            outputs.add(&want.name, of_component.into_iter().flatten());
        }
        outputs
    }

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

/// The desired state of a Target, as far as it can be computed, with all problems.
#[derive(Debug)]
pub struct Examined {
    /// The components without problems.
    pub components: Vec<DesiredComponent>,
    /// The checks of the stage as a whole without problems.
    pub checks: Vec<StageCheck>,
    /// How traffic moves.
    pub traffic: Option<Traffic>,
    /// The problems, in the order of the spec.
    pub problems: Vec<Invalid>,
    progress_deadline: Option<Duration>,
}

/// The desired state of this Target.
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
    let missing = || Invalid::new("spec", "it can't be resolved");
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

/// The desired state of this Target, with all problems.
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
    let placed = placed(release, &variables, &mut found);
    let dependencies: Vec<(&str, &[String])> = placed
        .iter()
        .map(|it| (it.component.name.as_str(), it.depends_on.as_slice()))
        .collect();
    let levels = found.keep(
        levels(&dependencies)
            .map_err(|circle| Invalid::new("spec.components[].dependsOn", circle.to_string())),
    );
    let levels = levels.unwrap_or_else(|| vec![0; placed.len()]);
    let base = BaseScope {
        release,
        stage,
        target,
        owner,
        permissions,
        variables: &variables,
        placed: &placed,
    };
    let components = base.components(&levels, &mut found);
    // Checks of the stage may use the outputs of all components.
    let variables = with_outputs(variables.clone(), &components, target);
    let mut checks = Vec::new();
    for check in &stage.checks {
        let made = StageCheck::new(check, &variables).map_err(|invalid| {
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

/// The common input for all components of a Target.
struct BaseScope<'a> {
    release: &'a ReleaseSpec,
    stage: &'a Stage,
    target: &'a TargetSpec,
    owner: &'a Owner,
    permissions: &'a Permissions,
    variables: &'a Variables,
    placed: &'a [Placed],
}

impl BaseScope<'_> {
    /// The components without problems, in the order of the template.
    fn components(&self, levels: &[usize], found: &mut Problems) -> Vec<DesiredComponent> {
        let mut in_order: Vec<(usize, &Placed)> = self.placed.iter().enumerate().collect();
        // Outputs must be known before the components that use them.
        in_order.sort_by_key(|(at, _)| levels[*at]);
        let mut made: BTreeMap<usize, DesiredComponent> = BTreeMap::new();
        let mut problems: BTreeMap<usize, Problems> = BTreeMap::new();
        for (at, placed) in in_order {
            let component = &placed.component;
            let variables = self.variables_of(placed, made.values());
            let scope = Scope {
                field: spec::field(component).unwrap_or_default(),
                component,
                template_name: &placed.template_name,
                stage: self.stage,
                needs: &placed.needs,
                template_artifacts: &self.release.template.artifacts,
                artifacts: &self.release.artifacts,
                target: self.target,
                owner: self.owner,
                permissions: self.permissions,
                variables: &variables,
            };
            let of_component = problems.entry(at).or_default();
            let Some(workload) = spec::desire(&scope, of_component) else {
                continue;
            };
            let wanted = DesiredComponent {
                name: component.name.clone(),
                level: levels[at],
                workload,
            };
            let clash = made.values().find_map(|other| {
                let (field, why) = wanted.clash(other)?;
                Some(scope.invalid(field, format!("{why} of component {}", other.name)))
            });
            of_component.extend(clash);
            made.insert(at, wanted);
        }
        for of_component in problems.into_values() {
            found.extend(of_component.into_inner());
        }
        made.into_values().collect()
    }

    /// The variables, with the outputs of the components that this one depends on, directly or indirectly.
    fn variables_of<'c>(
        &self,
        placed: &Placed,
        made: impl Iterator<Item = &'c DesiredComponent>,
    ) -> Variables {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = placed.depends_on.iter().map(String::as_str).collect();
        while let Some(name) = next.pop() {
            if reached.insert(name) {
                let of_name = self.placed.iter().filter(|it| it.component.name == name);
                next.extend(of_name.flat_map(|it| it.depends_on.iter().map(String::as_str)));
            }
        }
        let mut variables = self.variables.clone();
        let names = self.placed.iter().map(|it| it.component.name.as_str());
        for other in names.filter(|name| !reached.contains(name)) {
            variables.add_other(other);
        }
        let made = made.filter(|other| reached.contains(other.name.as_str()));
        with_outputs(variables, made, self.target)
    }
}

/// The variables, with the outputs of these components.
fn with_outputs<'a>(
    mut variables: Variables,
    components: impl IntoIterator<Item = &'a DesiredComponent>,
    target: &TargetSpec,
) -> Variables {
    for component in components {
        variables.add_outputs(&component.name, component.outputs(target));
        if component.has_open_outputs() {
            variables.add_open(&component.name);
        }
    }
    variables
}

/// The stage of a Target, also if the Release has it under its name from before a rename.
fn stage_of<'a>(stages: &'a [Stage], target: &TargetSpec) -> Option<&'a Stage> {
    let named = |name: &str| stages.iter().find(|stage| stage.name == name);
    named(&target.stage).or_else(|| named(target.former_stage.as_deref()?))
}

/// The variables for `$(…)` on a Target.
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

/// The variables for `$(…)` before a Release exists.
pub fn source_variables(project: &str, git_ref: &str, commit: &str, pipeline_id: i64) -> Variables {
    Variables::default()
        .with("source.project", project)
        .with("source.ref", git_ref)
        .with("source.commit", commit)
        .with("source.pipelineId", pipeline_id.to_string())
}
