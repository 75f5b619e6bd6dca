//! The spec of a component, whatever its kind.

use super::{
    kind::Kind,
    kinds::{Registered, Workload, each_kind},
    scope::Scope,
};
use crate::{
    api::v1alpha1::{ArchiveSummary, Component, PinnedArtifact},
    domain::{
        invalid::{Invalid, Problems},
        substitution::Variables,
    },
};

/// The field of a component that holds its spec; `None` unless exactly one is set.
pub fn field(component: &Component) -> Option<&'static str> {
    let mut fields = Vec::new();
    each_kind!(|K| fields.extend(K::spec(component).map(|_| K::FIELD)));
    match fields.as_slice() {
        [field] => Some(field),
        _ => None,
    }
}

/// The name of the artifact that a component is made from.
pub fn artifact(component: &Component) -> Option<&str> {
    let mut artifact = None;
    each_kind!(|K| artifact = artifact.or(K::spec(component).map(K::artifact)));
    artifact
}

/// The folder of the cloud assembly in its artifact that a component is made from.
pub fn assembly(component: &Component) -> Option<&str> {
    let mut assembly = None;
    each_kind!(|K| assembly = assembly.or(K::spec(component).and_then(K::assembly)));
    assembly
}

/// The components that stand for this one on a Target with these variables; or why there are none.
pub fn expand(
    component: &Component,
    artifacts: &[PinnedArtifact],
    variables: &Variables,
) -> Result<Vec<Component>, Invalid> {
    let mut expanded = Ok(vec![component.clone()]);
    each_kind!(|K| if let Some(spec) = K::spec(component) {
        let of_kind = K::expand(component, spec, artifacts, variables);
        expanded = of_kind.map_err(|(field, why)| {
            let field = format!("spec.components[{}].{}.{field}", component.name, K::FIELD);
            Invalid::new(field, why)
        });
    });
    expanded
}

/// Whether `one` needs that `other` serves first, although its spec does not say so.
pub fn needs(
    one: &Component,
    other: &Component,
    artifacts: &[PinnedArtifact],
    variables: &Variables,
) -> bool {
    let mut needs = false;
    each_kind!(
        |K| if let (Some(one), Some(other)) = (K::spec(one), K::spec(other)) {
            needs |= K::needs(one, other, artifacts, variables);
        }
    );
    needs
}

/// Why the artifact's content is unsuitable for the component: the path of the field and the reason.
/// `problem` says why it is not a valid archive.
pub fn artifact_problem(
    component: &Component,
    archive: Option<&ArchiveSummary>,
    problem: Option<&str>,
) -> Option<(String, String)> {
    let mut found = None;
    each_kind!(|K| {
        let why = K::spec(component).and_then(|it| K::artifact_problem(it, archive, problem));
        let path = || format!("spec.components[{}].{}.artifact", component.name, K::FIELD);
        found = found.or(why.map(|why| (path(), why)));
    });
    found
}

/// The desired state of a component on a Target; `None` if it is invalid, with the reasons in `problems`.
pub fn desire(scope: &Scope<'_>, problems: &mut Problems) -> Option<Workload> {
    let component = scope.component;
    if field(component).is_none() {
        let mut fields: Vec<&str> = Vec::new();
        each_kind!(|K| fields.push(K::FIELD));
        let last = fields.pop().unwrap_or_default();
        let why = format!(
            "exactly one of {} and {last} must be set",
            fields.join(", ")
        );
        let field = format!("spec.components[{}]", component.name);
        problems.push(Invalid::new(field, why));
        return None;
    }
    let mut workload = None;
    each_kind!(|K| if let Some(spec) = K::spec(component) {
        workload = K::desire(spec, scope, problems).map(K::workload);
    });
    workload
}
