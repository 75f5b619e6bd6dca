//! Restore and deletion of a function.

use super::{
    action::Action,
    function::{Alias, Function, FunctionState},
    observed::{Observed, Read},
    snapshot::{FunctionSnapshot, LatestSnapshot},
    state::{reallocating, settling, update_failed, was_created_for},
    view::{Next, View},
};
use crate::{api::v1alpha1::RunStatus, domain::ownership::Owner};

/// The next action until the state before the run is restored: traffic first, then `$LATEST`. Concurrency
/// that Lambda can't provide for the alias does not block the rest.
pub fn restore(
    component: &str,
    then: &FunctionSnapshot,
    journal: &RunStatus,
    view: View<'_>,
) -> Next {
    let (name, owner, observed) = (&then.function_name, view.owner, view.observed);
    let Some(function) = observed.functions.get(name) else {
        return Next::Read(Read::Function { name: name.clone() });
    };
    let (function, before) = match (function, &then.latest) {
        (None, None) => return gone(name, observed),
        (None, Some(_)) => {
            return Next::Fail(format!(
                "function {name} was deleted externally and can't be restored"
            ));
        }
        (Some(function), None)
            if owner.refusal(&function.tags).is_some()
                || !was_created_for(function, &journal.release) =>
        {
            // Another owner's, or it existed before: the run refused it and never changed it.
            return Next::Ready;
        }
        (Some(function), None) => {
            return match settling(name, function) {
                Some(wait) => wait,
                None => Next::Act(Action::DeleteFunction),
            };
        }
        (Some(function), Some(before)) => (function, before),
    };
    let traffic = alias(component, then, journal, view);
    match traffic {
        Next::Ready => latest(name, function, before, observed),
        Next::Wait(_) | Next::Stuck(_) => match latest(name, function, before, observed) {
            Next::Ready => traffic,
            next => next,
        },
        next => next,
    }
}

/// The next action until the alias is restored.
fn alias(component: &str, then: &FunctionSnapshot, journal: &RunStatus, view: View<'_>) -> Next {
    let (name, alias) = (&then.function_name, then.alias_name.clone());
    let observed = view.observed;
    let Some(now) = observed.aliases.get(name) else {
        return Next::Read(Read::Alias {
            name: name.clone(),
            alias,
        });
    };
    match (now, &then.alias) {
        (Some(now), Some(then)) if !then.is(now) => {
            let to = then.target();
            // Lambda does not split the traffic of an alias with provisioned concurrency, so an alias
            // that the run has split has none.
            let was_split = journal
                .traffic
                .as_ref()
                .is_some_and(|traffic| traffic.weight < 100);
            let revision_id = now.revision_id.clone();
            match reallocating(name, &alias, now, &to, view).filter(|_| !was_split) {
                // The former version had that concurrency, so restore waits for it.
                Some(Next::Fail(why)) => Next::Stuck(why),
                Some(next) => next,
                None => Next::Act(Action::UpdateAlias {
                    alias,
                    to,
                    revision_id,
                }),
            }
        }
        (None, Some(then)) => Next::Act(Action::CreateAlias {
            alias,
            to: then.target(),
        }),
        // An alias that the run did not create existed before, despite a stale read, or is another owner's.
        (Some(now), None) if is_of_run(now, component, journal) => {
            Next::Act(Action::DeleteAlias { alias })
        }
        (None, None) => gone(&format!("{name}:{alias}"), observed),
        (Some(_), _) => Next::Ready,
    }
}

/// The next action until `$LATEST` has its former code, settings and tags.
fn latest(name: &str, function: &Function, before: &LatestSnapshot, observed: &Observed) -> Next {
    if let Some(wait) = settling(name, function) {
        return wait;
    }
    let Some(code_before) = before.digest() else {
        return Next::Fail(format!(
            "the snapshot of function {name} has no digest of its code"
        ));
    };
    if let Some(why) = update_failed(function, name, observed) {
        return Next::Fail(format!("function {name}: {why}"));
    }
    if function.code_sha256 != code_before || function.architecture != before.architecture {
        return Next::Act(match observed.packages.get(&code_before) {
            None => Action::FindPackage(code_before),
            Some(code) => Action::UpdateCode {
                architecture: before.architecture.clone(),
                code: code.clone(),
                revision_id: function.revision_id.clone(),
            },
        });
    }
    if function.configuration != before.configuration {
        return Next::Act(Action::UpdateConfiguration {
            configuration: Box::new(before.configuration.clone()),
            revision_id: function.revision_id.clone(),
        });
    }
    if function.tags != before.tags {
        return Next::Act(Action::SetTags {
            arn: function.arn.clone(),
            current: function.tags.clone(),
            wanted: before.tags.clone(),
        });
    }
    Next::Ready
}

/// Whether the alias routes to the version that the run published.
fn is_of_run(alias: &Alias, component: &str, journal: &RunStatus) -> bool {
    let mut components = journal.components.iter();
    components.any(|one| one.name == component && one.version.as_ref() == Some(&alias.version))
}

/// Ready once a second read confirms the absence.
fn gone(what: &str, observed: &Observed) -> Next {
    if observed.is_absence_confirmed(what) {
        Next::Ready
    } else {
        Next::wait(format!("a confirmation that {what} does not exist"))
    }
}

/// The next action until the function is deleted, with its versions and aliases.
pub fn delete(name: &str, owner: &Owner, observed: &Observed) -> Next {
    match observed.functions.get(name) {
        None => Next::Read(Read::Function {
            name: name.to_owned(),
        }),
        Some(None) => gone(name, observed),
        Some(Some(function)) if owner.refusal(&function.tags).is_some() => Next::Ready,
        Some(Some(function)) if function.state == FunctionState::Pending => {
            Next::wait(format!("{name} to settle before it is deleted"))
        }
        Some(Some(_)) => Next::Act(Action::DeleteFunction),
    }
}
