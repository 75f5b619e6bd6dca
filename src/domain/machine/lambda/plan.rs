//! What would change of a function.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    api::v1alpha1::PlannedChange,
    domain::{
        desired::{DesiredFunction, configuration_digest},
        digest::Sha256,
        function::{Alias, Function, FunctionConfiguration},
        machine::{
            observation::Observation,
            plan::{Part, change, described},
            snapshot::AliasSnapshot,
        },
        ownership::{Claim, Owner},
    },
};

/// What would change of a function, from what was seen of it.
pub fn plan(want: &DesiredFunction, owner: &Owner, seen: &Observation) -> Part {
    let name = &want.function_name;
    let function = seen.functions.get(name).and_then(Option::as_ref);
    let alias = seen.aliases.get(name).and_then(Option::as_ref);
    let live = |function: &Function| {
        (
            function.code_sha256,
            configuration_digest(&function.architecture, &function.configuration),
            function.tags.clone(),
        )
    };
    let changes = changes(want, owner, function, alias);
    let summary = match function {
        Some(_) => described(&want.component, &changes),
        None => {
            let configuration = &want.configuration;
            format!(
                "{}: will create function {name} ({}, role {})",
                want.component, configuration.runtime, configuration.role
            )
        }
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

fn changes(
    want: &DesiredFunction,
    owner: &Owner,
    function: Option<&Function>,
    alias: Option<&Alias>,
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
            Some("the new version".to_owned()),
        ),
    );
    let Some(function) = function else {
        let code = (None, Some(want.code_sha256.short()));
        return vec![of("Create", Some("code"), code), moved];
    };
    let mut changes = Vec::new();
    if owner.claim(&function.tags) == Claim::Nobodys {
        changes.push(of("Adopt", None, (None, None)));
    }
    for (field, values) in differing(function.into(), want.into()) {
        changes.push(of("Update", Some(&field), values));
    }
    for (key, value) in &want.tags {
        let now = function.tags.get(key);
        if now != Some(value) {
            let values = (now.cloned(), Some(value.clone()));
            changes.push(of("Update", Some(&format!("tags.{key}")), values));
        }
    }
    if !changes.is_empty() || alias.is_none_or(|alias| !alias.weights.is_empty()) {
        changes.push(moved);
    }
    changes
}

pub(super) type Values = (Option<String>, Option<String>);

/// What belongs to a version: code, architecture, settings.
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

/// The fields in which two differ, with the values of the one and the other. Of environment variables only
/// names are told.
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
