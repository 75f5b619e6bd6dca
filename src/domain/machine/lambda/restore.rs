//! Restore: what stood before stands again; and deletion.

use super::{effect, settling};
use crate::domain::{
    function::FunctionState,
    machine::{
        next::Next,
        observation::{Action, Observation, Read},
        snapshot::FunctionSnapshot,
    },
    ownership::Owner,
};

/// What stood before stands again: traffic first, then `$LATEST`.
pub fn restore(
    component: &str,
    then: &FunctionSnapshot,
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
        (Some(function), _) if owner.refusal(&function.tags).is_some() && then.latest.is_none() => {
            // Somebody else's: it was refused for that reason and never touched.
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
    let Some(alias_now) = seen.aliases.get(name) else {
        return Next::Read(Read::Alias {
            name: name.clone(),
            alias: then.alias_name.clone(),
        });
    };
    let alias = then.alias_name.clone();
    match (alias_now, &then.alias) {
        (Some(now), Some(then)) if !then.is(now) => {
            let revision_id = now.revision_id.clone();
            return Next::Act(effect(Action::UpdateAlias {
                alias,
                to: then.target(),
                revision_id,
            }));
        }
        (None, Some(then)) => {
            return Next::Act(effect(Action::CreateAlias {
                alias,
                to: then.target(),
            }));
        }
        (Some(_), None) => return Next::Act(effect(Action::DeleteAlias { alias })),
        (None, None) => {
            let gone = gone(&format!("{name}:{alias}"), seen);
            if !matches!(gone, Next::Ready) {
                return gone;
            }
        }
        _ => {}
    }
    if let Some(wait) = settling(name, function) {
        return wait;
    }
    let Some(code_before) = before.digest() else {
        return Next::Fail(format!(
            "the snapshot of function {name} has no digest of its code"
        ));
    };
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
