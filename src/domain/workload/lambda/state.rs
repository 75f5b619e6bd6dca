//! Predicates on the state of functions and aliases.

use super::{
    function::{Alias, AliasTarget, Function, FunctionState, LastUpdate},
    observed::{Observed, Read},
    view::{Next, View},
};
use crate::{api::v1alpha1::ReleaseRef, domain::ownership::CREATED_FOR};

/// Whether the run of this Release created the function.
pub fn was_created_for(function: &Function, release: &ReleaseRef) -> bool {
    function.tags.get(CREATED_FOR) == Some(&release.uid)
}

/// Lambda gradually moves an alias with provisioned concurrency: until the new version has the concurrency,
/// Lambda gives the alias a weight for the old version. `to` is the routing that was requested, with all
/// traffic on one version.
/// <https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html>
pub fn reallocating(
    name: &str,
    alias: &str,
    now: &Alias,
    to: &AliasTarget,
    view: View<'_>,
) -> Option<Next> {
    let is_possible = now.version == to.version && to.weights.is_empty() && now.weights.len() == 1;
    if !is_possible {
        return None;
    }
    let (name, alias) = (name.to_owned(), alias.to_owned());
    match view.observed.provisioned.get(&name) {
        None => Some(Next::Read(Read::Provisioned { name, alias })),
        Some(found) => found.as_ref().map(|provisioned| {
            let (version, units) = (&to.version, provisioned.requested);
            match &provisioned.failure {
                None => Next::wait(format!(
                    "version {version} of {name} to have the provisioned concurrency ({units}) of alias {alias}"
                )),
                // Right after the move, the failure may be that of the move before.
                Some(_) if view.pass.has_moved => {
                    Next::wait(format!("a fresh read of the provisioned concurrency of {name}"))
                }
                Some(why) => Next::Fail(format!(
                    "alias {alias} of function {name}: Lambda could not provide its provisioned concurrency \
                     ({units}) for version {version}: {why}"
                )),
            }
        }),
    }
}

pub fn serves(alias: &Alias, version: &str) -> bool {
    alias.version == version && alias.weights.is_empty()
}

pub fn settling(name: &str, function: &Function) -> Option<Next> {
    if function.state == FunctionState::Pending {
        return Some(Next::wait(format!("{name} to become Active")));
    }
    (function.last_update == LastUpdate::InProgress)
        .then(|| Next::wait(format!("the update of {name} to settle")))
}

pub fn broken(function: &Function) -> Option<String> {
    match (&function.state, &function.last_update) {
        (FunctionState::Failed(why), _) => Some(format!("Lambda could not start it: {why}")),
        (_, LastUpdate::Failed(why)) => Some(format!("Lambda could not apply the update: {why}")),
        _ => None,
    }
}

/// Why the update of `$LATEST` in this phase of the run failed. An earlier failure does not count: it must
/// not prevent an update.
pub fn update_failed(function: &Function, name: &str, observed: &Observed) -> Option<String> {
    let ours = observed.has_updated(name, &function.revision_id);
    broken(function).filter(|_| ours)
}
