//! The plan for a stack.

use super::{
    begin::digest, changes, desired::DesiredStack, propose::changes_of, state::updatable,
    view::View,
};
use crate::{
    api::v1alpha1::{PlannedChange, ReleaseRef},
    domain::{
        digest::Sha256,
        ownership::Claim,
        workload::change::{Part, change},
    },
};

/// The stack's part of the plan.
pub fn plan(want: &DesiredStack, release: &ReleaseRef, view: View<'_>) -> Part {
    let name = &want.stack_name;
    let component = &want.component;
    let stack = updatable(view.observed.stack(name).flatten());
    let live = stack.map(|stack| {
        let template = view.observed.template(name).map(|it| it.exact);
        (
            &stack.id,
            template,
            &stack.parameters,
            &stack.tags,
            &stack.record,
            &stack.role,
        )
    });
    let live = Sha256::of_json(&live);
    let wanted = digest(want, view);
    let adopted = stack.filter(|stack| view.owner.claim(stack.ownership()) == Claim::Unowned);
    let adoption = adopted.map(|_| change(component, "Adopt", name, None, (None, None)));
    if want.waits_for_others() {
        let deferred = deferred(want, stack.is_some());
        let changes = adoption.into_iter().chain(deferred).collect();
        let verb = if stack.is_some() { "update" } else { "create" };
        return Part {
            summary: format!(
                "{component}: will {verb} stack {name} once outputs of other components are known"
            ),
            changes,
            wanted,
            live,
        };
    }
    let found = changes_of(want, release, view).unwrap_or_default();
    let planned = changes::planned(want, &found);
    let mut changes: Vec<_> = adoption.into_iter().chain(planned).collect();
    let computed = view
        .status
        .proposal(component, release)
        .and_then(|it| it.planned.clone());
    let is_executed = computed.as_deref().is_some_and(|it| it != changes::NONE);
    if found.is_empty() && is_executed {
        let outputs = change(component, "Update", name, Some("outputs"), (None, None));
        changes.push(outputs);
    }
    let summary = match (found.as_slice(), stack) {
        ([], Some(_)) if is_executed => format!("{component}: will change outputs of stack {name}"),
        ([], Some(_)) if adopted.is_some() => format!("{component}: will adopt stack {name}"),
        ([], Some(_)) => format!("{component}: no change"),
        (found, Some(_)) => format!("{component}: will {}", changes::counted(found)),
        (found, None) => format!(
            "{component}: will create stack {name} with {} resources",
            found.len()
        ),
    };
    Part {
        summary,
        changes,
        wanted: Sha256::of_json(&(wanted, computed)),
        live,
    }
}

/// What is known of the changes while the stack waits for outputs or exports of other components.
fn deferred(want: &DesiredStack, exists: bool) -> Vec<PlannedChange> {
    let action = if exists { "Update" } else { "Create" };
    let of = |field: &str, value: String| {
        let values = (None, Some(value));
        change(
            &want.component,
            action,
            &want.stack_name,
            Some(field),
            values,
        )
    };
    let parameters = want.deferred.iter();
    let parameters =
        parameters.map(|(name, template)| of(&format!("parameters.{name}"), template.to_string()));
    let imports = want.imports.iter();
    let imports = imports.map(|it| of("imports", format!("exports of component {}", it.component)));
    parameters.chain(imports).collect()
}
