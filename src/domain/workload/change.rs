//! Changes and differences in human-readable form.

use crate::{
    api::v1alpha1::{Difference, PlannedChange},
    domain::{digest::Sha256, outcome::shorten},
};

/// The most characters of one value.
const VALUE: usize = 512;

/// The part of a plan that concerns one component.
pub struct Part {
    /// A short summary.
    pub summary: String,
    /// The changes.
    pub changes: Vec<PlannedChange>,
    /// Digest of the desired state.
    pub wanted: Sha256,
    /// Digest of the live state.
    pub live: Sha256,
}

/// One change, with its values shortened to the limit.
pub fn change(
    component: &str,
    action: &str,
    resource: &str,
    field: Option<&str>,
    (from, to): (Option<String>, Option<String>),
) -> PlannedChange {
    let fitting = |value: Option<String>| value.map(|value| shorten(&value, VALUE));
    PlannedChange {
        component: component.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        field: field.map(|field| shorten(field, VALUE)),
        from: fitting(from),
        to: fitting(to),
    }
}

/// A summary of a component's changes.
pub fn described(component: &str, changes: &[PlannedChange]) -> String {
    if changes.is_empty() {
        return format!("{component}: no change");
    }
    let is_alias = |change: &&PlannedChange| change.action == "Create" && change.field.is_none();
    let created = changes.iter().find(is_alias);
    let created = created.map(|alias| format!("create alias {}", alias.resource));
    let fields: Vec<&str> = changes
        .iter()
        .filter_map(|change| change.field.as_deref())
        .collect();
    if fields.is_empty() {
        let what = created.unwrap_or_else(|| "move traffic".to_owned());
        return format!("{component}: will {what}");
    }
    let adopted = changes.iter().any(|change| change.action == "Adopt");
    let how = if adopted {
        "will adopt and change"
    } else {
        "will change"
    };
    let also = created.map_or(String::new(), |what| format!(" and {what}"));
    format!("{component}: {how} {}{also}", fields.join(", "))
}

/// One difference, with its values shortened to the limit.
pub fn difference(
    component: &str,
    resource: &str,
    field: Option<&str>,
    (expected, found): (Option<String>, Option<String>),
) -> Difference {
    let fitting = |value: Option<String>| value.map(|value| shorten(&value, VALUE));
    Difference {
        component: component.to_owned(),
        resource: shorten(resource, 1280),
        field: field.map(|field| shorten(field, VALUE)),
        expected: fitting(expected),
        found: fitting(found),
        changed_at: None,
    }
}

/// A text that names at most this many of the differences.
pub fn told(differences: &[Difference], most: usize) -> String {
    let one = |it: &Difference| {
        let Some(field) = &it.field else {
            let what = if it.expected.is_some() {
                "gone"
            } else {
                "still there"
            };
            return format!("{} is {what}", it.resource);
        };
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let when = it.changed_at.as_ref();
        let when = when.map_or_else(String::new, |at| format!(" (changed at {:.0})", at.0));
        format!(
            "{field} of {} is {}, not {}{when}",
            it.resource,
            word(&it.found),
            word(&it.expected)
        )
    };
    let mut words: Vec<String> = differences.iter().take(most).map(one).collect();
    if differences.len() > most {
        words.push(format!("{} more", differences.len() - most));
    }
    words.join("; ")
}
