//! Templates: their resources and parameters, and how two of them differ.

use std::collections::BTreeMap;

use crate::domain::workload::cloud_formation::{
    DeclaredParameter, ParameterValue, PropertyChange, ResourceChange, Settings, Source,
    TemplateDigests, TemplateSummary,
};

/// Resources by name.
pub(super) type Resources = BTreeMap<String, String>;

pub(super) fn values(settings: &Settings) -> BTreeMap<String, String> {
    let value = |value: &ParameterValue| match value {
        ParameterValue::Value(value) => value.clone(),
        ParameterValue::Previous => unreachable!("previous values are filled in"),
    };
    let parameters = settings.parameters.iter();
    parameters
        .map(|(name, it)| (name.clone(), value(it)))
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(": "))
}

pub(super) fn resources(text: &str, settings: &Settings) -> Resources {
    let values = values(settings);
    let value = |value: &str| match value.strip_prefix('$') {
        Some(name) => values[name].clone(),
        None => value.to_owned(),
    };
    lines(text)
        .map(|(name, it)| (name.to_owned(), value(it)))
        .collect()
}

pub(super) fn resource_type(name: &str) -> &'static str {
    if name.starts_with("Table") {
        "AWS::DynamoDB::Table"
    } else {
        "AWS::SQS::Queue"
    }
}

pub(super) fn changes(now: &Resources, wanted: &Resources) -> Vec<ResourceChange> {
    let of = |action: &str, name: &String| ResourceChange {
        action: action.into(),
        logical_id: name.clone(),
        resource_type: resource_type(name).into(),
        ..ResourceChange::default()
    };
    let mut changes = Vec::new();
    for (name, value) in wanted {
        match now.get(name) {
            None => changes.push(of("Add", name)),
            Some(before) if before != value => {
                let is_replaced = name.starts_with("Table");
                let detail = PropertyChange {
                    attribute: "Properties".into(),
                    path: "/Properties/Value".into(),
                    recreation: if is_replaced { "Always" } else { "Never" }.into(),
                    before: Some(before.clone()),
                    after: Some(value.clone()),
                    ..PropertyChange::default()
                };
                changes.push(ResourceChange {
                    replacement: Some(if is_replaced { "True" } else { "False" }.into()),
                    details: vec![detail],
                    ..of("Modify", name)
                });
            }
            Some(_) => {}
        }
    }
    let removed = now.keys().filter(|name| !wanted.contains_key(*name));
    changes.extend(removed.map(|name| of("Remove", name)));
    changes
}

pub(super) fn summary(text: &str) -> Source {
    if text.starts_with("invalid") {
        return Source::Invalid("Template format error".into());
    }
    let parameters = lines(text).filter_map(|(_, value)| value.strip_prefix('$'));
    let parameters = parameters.map(|name| (name.to_owned(), DeclaredParameter::default()));
    let needs_iam = lines(text).any(|(name, _)| name.starts_with("Role"));
    let capability = needs_iam.then(|| "CAPABILITY_IAM".to_owned());
    Source::Template {
        digests: TemplateDigests::of(text),
        summary: Box::new(TemplateSummary {
            parameters: parameters.collect(),
            capabilities: capability.into_iter().collect(),
            ..TemplateSummary::default()
        }),
    }
}
