//! Drift of a function: its differences from what the last run left.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    desired::DesiredFunction,
    function::{Alias, Function},
    observed::Read,
    plan::{Values, differing},
    tags,
    versions::recorded,
    view::View,
};
use crate::{
    api::v1alpha1::{Difference, ReleaseRef},
    domain::workload::change::difference,
};

/// The reads of a drift check: at most two.
pub fn drift_reads(want: &DesiredFunction, view: View<'_>) -> Vec<Read> {
    let (name, observed) = (want.function_name.clone(), view.observed);
    let mut reads = Vec::new();
    if !observed.functions.contains_key(&name) {
        reads.push(Read::Function { name: name.clone() });
    }
    if !observed.aliases.contains_key(&name) {
        let alias = want.alias.clone();
        reads.push(Read::Alias { name, alias });
    }
    reads
}

/// The differences. `left` is the version that the run left in the alias. If it is unknown, the version
/// recorded for the Release counts; without one, the alias is not checked.
pub fn drift(
    want: &DesiredFunction,
    left: Option<&str>,
    release: &ReleaseRef,
    view: View<'_>,
) -> Vec<Difference> {
    let observed = view.observed;
    let name = &want.function_name;
    let Some(function) = observed.functions.get(name) else {
        return Vec::new();
    };
    let Some(function) = function else {
        let values = (Some("there".to_owned()), Some("gone".to_owned()));
        return vec![difference(&want.component, name, None, values)];
    };
    let mut found = of_latest(want, function, view);
    let version = left
        .map(str::to_owned)
        .or_else(|| recorded(want, release, &view.status.versions));
    if let (Some(version), Some(alias)) = (version, observed.aliases.get(name)) {
        found.extend(of_alias(want, &version, alias.as_ref()));
    }
    found
}

fn of_latest(want: &DesiredFunction, function: &Function, view: View<'_>) -> Vec<Difference> {
    let name = &want.function_name;
    let versioned = differing(want.into(), function.into());
    let dated = |(field, values): (String, Values)| Difference {
        changed_at: function.last_modified.map(Time),
        ..difference(&want.component, name, Some(&field), values)
    };
    let tags = tags::changes(want, function, view).into_iter();
    let tags = tags.map(|(key, (now, wanted))| {
        let field = format!("tags.{key}");
        difference(&want.component, name, Some(&field), (wanted, now))
    });
    versioned.into_iter().map(dated).chain(tags).collect()
}

fn of_alias(want: &DesiredFunction, version: &str, alias: Option<&Alias>) -> Vec<Difference> {
    let resource = format!("{}:{}", want.function_name, want.alias);
    let of = |field, values| difference(&want.component, &resource, field, values);
    let Some(alias) = alias else {
        let values = (Some("there".to_owned()), Some("gone".to_owned()));
        return vec![of(None, values)];
    };
    let mut found = Vec::new();
    if alias.version != version {
        let values = (Some(version.to_owned()), Some(alias.version.clone()));
        found.push(of(Some("version"), values));
    }
    if !alias.weights.is_empty() {
        let values = (None, Some(shares(&alias.weights)));
        found.push(of(Some("weights"), values));
    }
    found
}

/// `10 % to 4`.
pub(super) fn shares(weights: &BTreeMap<String, f64>) -> String {
    let share = |(version, share): (&String, &f64)| format!("{:.0} % to {version}", share * 100.0);
    let shares: Vec<String> = weights.iter().map(share).collect();
    shares.join(", ")
}
