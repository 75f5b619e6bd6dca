//! The components of a Release on one Target: those of the template, of which one may stand for several, with what they
//! depend on.

use std::collections::BTreeSet;

use crate::{
    api::v1alpha1::{Component, ReleaseSpec},
    domain::{
        invalid::{Invalid, Problems},
        substitution::Variables,
        workload::spec,
    },
};

/// A component on one Target.
#[derive(Debug)]
pub struct Placed {
    /// The component.
    pub component: Component,
    /// The name of the component in the template that it stands for.
    pub template_name: String,
    /// The names of the components that must serve before it: by `dependsOn`, and by what it is made of.
    pub depends_on: Vec<String>,
    /// Those of them that it needs by what it is made of.
    pub needs: Vec<String>,
}

/// The components on the Target with these variables, in the order of the template.
pub fn placed(release: &ReleaseSpec, variables: &Variables, found: &mut Problems) -> Vec<Placed> {
    let artifacts = &release.artifacts;
    let mut placed: Vec<Placed> = Vec::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for component in &release.template.components {
        let expanded = found.keep(spec::expand(component, artifacts, variables));
        for one in expanded.into_iter().flatten() {
            if !names.insert(one.name.clone()) {
                let field = format!("spec.components[{}]", component.name);
                let why = format!("another component has the name {} on this target", one.name);
                found.push(Invalid::new(field, why));
                continue;
            }
            placed.push(Placed {
                component: one,
                template_name: component.name.clone(),
                depends_on: Vec::new(),
                needs: Vec::new(),
            });
        }
    }
    let dependencies: Vec<_> = (placed.iter())
        .map(|one| (needs(one, &placed, release, variables), asked(one, &placed)))
        .collect();
    for (one, (needs, asked)) in placed.iter_mut().zip(dependencies) {
        one.depends_on = asked.into_iter().chain(needs.iter().cloned()).collect();
        one.needs = needs;
    }
    placed
}

/// The components that this one needs by what it is made of.
fn needs(
    one: &Placed,
    placed: &[Placed],
    release: &ReleaseSpec,
    variables: &Variables,
) -> Vec<String> {
    let of = &one.component;
    let others = placed.iter().map(|other| &other.component);
    let others = others.filter(|other| other.name != of.name);
    let needed = others.filter(|other| spec::needs(of, other, &release.artifacts, variables));
    needed.map(|other| other.name.clone()).collect()
}

/// The components that `dependsOn` names, or that stand for those.
fn asked(one: &Placed, placed: &[Placed]) -> Vec<String> {
    let names = &one.component.depends_on;
    let asked = placed
        .iter()
        .filter(|other| names.contains(&other.template_name));
    asked.map(|other| other.component.name.clone()).collect()
}
