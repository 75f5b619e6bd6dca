//! Promote: the alias routes a share of the traffic to the new version.

use std::collections::BTreeMap;

use super::{
    action::Action,
    desired::DesiredFunction,
    function::{Alias, AliasTarget},
    observed::Read,
    snapshot::{AliasSnapshot, FunctionSnapshot},
    state::reallocating,
    view::{Next, View},
};
use crate::{
    api::v1alpha1::{ComponentStatus, Intent},
    domain::workload::protocol::Shift,
};

/// The routing of the alias at a weight. Unless the alias routes to another version, all traffic goes to the
/// new one.
fn split(version: &str, before: Option<&AliasSnapshot>, weight: i32) -> AliasTarget {
    let old = before
        .map(|before| before.version.as_str())
        .filter(|old| *old != version && weight < 100);
    match old {
        None => AliasTarget {
            version: version.to_owned(),
            weights: BTreeMap::new(),
            description: String::new(),
        },
        Some(old) => AliasTarget {
            version: old.to_owned(),
            weights: [(version.to_owned(), f64::from(weight) / 100.0)].into(),
            description: String::new(),
        },
    }
}

/// Whether this function's traffic can move in steps.
pub fn splits(version: &str, before: &FunctionSnapshot) -> bool {
    let old = before.alias.as_ref().map(|alias| alias.version.as_str());
    old.is_some_and(|old| old != version)
}

/// The next action until the alias routes the new version its share.
pub fn promote(
    want: &DesiredFunction,
    status: &ComponentStatus,
    shift: Shift,
    view: View<'_>,
) -> Next {
    let name = &want.function_name;
    let observed = view.observed;
    let Some(version) = &status.version else {
        return Next::Fail(format!(
            "the Target's status has no published version of function {name}"
        ));
    };
    let before = view.before.and_then(|before| before.alias.as_ref());
    let to = split(version, before, shift.weight);
    let from = shift
        .previous_weight
        .map(|weight| split(version, before, weight));
    let alias = want.alias.clone();
    match observed.aliases.get(name) {
        Some(Some(now)) if sends(now, &to) => Next::Ready,
        Some(Some(now)) if let Some(next) = reallocating(name, &alias, now, &to, view) => next,
        Some(now) => match (now, before) {
            (None, None) => Next::Act(Action::CreateAlias { alias, to }),
            (Some(now), then)
                if from.as_ref().map_or_else(
                    || then.is_some_and(|then| then.is(now)),
                    |from| sends(now, from),
                ) =>
            {
                Next::Act(Action::UpdateAlias {
                    alias,
                    to,
                    revision_id: now.revision_id.clone(),
                })
            }
            (Some(now), _) => Next::Fail(format!(
                "alias {alias} of function {name} was moved externally to version {} during the rollout",
                described(now)
            )),
            (None, Some(_)) => Next::Fail(format!(
                "alias {alias} of function {name} was deleted externally during the rollout"
            )),
        },
        // If this process wrote the journal, the alias is as it was read then: otherwise AWS rejects the
        // update because of its RevisionId.
        None if view.pass.is_journal_fresh && from.is_none() && !shift.is_confirmed => {
            match &status.alias_revision_id {
                Some(revision) => Next::Act(Action::UpdateAlias {
                    alias,
                    to,
                    revision_id: revision.clone(),
                }),
                None => Next::Act(Action::CreateAlias { alias, to }),
            }
        }
        None => Next::Read(Read::Alias {
            name: name.clone(),
            alias,
        }),
    }
}

/// The read of an alias that was not observed recently: it may have been modified externally since.
pub fn last_read(want: &DesiredFunction, view: View<'_>) -> Option<Read> {
    let name = want.function_name.clone();
    let alias = want.alias.clone();
    view.observed
        .is_alias_stale(&name, view.pass.began)
        .then_some(Read::Alias { name, alias })
}

/// The intent of a shift, with a value that identifies its effect.
pub fn move_intent(want: &DesiredFunction, status: &ComponentStatus, weight: i32) -> Intent {
    let operation = if status.alias_revision_id.is_some() {
        "UpdateAlias"
    } else {
        "CreateAlias"
    };
    let version = status.version.as_deref().unwrap_or_default();
    Intent {
        component: want.component.clone(),
        operation: operation.to_owned(),
        resource: format!("{}:{}", want.function_name, want.alias),
        result: Some(match weight {
            100 => version.to_owned(),
            part => format!("{version} at {part} %"),
        }),
    }
}

/// Whether the alias has this routing. AWS returns weights as decimals.
fn sends(alias: &Alias, to: &AliasTarget) -> bool {
    let close = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-6;
    alias.version == to.version
        && alias.weights.keys().eq(to.weights.keys())
        && alias.weights.values().zip(to.weights.values()).all(close)
}

fn described(alias: &Alias) -> String {
    let weights = alias.weights.iter();
    let shares: Vec<String> = weights
        .map(|(version, share)| format!("{:.0} % to {version}", share * 100.0))
        .collect();
    if shares.is_empty() {
        alias.version.clone()
    } else {
        format!("{} ({})", alias.version, shares.join(", "))
    }
}
