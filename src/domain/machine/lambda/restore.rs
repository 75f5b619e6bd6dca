//! Restore: what stood before stands again; and deletion.

use super::{effect, reallocating, settling, update_failed, was_created_for};
use crate::{
    api::v1alpha1::RunStatus,
    domain::{
        function::{Alias, Function, FunctionState},
        machine::{
            next::Next,
            observation::{Action, Observation, Read},
            snapshot::{FunctionSnapshot, LatestSnapshot},
        },
        ownership::Owner,
    },
};

/// What stood before stands again: traffic first, then `$LATEST`. What Lambda can't provide for the alias does
/// not hold up the rest.
pub fn restore(
    component: &str,
    then: &FunctionSnapshot,
    journal: &RunStatus,
    owner: &Owner,
    seen: &Observation,
) -> Next {
    let effect = |action| effect(component, &then.function_name, action);
    let name = &then.function_name;
    let Some(function) = seen.functions.get(name) else {
        return Next::Read(Read::Function { name: name.clone() });
    };
    let (function, before) = match (function, &then.latest) {
        (None, None) => return gone(name, seen),
        (None, Some(_)) => {
            return Next::Fail(format!(
                "function {name} was deleted by someone else and can't be put back"
            ));
        }
        (Some(function), None)
            if owner.refusal(&function.tags).is_some()
                || !was_created_for(function, &journal.release) =>
        {
            // Somebody else's, or there before: it was refused for that reason and never touched.
            return Next::Ready;
        }
        (Some(function), None) => {
            return match settling(name, function) {
                Some(wait) => wait,
                None => Next::Act(effect(Action::DeleteFunction)),
            };
        }
        (Some(function), Some(before)) => (function, before),
    };
    let traffic = alias(component, then, journal, seen);
    match traffic {
        Next::Ready => latest(component, name, function, before, seen),
        Next::Wait(_) | Next::Stuck(_) => match latest(component, name, function, before, seen) {
            Next::Ready => traffic,
            next => next,
        },
        next => next,
    }
}

/// The alias is where it was.
fn alias(
    component: &str,
    then: &FunctionSnapshot,
    journal: &RunStatus,
    seen: &Observation,
) -> Next {
    let (name, alias) = (&then.function_name, then.alias_name.clone());
    let act = |action| Next::Act(effect(component, name, action));
    let Some(now) = seen.aliases.get(name) else {
        return Next::Read(Read::Alias {
            name: name.clone(),
            alias,
        });
    };
    match (now, &then.alias) {
        (Some(now), Some(then)) if !then.is(now) => {
            let to = then.target();
            // Lambda splits no traffic of an alias with provisioned concurrency, so what a run has split
            // has none.
            let was_split = journal
                .traffic
                .as_ref()
                .is_some_and(|traffic| traffic.weight < 100);
            let revision_id = now.revision_id.clone();
            match reallocating(name, &alias, now, &to, seen).filter(|_| !was_split) {
                // The former version had it: there is nothing better than to wait for that.
                Some(Next::Fail(why)) => Next::Stuck(why),
                Some(next) => next,
                None => act(Action::UpdateAlias {
                    alias,
                    to,
                    revision_id,
                }),
            }
        }
        (None, Some(then)) => act(Action::CreateAlias {
            alias,
            to: then.target(),
        }),
        // One that the run did not make was there before, whatever AWS said then, or is somebody else's.
        (Some(now), None) if is_of_run(now, component, journal) => {
            act(Action::DeleteAlias { alias })
        }
        (None, None) => gone(&format!("{name}:{alias}"), seen),
        (Some(_), _) => Next::Ready,
    }
}

/// `$LATEST` has the code, settings and tags that it had.
fn latest(
    component: &str,
    name: &str,
    function: &Function,
    before: &LatestSnapshot,
    seen: &Observation,
) -> Next {
    let effect = |action| effect(component, name, action);
    if let Some(wait) = settling(name, function) {
        return wait;
    }
    let Some(code_before) = before.digest() else {
        return Next::Fail(format!(
            "the snapshot of function {name} has no digest of its code"
        ));
    };
    if let Some(why) = update_failed(function, name, seen) {
        return Next::Fail(format!("function {name}: {why}"));
    }
    if function.code_sha256 != code_before || function.architecture != before.architecture {
        return Next::Act(match seen.known.packages.get(&code_before) {
            None => effect(Action::FindPackage(code_before)),
            Some(code) => effect(Action::UpdateCode {
                architecture: before.architecture.clone(),
                code: code.clone(),
                revision_id: function.revision_id.clone(),
            }),
        });
    }
    if function.configuration != before.configuration {
        return Next::Act(effect(Action::UpdateConfiguration {
            configuration: Box::new(before.configuration.clone()),
            revision_id: function.revision_id.clone(),
        }));
    }
    if function.tags != before.tags {
        return Next::Act(effect(Action::SetTags {
            arn: function.arn.clone(),
            current: function.tags.clone(),
            wanted: before.tags.clone(),
        }));
    }
    Next::Ready
}

/// Whether the alias sends its traffic to what the run published.
fn is_of_run(alias: &Alias, component: &str, journal: &RunStatus) -> bool {
    let mut components = journal.components.iter();
    components.any(|one| one.name == component && one.version.as_ref() == Some(&alias.version))
}

/// It is not there, if another look finds so as well.
fn gone(what: &str, seen: &Observation) -> Next {
    if seen.is_surely_missing(what) {
        Next::Ready
    } else {
        Next::Wait(format!("another look at {what}, which was not found"))
    }
}

/// The function is deleted, with its versions and aliases.
pub fn delete(component: &str, name: &str, owner: &Owner, seen: &Observation) -> Next {
    match seen.functions.get(name) {
        None => Next::Read(Read::Function {
            name: name.to_owned(),
        }),
        Some(None) => gone(name, seen),
        Some(Some(function)) if owner.refusal(&function.tags).is_some() => Next::Ready,
        Some(Some(function)) if function.state == FunctionState::Pending => {
            Next::Wait(format!("{name} to settle before it is deleted"))
        }
        Some(Some(_)) => Next::Act(effect(component, name, Action::DeleteFunction)),
    }
}
