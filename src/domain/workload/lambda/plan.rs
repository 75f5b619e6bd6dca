//! The plan for a function.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    desired::{DesiredFunction, configuration_digest},
    function::{Alias, Function, FunctionConfiguration},
    snapshot::AliasSnapshot,
    state::broken,
    tags,
    versions::recorded,
    view::View,
};
use crate::{
    api::v1alpha1::{PlannedChange, ReleaseRef},
    domain::{
        digest::Sha256,
        ownership::Claim,
        workload::change::{Part, change, described},
    },
};

/// The plan for a function, from its observations. `is_idle` is whether the run would change nothing at all.
pub fn plan(want: &DesiredFunction, release: &ReleaseRef, is_idle: bool, view: View<'_>) -> Part {
    let observed = view.observed;
    let name = &want.function_name;
    let function = observed.functions.get(name).and_then(Option::as_ref);
    let alias = observed.aliases.get(name).and_then(Option::as_ref);
    let live = |function: &Function| {
        (
            function.code_sha256,
            configuration_digest(&function.architecture, &function.configuration),
            function.tags.clone(),
        )
    };
    let to = recorded(want, release, &view.status.versions);
    let moves_traffic =
        !is_idle && alias.is_none_or(|alias| moves(want, to.as_deref(), alias, view));
    let changes = changes(want, (function, alias), (moves_traffic, to), view);
    let summary = if function.is_some() {
        described(&want.component, &changes)
    } else {
        let configuration = &want.configuration;
        format!(
            "{}: will create function {name} ({}, role {})",
            want.component, configuration.runtime, configuration.role
        )
    };
    Part {
        summary,
        changes,
        wanted: Sha256::of_json(&(
            name,
            &want.alias,
            want.code_sha256,
            want.configuration_digest(),
            &want.tags,
        )),
        live: Sha256::of_json(&(function.map(live), alias.map(AliasSnapshot::of))),
    }
}

/// Whether the alias has to move to the Release's version. If no version is recorded for the Release,
/// `PublishVersion` returns the newest version if that is the same, or else a new one.
fn moves(want: &DesiredFunction, to: Option<&str>, alias: &Alias, view: View<'_>) -> bool {
    if !alias.weights.is_empty() {
        return true;
    }
    if let Some(to) = to {
        return alias.version != to;
    }
    let number = |version: &str| version.parse::<u64>().unwrap_or_default();
    let versions = view.status.versions.iter();
    let newest = versions
        .filter(|one| one.function_name == want.function_name)
        .max_by_key(|one| number(&one.version));
    !newest.is_some_and(|newest| {
        newest.version == alias.version
            && newest.code_sha256 == want.code_sha256.to_string()
            && newest.configuration_digest == want.configuration_digest().to_string()
    })
}

fn changes(
    want: &DesiredFunction,
    (function, alias): (Option<&Function>, Option<&Alias>),
    (moves_traffic, to): (bool, Option<String>),
    view: View<'_>,
) -> Vec<PlannedChange> {
    let name = want.function_name.as_str();
    let of = |action: &str, field: Option<&str>, values| {
        change(&want.component, action, name, field, values)
    };
    let moved = change(
        &want.component,
        if alias.is_some() { "Move" } else { "Create" },
        &format!("{name}:{}", want.alias),
        None,
        (
            alias.map(|alias| format!("version {}", alias.version)),
            Some(to.map_or_else(
                || "the new version".to_owned(),
                |version| format!("version {version}"),
            )),
        ),
    );
    let Some(function) = function else {
        let code = (None, Some(want.code_sha256.short()));
        return vec![of("Create", Some("code"), code), moved];
    };
    let mut changes = Vec::new();
    if view.owner.claim(&function.tags) == Claim::Unowned {
        changes.push(of("Adopt", None, (None, None)));
    }
    for (field, values) in differing(function.into(), want.into()) {
        changes.push(of("Update", Some(&field), values));
    }
    if broken(function).is_some() && changes.is_empty() {
        let values = ["Failed", "Successful"].map(|word| Some(word.to_owned()));
        changes.push(of("Update", Some("lastUpdateStatus"), values.into()));
    }
    for (key, values) in tags::changes(want, function, view) {
        changes.push(of("Update", Some(&format!("tags.{key}")), values));
    }
    if !changes.is_empty() || moves_traffic {
        changes.push(moved);
    }
    changes
}

pub(super) type Values = (Option<String>, Option<String>);

/// The properties of a version: code, architecture, settings.
#[derive(Clone, Copy)]
pub(super) struct Versioned<'a> {
    pub code: Sha256,
    pub architecture: &'a str,
    pub configuration: &'a FunctionConfiguration,
}

impl<'a> From<&'a Function> for Versioned<'a> {
    fn from(function: &'a Function) -> Self {
        Self {
            code: function.code_sha256,
            architecture: &function.architecture,
            configuration: &function.configuration,
        }
    }
}

impl<'a> From<&'a DesiredFunction> for Versioned<'a> {
    fn from(want: &'a DesiredFunction) -> Self {
        Self {
            code: want.code_sha256,
            architecture: &want.architecture,
            configuration: &want.configuration,
        }
    }
}

/// The fields in which the two differ, with both values. Environment variables appear without their values.
pub(super) fn differing(one: Versioned<'_>, other: Versioned<'_>) -> Vec<(String, Values)> {
    let mut fields = Vec::new();
    if one.code != other.code {
        let values = (Some(one.code.short()), Some(other.code.short()));
        fields.push(("code".to_owned(), values));
    }
    if one.architecture != other.architecture {
        let values = [one, other].map(|it| Some(it.architecture.to_owned()));
        fields.push(("architecture".to_owned(), values.into()));
    }
    fields.extend(settings(one.configuration, other.configuration));
    fields
}

fn settings(now: &FunctionConfiguration, then: &FunctionConfiguration) -> Vec<(String, Values)> {
    let mut differing = Vec::new();
    let (before, after) = (members(now), members(then));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names.into_iter().filter(|name| *name != "environment") {
        let (from, to) = (before.get(name), after.get(name));
        if from != to {
            differing.push((name.clone(), (from.map(plain), to.map(plain))));
        }
    }
    let names: BTreeSet<&String> = now
        .environment
        .keys()
        .chain(then.environment.keys())
        .collect();
    for name in names {
        let values = match (now.environment.get(name), then.environment.get(name)) {
            (Some(one), Some(other)) if one == other => continue,
            (Some(_), Some(_)) => (Some("a value"), Some("another value")),
            (None, _) => (None, Some("a value")),
            (_, None) => (Some("a value"), None),
        };
        let (from, to) = values;
        let values = (from.map(str::to_owned), to.map(str::to_owned));
        differing.push((format!("environment.{name}"), values));
    }
    differing
}

fn members(configuration: &FunctionConfiguration) -> BTreeMap<String, Value> {
    match serde_json::to_value(configuration) {
        Ok(Value::Object(members)) => members.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
