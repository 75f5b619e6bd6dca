//! The result of a restore in human-readable form.

use super::{
    desired::configuration_digest,
    drift::shares,
    function::{Alias, Function},
    observed::Observed,
    plan::{Values, Versioned, differing},
    snapshot::{AliasSnapshot, FunctionSnapshot, LatestSnapshot},
    state::was_created_for,
};
use crate::{
    api::v1alpha1::{Difference, Restored, RunStatus},
    domain::{digest::Sha256, workload::change::difference},
};

/// The restored state, for the status.
pub fn restored(component: &str, then: &FunctionSnapshot, observed: &Observed) -> Vec<Restored> {
    let name = &then.function_name;
    let of = |resource: String, state: String| Restored {
        component: component.to_owned(),
        resource,
        state,
    };
    let absent = |exists: bool| {
        let state = if exists {
            "unchanged: the run did not create it"
        } else {
            "absent, as before"
        };
        state.to_owned()
    };
    let Some(before) = &then.latest else {
        let function = observed.functions.get(name);
        return vec![of(
            name.clone(),
            absent(function.is_some_and(Option::is_some)),
        )];
    };
    let alias = match &then.alias {
        Some(alias) => routes(alias),
        None => absent(observed.aliases.get(name).is_some_and(Option::is_some)),
    };
    vec![
        of(format!("{name}:{}", then.alias_name), alias),
        of(name.clone(), state(before)),
    ]
}

/// The differences from the state before the run, by the last observations.
pub fn not_restored(
    component: &str,
    then: &FunctionSnapshot,
    journal: &RunStatus,
    observed: &Observed,
) -> Vec<Difference> {
    let name = &then.function_name;
    let whole = |resource: &str, expected: Option<&str>, found: &str| {
        let values = (expected.map(str::to_owned), Some(found.to_owned()));
        difference(component, resource, None, values)
    };
    let (function, before) = match (observed.last.functions.get(name), &then.latest) {
        (Some(None), Some(_)) => return vec![whole(name, Some("there"), "gone")],
        (Some(Some(function)), None) if was_created_for(function, &journal.release) => {
            return vec![whole(name, None, "there")];
        }
        (Some(Some(function)), Some(before)) => (Some(function), before),
        (None, Some(before)) => (None, before),
        _ => return Vec::new(),
    };
    let alias = format!("{name}:{}", then.alias_name);
    let mut found = match (observed.last.aliases.get(name), &then.alias) {
        (Some(Some(now)), Some(then)) => routing(component, &alias, then, now),
        (Some(None), Some(_)) => vec![whole(&alias, Some("there"), "gone")],
        (Some(Some(_)), None) => vec![whole(&alias, None, "there")],
        _ => Vec::new(),
    };
    let fields = function.map_or(Vec::new(), |function| of_latest(before, function));
    let fields = fields.into_iter();
    found.extend(fields.map(|(field, values)| difference(component, name, Some(&field), values)));
    found
}

fn of_latest(before: &LatestSnapshot, now: &Function) -> Vec<(String, Values)> {
    let then = Versioned {
        code: before.digest().unwrap_or(now.code_sha256),
        architecture: &before.architecture,
        configuration: &before.configuration,
    };
    let mut found = differing(then, now.into());
    let names = before.tags.keys().chain(now.tags.keys());
    let mut names: Vec<&String> = names.collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let values = (before.tags.get(name), now.tags.get(name));
        if values.0 != values.1 {
            found.push((
                format!("tags.{name}"),
                (values.0.cloned(), values.1.cloned()),
            ));
        }
    }
    found
}

fn routing(component: &str, resource: &str, then: &AliasSnapshot, now: &Alias) -> Vec<Difference> {
    let now = AliasSnapshot::of(now);
    if *then == now {
        return Vec::new();
    }
    let values = (Some(routes(then)), Some(routes(&now)));
    vec![difference(component, resource, Some("traffic"), values)]
}

/// `version 3 (10 % to 4)`.
fn routes(alias: &AliasSnapshot) -> String {
    let version = &alias.version;
    match shares(&alias.weights).as_str() {
        "" => format!("version {version}"),
        shares => format!("version {version} ({shares})"),
    }
}

/// `code 8f3a…, configuration 77d2…`.
fn state(latest: &LatestSnapshot) -> String {
    let code = latest.digest().map_or(String::new(), Sha256::short);
    let configuration = configuration_digest(&latest.architecture, &latest.configuration);
    format!("code {code}, configuration {}", configuration.short())
}
