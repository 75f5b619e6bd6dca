//! The changes of a change set: in a canonical form, as text, and whether the spec allows them.
//!
//! # Guarantees
//! - The digest is the same for the same changes. It leaves out ids, names and times that AWS chooses anew for each
//!   change set, and covers nested stacks.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    desired::DesiredStack,
    observed::Observed,
    stack::{ChangeSet, PropertyChange, ResourceChange},
};
use crate::{
    api::v1alpha1::{Allow, PlannedChange, Proposal},
    domain::{digest::Sha256, grants::matches, workload::change::change},
};

/// Stands for the digest of a change set that CloudFormation refuses to execute, because it changes nothing. One
/// that changes outputs only has no changes of resources either, and is executed.
pub const NONE: &str = "none";

/// Whether CloudFormation refuses to execute the change set, because it changes nothing.
pub fn changes_nothing(proposal: &Proposal) -> bool {
    proposal.planned.as_deref() == Some(NONE)
}

/// Types of resources that hold nothing. Replacing or deleting one loses no data, so that it needs no permission:
/// API Gateway and Lambda make new ones for each change.
const HOLD_NOTHING: [&str; 8] = [
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGatewayV2::Deployment",
    "AWS::CDK::Metadata",
    "AWS::CloudFormation::WaitCondition",
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::Lambda::LayerVersionPermission",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
];

/// A change of a resource, of the stack or of a nested one.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    /// The logical ids of the nested stacks that lead to it, and its own, such as `Network/Vpc`.
    pub path: String,
    /// The change.
    pub of: &'a ResourceChange,
}

/// The changes of a change set and its nested ones, by path; or the ARN of a nested one that was not read, or why
/// there are none.
pub fn collect<'a>(
    change_set: &'a ChangeSet,
    stack: &str,
    observed: &'a Observed,
) -> Result<Vec<Change<'a>>, Incomplete> {
    let mut changes = Vec::new();
    add(change_set, "", stack, observed, &mut changes)?;
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

/// Why the changes are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// This nested change set was not read.
    Unread(String),
    /// AWS still computes this nested change set.
    Pending(String),
    /// This nested change set failed, for this reason.
    Failed(String),
}

fn add<'a>(
    change_set: &'a ChangeSet,
    above: &str,
    stack: &str,
    observed: &'a Observed,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), Incomplete> {
    for of in &change_set.changes {
        let path = format!("{above}{}", of.logical_id);
        let Some(arn) = &of.nested else {
            changes.push(Change { path, of });
            continue;
        };
        let Some(nested) = observed.change_set(stack, arn) else {
            return Err(Incomplete::Unread(arn.clone()));
        };
        match nested {
            Some(nested) if nested.status == "CREATE_COMPLETE" => {
                add(nested, &format!("{path}/"), stack, observed, changes)?;
                // The nested stack itself changes only by its resources, unless it is new, replaced or removed.
                if of.action != "Modify" || of.replacement.as_deref() == Some("True") {
                    changes.push(Change { path, of });
                }
            }
            Some(nested) if nested.is_empty() => {}
            Some(nested) if nested.status == "FAILED" => {
                let reason = nested.reason.as_deref().unwrap_or("AWS gives no reason");
                return Err(Incomplete::Failed(format!("nested stack {path}: {reason}")));
            }
            Some(_) => return Err(Incomplete::Pending(arn.clone())),
            None => {
                return Err(Incomplete::Failed(format!(
                    "nested stack {path}: its change set {arn} was deleted"
                )));
            }
        }
    }
    Ok(())
}

/// The digest of the changes.
pub fn digest(changes: &[Change<'_>]) -> Sha256 {
    let canonical: Vec<Canonical<'_>> = changes.iter().map(Canonical::of).collect();
    Sha256::of_json(&canonical)
}

/// A change without what AWS chooses anew for each change set.
#[derive(Serialize)]
struct Canonical<'a> {
    path: &'a str,
    action: &'a str,
    resource_type: &'a str,
    replacement: Option<&'a str>,
    policy: Option<&'a str>,
    details: Vec<Detail<'a>>,
}

/// Of a property: attribute, path, recreation, value before, value after and cause.
type Detail<'a> = (
    &'a str,
    &'a str,
    &'a str,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
);

impl<'a> Canonical<'a> {
    fn of(change: &'a Change<'_>) -> Self {
        let detail = |it: &'a PropertyChange| {
            (
                it.attribute.as_str(),
                it.path.as_str(),
                it.recreation.as_str(),
                it.before.as_deref(),
                it.after.as_deref(),
                it.cause.as_deref(),
            )
        };
        let mut details: Vec<_> = change.of.details.iter().map(detail).collect();
        details.sort_unstable();
        details.dedup();
        Self {
            path: &change.path,
            action: &change.of.action,
            resource_type: &change.of.resource_type,
            replacement: change.of.replacement.as_deref(),
            policy: change.of.policy.as_deref(),
            details,
        }
    }
}

impl Change<'_> {
    /// What happens to the resource, as in plans.
    pub fn action(&self) -> &'static str {
        match (self.of.action.as_str(), self.of.replacement.as_deref()) {
            ("Add", _) => "Create",
            ("Remove", _) if self.retains() => "Keep",
            ("Remove", _) => "Delete",
            ("Import", _) => "Import",
            (_, Some("True")) => "Replace",
            (_, Some("Conditional")) => "MayReplace",
            _ => "Update",
        }
    }

    /// Whether the former resource stays, or a copy of its data.
    fn retains(&self) -> bool {
        let policy = self.of.policy.as_deref().unwrap_or_default();
        policy.contains("Retain") || policy.contains("Snapshot")
    }

    fn is_allowed_by(&self, patterns: &[String]) -> bool {
        let of = self.of;
        let names = [
            of.resource_type.as_str(),
            of.logical_id.as_str(),
            self.path.as_str(),
        ];
        patterns
            .iter()
            .any(|pattern| names.iter().any(|name| matches(pattern, name)))
    }

    /// The paths of the properties that cause a replacement.
    fn causes(&self) -> Vec<&str> {
        let causes = self.of.details.iter();
        let causes = causes.filter(|it| it.recreation != "Never" && !it.recreation.is_empty());
        let mut paths: Vec<&str> = causes.map(|it| it.path.as_str()).collect();
        paths.dedup();
        paths
    }
}

/// The paths of the resources that the changes create.
pub fn created(changes: &[Change<'_>]) -> BTreeSet<String> {
    let created = changes.iter().filter(|change| change.action() == "Create");
    created.map(|change| change.path.clone()).collect()
}

/// Why the changes need a permission that the spec does not give; `None` if it gives all. Resources that the run
/// itself created (`own`, by path) need none.
pub fn refusal(
    changes: &[Change<'_>],
    allow: &Allow,
    own: &BTreeSet<String>,
    component: &str,
) -> Option<String> {
    let field = format!("spec.components[{component}].cloudFormation.allow");
    let mut replaced = Vec::new();
    let mut deleted = Vec::new();
    for change in changes {
        let holds_nothing = HOLD_NOTHING.contains(&change.of.resource_type.as_str());
        if holds_nothing || own.contains(&change.path) {
            continue;
        }
        match change.action() {
            "Replace" | "MayReplace" if !change.is_allowed_by(&allow.replacement) => {
                replaced.push(change);
            }
            "Delete" if !change.is_allowed_by(&allow.deletion) => deleted.push(change),
            _ => {}
        }
    }
    let mut reasons = Vec::new();
    if !replaced.is_empty() {
        let one = |change: &&Change<'_>| {
            let causes = match change.causes().as_slice() {
                [] => String::new(),
                causes => format!(" because of {}", causes.join(" and ")),
            };
            let how = if change.action() == "MayReplace" {
                ", possibly,"
            } else {
                ""
            };
            format!("{} ({}){how}{causes}", change.path, change.of.resource_type)
        };
        reasons.push(asked(
            "replace",
            "replacement",
            &field,
            replaced.iter().map(one),
            &replaced,
        ));
    }
    if !deleted.is_empty() {
        let one = |change: &&Change<'_>| format!("{} ({})", change.path, change.of.resource_type);
        reasons.push(asked(
            "delete",
            "deletion",
            &field,
            deleted.iter().map(one),
            &deleted,
        ));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// How many resources a message names.
const NAMED: usize = 5;

fn asked(
    verb: &str,
    list: &str,
    field: &str,
    named: impl Iterator<Item = String>,
    changes: &[&Change<'_>],
) -> String {
    let mut named: Vec<String> = named.take(NAMED).collect();
    if changes.len() > NAMED {
        named.push(format!("{} more", changes.len() - NAMED));
    }
    let ids: Vec<&str> = changes
        .iter()
        .take(NAMED)
        .map(|it| it.of.logical_id.as_str())
        .collect();
    format!(
        "it would {verb} {}; if that is intended, set {field}.{list} to [{}]",
        named.join(", "),
        ids.join(", ")
    )
}

/// The changes as in plans, those that lose something first.
pub fn planned(want: &DesiredStack, changes: &[Change<'_>]) -> Vec<PlannedChange> {
    let rank = |change: &&Change<'_>| match change.action() {
        "Replace" | "Delete" => 0,
        "MayReplace" => 1,
        _ => 2,
    };
    let mut ordered: Vec<&Change<'_>> = changes.iter().collect();
    ordered.sort_by_key(rank);
    let mut planned = Vec::new();
    for it in ordered {
        let resource = format!("{}/{} ({})", want.stack_name, it.path, it.of.resource_type);
        let of = |field: Option<&str>, values| {
            change(&want.component, it.action(), &resource, field, values)
        };
        if it.of.details.is_empty() {
            planned.push(of(None, (None, None)));
        }
        // AWS lists a property once for each of its causes.
        let mut properties = BTreeSet::new();
        for detail in &it.of.details {
            let after = detail.after.clone();
            let after = after.or_else(|| Some(known_later(detail)).filter(|_| detail.is_dynamic));
            properties.insert((&detail.path, &detail.before, after));
        }
        for (path, before, after) in properties {
            planned.push(of(Some(path), (before.clone(), after)));
        }
    }
    planned
}

fn known_later(detail: &PropertyChange) -> String {
    match &detail.cause {
        Some(cause) => format!("known after the change of {cause}"),
        None => "known after the change".to_owned(),
    }
}

/// The changes in one phrase: `1 Replace (Db), 2 Create, 3 Update`.
pub fn counted(changes: &[Change<'_>]) -> String {
    let mut by_action: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for change in changes {
        by_action
            .entry(change.action())
            .or_default()
            .push(&change.path);
    }
    let one = |verb: &str, action: &str| {
        let paths = by_action.get(action)?;
        let loses = matches!(action, "Replace" | "MayReplace" | "Delete");
        Some(match paths.as_slice() {
            [path] => format!("{verb} {path}"),
            [one, two] if loses => format!("{verb} {one} and {two}"),
            [one, two, rest @ ..] if loses => {
                format!("{verb} {one}, {two} and {} more", rest.len())
            }
            paths => format!("{verb} {} resources", paths.len()),
        })
    };
    let actions = [
        ("replace", "Replace"),
        ("possibly replace", "MayReplace"),
        ("delete", "Delete"),
        ("create", "Create"),
        ("import", "Import"),
        ("update", "Update"),
        ("give up", "Keep"),
    ];
    let phrases: Vec<String> = actions
        .into_iter()
        .filter_map(|(verb, action)| one(verb, action))
        .collect();
    phrases.join(", ")
}
