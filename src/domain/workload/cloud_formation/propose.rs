//! Change sets as proposals: created for a plan, compared, and deleted once nothing needs them.

use std::collections::BTreeSet;

use super::{
    action::{Action, ChangeSetToCreate, TemplateText},
    begin::{CHANGE_SET_PREFIX, INVENTORY, left, live_reads, read, unchanged},
    changes::{self, Change, Incomplete, changes_nothing},
    desired::DesiredStack,
    digests::TemplateDigests,
    observed::{Observed, Source, What},
    repair::repair,
    stack::{ChangeSet, DeclaredParameter, ParameterValue, Stack},
    state::{State, change_set_name, existing, is_change_set_pending, state, updatable},
    view::{Next, View},
    waits,
};
use crate::{
    api::v1alpha1::{Proposal, ReleaseRef},
    domain::{
        digest::Sha256,
        ownership::{Claim, Owner},
    },
};

/// The change set that the plan needs: the one on record with what is known of it now, or a new one with this
/// number.
pub fn proposal(
    want: &DesiredStack,
    release: &ReleaseRef,
    serial: i64,
    view: View<'_>,
) -> Option<Proposal> {
    let observed = view.observed;
    let name = &want.stack_name;
    if want.waits_for_others() || !live_reads(name, observed).is_empty() {
        return None;
    }
    if unchanged(want, left(want, view), view).is_some() {
        return None;
    }
    let stack = updatable(observed.stack(name)?);
    let inputs = inputs(want, stack, observed)?;
    let on_record = view.status.proposal(&want.component, release);
    // Once the run executes it, the stack differs from what it was made for. Another attempt needs a new one.
    let run = view.status.run.as_ref();
    let is_running =
        run.is_some_and(|it| it.finished_at.is_none() && it.release.uid == release.uid);
    if let Some(it) = on_record.filter(|_| is_running)
        && stack.is_some_and(|stack| is_of(stack.change_set.as_deref(), &it.name))
    {
        return Some(it.clone());
    }
    let on_record = on_record.filter(|it| it.inputs == inputs);
    if let Some(it) = on_record {
        match observed.change_set(name, &it.name) {
            None => return Some(it.clone()),
            // It is yet to be created, or was deleted because it changes nothing.
            Some(None) if it.planned.is_none() || changes_nothing(it) => return Some(it.clone()),
            Some(Some(found)) if is_usable(found) => {
                let planned = planned(found, name, observed);
                return Some(Proposal {
                    planned: planned.or_else(|| it.planned.clone()),
                    ..it.clone()
                });
            }
            Some(_) => {}
        }
    }
    Some(Proposal {
        component: want.component.clone(),
        kind: INVENTORY.to_owned(),
        resource: name.clone(),
        name: format!(
            "{CHANGE_SET_PREFIX}{}-{serial}-{}",
            id(release),
            &inputs[..12]
        ),
        serial,
        release: release.clone(),
        inputs,
        planned: None,
    })
}

/// The beginning of the Release's uid, in characters that the name of a change set may have.
fn id(release: &ReleaseRef) -> String {
    Sha256::of(release.uid.as_bytes()).short()
}

/// Digest of everything that CloudFormation computes the changes from.
fn inputs(want: &DesiredStack, stack: Option<&Stack>, observed: &Observed) -> Option<String> {
    let template = observed.source_digests(&want.source)?;
    let live = stack.map(|stack| (&stack.id, &stack.change_set, &stack.parameters, &stack.tags));
    let now = observed
        .template(&want.stack_name)
        .filter(|_| stack.is_some());
    let now = now.map(|now| now.exact);
    let inputs = (
        template.exact,
        &want.settings_on(stack),
        want.imports_existing,
        live,
        now,
    );
    Some(Sha256::of_json(&inputs).to_string())
}

/// Whether the ARN is that of the change set with this name.
pub fn is_of(arn: Option<&str>, name: &str) -> bool {
    arn.and_then(change_set_name) == Some(name)
}

/// Whether the change set is computed, being computed or without changes; not if it failed or is outdated.
fn is_usable(found: &ChangeSet) -> bool {
    let executable = [
        "AVAILABLE",
        "UNAVAILABLE",
        "EXECUTE_IN_PROGRESS",
        "EXECUTE_COMPLETE",
    ];
    match found.status.as_str() {
        "CREATE_COMPLETE" => executable.contains(&found.execution.as_str()),
        "FAILED" => true,
        _ => is_change_set_pending(found),
    }
}

/// The digest of the changes, once they are known.
fn planned(found: &ChangeSet, stack: &str, observed: &Observed) -> Option<String> {
    if found.is_empty() {
        return Some(changes::NONE.to_owned());
    }
    let changes = known(found, stack, observed)?;
    Some(changes::digest(&changes).to_string())
}

/// The changes, once they are known.
fn known<'a>(found: &'a ChangeSet, stack: &str, observed: &'a Observed) -> Option<Vec<Change<'a>>> {
    if found.status != "CREATE_COMPLETE" {
        return None;
    }
    changes::collect(found, stack, observed).ok()
}

/// The changes of the change set on record, once they are known.
pub fn changes_of<'a>(
    want: &DesiredStack,
    release: &ReleaseRef,
    view: View<'a>,
) -> Option<Vec<Change<'a>>> {
    let proposal = view.status.proposal(&want.component, release)?;
    let found = view
        .observed
        .change_set(&want.stack_name, &proposal.name)
        .flatten();
    match found {
        Some(found) if !found.is_empty() => known(found, &want.stack_name, view.observed),
        _ => changes_nothing(proposal).then(Vec::new),
    }
}

/// The next read or action until CloudFormation has computed the change set.
pub fn propose(want: &DesiredStack, proposal: &Proposal, view: View<'_>) -> Next {
    let (name, observed) = (&want.stack_name, view.observed);
    let stack = observed.stack(name).flatten();
    if let Some(first) = stack.and_then(|stack| repair(want, proposal, stack, view)) {
        return first;
    }
    let is_executed =
        existing(stack).is_some_and(|stack| is_of(stack.change_set.as_deref(), &proposal.name));
    if is_executed || changes_nothing(proposal) {
        return Next::Ready;
    }
    let Some(found) = observed.change_set(name, &proposal.name) else {
        return Next::Read(read(name, What::ChangeSet(proposal.name.clone())));
    };
    let Some(found) = found else {
        if let Some(stack) = stack.filter(|stack| state(&stack.status) == State::Working) {
            return Next::Wait(waits::for_other(name, stack));
        }
        let Some(template) = observed.source_digests(&want.source) else {
            return Next::Read(read(name, What::Source(Box::new(want.source.clone()))));
        };
        let new = create(want, proposal, template, existing(stack), observed);
        return Next::Act(Action::CreateChangeSet(Box::new(new)));
    };
    if is_change_set_pending(found) {
        return Next::Wait(waits::for_change_set(name));
    }
    if found.is_empty() {
        return Next::Ready;
    }
    if found.status != "CREATE_COMPLETE" {
        let reason = found.reason.as_deref().unwrap_or("AWS gives no reason");
        return Next::Fail(format!("stack {name} can't be changed: {reason}"));
    }
    match changes::collect(found, name, observed) {
        Err(incomplete) => next_of(name, incomplete),
        Ok(changes) => {
            let own = BTreeSet::new();
            match changes::refusal(&changes, &want.allow, &own, &want.component) {
                Some(why) => Next::Fail(format!("stack {name} can't be changed: {why}")),
                None => Next::Ready,
            }
        }
    }
}

/// What an incomplete list of changes needs.
pub fn next_of(stack: &str, incomplete: Incomplete) -> Next {
    match incomplete {
        Incomplete::Unread(arn) => Next::Read(read(stack, What::ChangeSet(arn))),
        Incomplete::Pending(_) => Next::Wait(waits::for_change_set(stack)),
        Incomplete::Failed(why) => Next::Fail(format!("stack {stack} can't be changed: {why}")),
    }
}

fn create(
    want: &DesiredStack,
    proposal: &Proposal,
    template: TemplateDigests,
    stack: Option<&Stack>,
    observed: &Observed,
) -> ChangeSetToCreate {
    ChangeSetToCreate {
        name: proposal.name.clone(),
        creates: stack.is_none(),
        systems_manager_parameters: systems_manager_parameters(want, stack, observed),
        template: TemplateText::Exact(template.exact),
        settings: want.settings_on(stack),
        imports_existing: want.imports_existing,
    }
}

/// The names of the parameters in Systems Manager whose values the template would use.
fn systems_manager_parameters(
    want: &DesiredStack,
    stack: Option<&Stack>,
    observed: &Observed,
) -> Vec<String> {
    let Some(Source::Template { summary, .. }) = observed.source(&want.source) else {
        return Vec::new();
    };
    let declared = summary.parameters.iter();
    let named = declared.filter(|(_, it)| it.parameter_type.starts_with("AWS::SSM::Parameter::"));
    let name_in = |(name, declared): (&String, &DeclaredParameter)| match want
        .settings
        .parameters
        .get(name)
    {
        Some(ParameterValue::Value(value)) => Some(value.clone()),
        Some(ParameterValue::Previous) => stack?.parameters.get(name).cloned(),
        None => declared.default.clone(),
    };
    named.filter_map(name_in).collect()
}

/// The next read or action until the change set is gone, and the stack that AWS made only for it.
///
/// AWS sometimes answers with an earlier state. So a change set that is not found is deleted by its name, which AWS
/// accepts if there is none, and counts as gone only after that.
pub fn withdraw(proposal: &Proposal, owner: &Owner, observed: &Observed) -> Next {
    let name = &proposal.resource;
    let Some(stack) = observed.stack(name) else {
        return Next::Read(read(name, What::Stack));
    };
    let is_review = stack.is_some_and(|stack| state(&stack.status) == State::Review);
    if let Some(stack) = stack.filter(|_| !is_review)
        && matches!(owner.claim(stack.ownership()), Claim::Others(_))
    {
        return Next::Ready;
    }
    // AWS removes a change set that it has executed, or keeps it as history.
    if stack.is_some_and(|stack| is_of(stack.change_set.as_deref(), &proposal.name)) {
        return Next::Ready;
    }
    let Some(found) = observed.change_set(name, &proposal.name) else {
        return Next::Read(read(name, What::ChangeSet(proposal.name.clone())));
    };
    if found.is_some_and(is_change_set_pending) {
        return Next::Wait(waits::for_change_set(name));
    }
    if found.is_some_and(|found| found.execution.starts_with("EXECUTE_")) {
        return Next::Ready;
    }
    // Nothing else is to create the stack.
    if let Some(stack) = stack.filter(|_| is_review)
        && stack.pending.iter().all(|it| *it == proposal.name)
    {
        return Next::Act(Action::Delete {
            stack: stack.id.clone(),
            token: proposal.name.clone(),
        });
    }
    match found {
        None if observed.has_asked_for_deletion(&proposal.name) => Next::Ready,
        None => Next::Act(Action::DeleteChangeSet {
            change_set: proposal.name.clone(),
        }),
        Some(found) => Next::Act(Action::DeleteChangeSet {
            change_set: found.id.clone(),
        }),
    }
}
