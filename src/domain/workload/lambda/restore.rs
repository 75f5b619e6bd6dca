//! Restore: what stood before stands again; and deletion.

use super::{
    action::Action,
    function::{Alias, Function, FunctionState},
    observed::{Observed, Read},
    snapshot::{FunctionSnapshot, LatestSnapshot},
    state::{reallocating, settling, update_failed, was_created_for},
    view::{Next, View},
};
use crate::{api::v1alpha1::RunStatus, domain::ownership::Owner};

/// What stood before stands again: traffic first, then `$LATEST`. What Lambda can't provide for the alias does
/// not hold up the rest.
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
            // Somebody else's, or there before: it was refused for that reason and never touched.
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

/// The alias is where it was.
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
            // Lambda splits no traffic of an alias with provisioned concurrency, so what a run has split
            // has none.
            let was_split = journal
                .traffic
                .as_ref()
                .is_some_and(|traffic| traffic.weight < 100);
            let revision_id = now.revision_id.clone();
            match reallocating(name, &alias, now, &to, view).filter(|_| !was_split) {
                // The former version had it: there is nothing better than to wait for that.
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
        // One that the run did not make was there before, whatever AWS said then, or is somebody else's.
        (Some(now), None) if is_of_run(now, component, journal) => {
            Next::Act(Action::DeleteAlias { alias })
        }
        (None, None) => gone(&format!("{name}:{alias}"), observed),
        (Some(_), _) => Next::Ready,
    }
}

/// `$LATEST` has the code, settings and tags that it had.
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

/// Whether the alias sends its traffic to what the run published.
fn is_of_run(alias: &Alias, component: &str, journal: &RunStatus) -> bool {
    let mut components = journal.components.iter();
    components.any(|one| one.name == component && one.version.as_ref() == Some(&alias.version))
}

/// It is not there, if another look finds so as well.
fn gone(what: &str, observed: &Observed) -> Next {
    if observed.is_absence_confirmed(what) {
        Next::Ready
    } else {
        Next::wait(format!("a confirmation that {what} does not exist"))
    }
}

/// The function is deleted, with its versions and aliases.
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
