//! Before a run: the reads that are needed, obstacles and the snapshot.

use std::collections::BTreeSet;

use super::{
    changes::changes_nothing,
    desired::DesiredStack,
    observed::{Observed, Read, Source, What},
    remains,
    snapshot::{FormerStack, StackSnapshot},
    stack::{ParameterValue, Settings, Stack, TemplateSummary},
    state::{State, existing, state, updatable},
    view::View,
};
use crate::{
    api::v1alpha1::{ComponentStatus, InventoryItem},
    domain::{
        digest::Sha256,
        ownership::{Adoption, Claim, is_marked},
    },
};

/// Its name in the inventory of a Target.
pub const INVENTORY: &str = "CloudFormationStack";

/// The beginning of the names of Sluice's change sets.
pub const CHANGE_SET_PREFIX: &str = "sluice-";

/// What AWS returns for a value that it does not show.
const HIDDEN: &str = "****";

/// The read of this, unless it was read already.
pub fn read(stack: &str, what: What) -> Read {
    Read {
        stack: stack.to_owned(),
        what,
    }
}

/// The reads that are needed before a run begins.
pub fn first_reads(want: &DesiredStack, view: View<'_>) -> Vec<Read> {
    let (name, observed) = (&want.stack_name, view.observed);
    let mut reads = live_reads(name, observed);
    let rolled_back = observed.stack(name).flatten();
    let rolled_back = rolled_back.filter(|stack| state(&stack.status) == State::CreationRolledBack);
    if let Some(stack) = rolled_back
        && observed.resources(name).is_none()
    {
        reads.push(read(name, What::Resources(stack.id.clone())));
    }
    if observed.source(&want.source).is_none() {
        let source = What::Source(Box::new(want.source.clone()));
        reads.push(read(name, source));
    }
    reads
}

/// The reads of a stack and its template.
pub fn live_reads(name: &str, observed: &Observed) -> Vec<Read> {
    match observed.stack(name) {
        None => vec![read(name, What::Stack)],
        Some(found) => match existing(found) {
            Some(stack) if observed.template(name).is_none() => {
                vec![read(name, What::Template(stack.id.clone()))]
            }
            _ => Vec::new(),
        },
    }
}

/// The name of an expected stack that was not found, until its absence is confirmed.
pub fn unconfirmed_absence(want: &DesiredStack, view: View<'_>) -> Option<String> {
    let name = &want.stack_name;
    let mut items = view.status.inventory.iter();
    let is_expected = want.adoption != Adoption::NotAsked
        || items.any(|item| item.kind == INVENTORY && item.name == *name);
    let is_missing = view.observed.stack(name)?.is_none();
    let is_unconfirmed = is_missing && is_expected && !view.observed.is_absence_confirmed(name);
    is_unconfirmed.then(|| name.clone())
}

/// Why the stack can't be delivered to this Target, judged by the observations.
pub fn obstacle(want: &DesiredStack, view: View<'_>) -> Option<String> {
    let name = &want.stack_name;
    let found = view.observed.stack(name).flatten();
    let why = match found {
        Some(stack) if state(&stack.status) == State::Review => foreign_review(stack),
        Some(stack) => live_obstacle(want, stack, view),
        None => None,
    };
    if let Some(why) = why {
        return Some(format!("stack {name} can't be deployed: {why}"));
    }
    match view.observed.source(&want.source)? {
        Source::Invalid(why) => Some(format!("{} can't be used: {why}", want.source.origin)),
        Source::Template { summary, .. } => template_obstacle(want, updatable(found), summary)
            .map(|why| format!("stack {name}: {why}")),
    }
}

/// Why the name can't be used: a change set of another tool waits for its stack.
fn foreign_review(stack: &Stack) -> Option<String> {
    let mut foreign = (stack.pending.iter()).filter(|it| !it.starts_with(CHANGE_SET_PREFIX));
    let name = foreign.next()?;
    Some(format!(
        "change set {name}, which Sluice did not create, is to create the stack: execute it, delete the stack, or \
         choose another name"
    ))
}

fn live_obstacle(want: &DesiredStack, stack: &Stack, view: View<'_>) -> Option<String> {
    let name = &want.stack_name;
    if let Some(why) = view.owner.obstacle(stack.ownership(), &want.adoption) {
        return Some(why);
    }
    let is_adopted = view.owner.claim(stack.ownership()) == Claim::Unowned;
    if is_adopted && state(&stack.status) != State::Settled {
        return Some(format!(
            "it is {}, and only a stack that no operation changes and none has left half-changed is adopted",
            stack.status
        ));
    }
    if let Some(parent) = &stack.parent {
        return Some(format!("it is nested in {parent}: deploy that stack"));
    }
    match state(&stack.status) {
        State::Stuck(it) => {
            let why = it.describe(name);
            let reason = stack.reason.as_ref();
            let reason = reason.map_or_else(String::new, |reason| format!(". AWS says: {reason}"));
            Some(format!("it is {}: {why}{reason}", stack.status))
        }
        State::CreationRolledBack => remains::obstacle(name, view.observed.resources(name)?),
        State::Settled | State::Working | State::Review | State::RollbackFailed => None,
    }
}

/// Why CloudFormation would refuse the template with these settings.
fn template_obstacle(
    want: &DesiredStack,
    stack: Option<&Stack>,
    summary: &TemplateSummary,
) -> Option<String> {
    let component = &want.component;
    let field = |field: &str| format!("spec.components[{component}].cloudFormation.{field}");
    let missing: Vec<&str> = (summary.capabilities.iter())
        .filter(|needed| !has_capability(&want.settings, needed))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        let reason = summary.capabilities_reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        return Some(format!(
            "the template needs {}{reason}: add it to {}",
            missing.join(" and "),
            field("capabilities")
        ));
    }
    let given = &want.settings.parameters;
    let unknown = given
        .keys()
        .find(|name| !summary.parameters.contains_key(*name));
    if let Some(name) = unknown {
        let declared: Vec<&str> = summary.parameters.keys().map(String::as_str).collect();
        let declared = if declared.is_empty() {
            "it declares none".to_owned()
        } else {
            format!("it declares {}", declared.join(", "))
        };
        return Some(format!(
            "the template has no parameter {name}; {declared}: correct {}",
            field("parameters")
        ));
    }
    let missing = summary.parameters.iter();
    let mut missing =
        missing.filter(|(name, it)| it.default.is_none() && !given.contains_key(*name));
    if let Some((name, _)) = missing.next() {
        return Some(format!(
            "the template's parameter {name} has no default: set it in {}",
            field("parameters")
        ));
    }
    let is_kept = |value: &ParameterValue| *value == ParameterValue::Previous;
    let has = |name: &String| stack.is_some_and(|stack| stack.parameters.contains_key(name));
    let mut kept = given.iter().filter(|(_, value)| is_kept(value));
    let (name, _) = kept.find(|(name, _)| !has(name))?;
    Some(format!(
        "parameter {name} can't keep its value, because the stack has none: set it in {}",
        field("parameters")
    ))
}

/// Whether a needed capability is acknowledged. The one for named IAM resources includes that for others.
fn has_capability(settings: &Settings, needed: &str) -> bool {
    let has = |capability: &str| settings.capabilities.contains(capability);
    has(needed) || (needed == "CAPABILITY_IAM" && has("CAPABILITY_NAMED_IAM"))
}

/// What the last run left of the component, if that succeeded.
pub fn left<'a>(want: &DesiredStack, view: View<'a>) -> Option<&'a ComponentStatus> {
    let run = view.status.run.as_ref();
    let run = run.filter(|run| run.step == "Succeeded")?;
    run.components.iter().find(|it| it.name == want.component)
}

/// The status if nothing has to be done: `last` is what the last successful run left.
pub fn unchanged(
    want: &DesiredStack,
    last: Option<&ComponentStatus>,
    view: View<'_>,
) -> Option<ComponentStatus> {
    let stack = existing(view.observed.stack(&want.stack_name)?)?;
    let (last, live) = (last?, view.observed.template(&want.stack_name)?);
    let is_left = last.resource == want.stack_name
        && last.code_sha256 == Some(live.returned.to_string())
        && last.configuration_digest == Some(digest(want, view).to_string())
        && differing(&want.settings_on(Some(stack)), stack).is_empty();
    let is_settled = state(&stack.status) == State::Settled;
    let is_ours = view.owner.refusal(stack.ownership()).is_none();
    (is_left && is_settled && is_ours).then(|| status(want, view))
}

/// Digest of everything that CloudFormation gets, for plans and status: it reveals whether something changed, but
/// no values.
pub fn digest(want: &DesiredStack, view: View<'_>) -> Sha256 {
    let template = view.observed.source_digests(&want.source);
    let template = template.map(|template| template.exact);
    Sha256::of_json(&(template, &want.settings, want.imports_existing))
}

/// A setting of a stack that differs: its name, with the desired and the present value.
pub type Differing = (String, (Option<String>, Option<String>));

/// The settings of the stack that differ, as far as AWS shows them. Parameters that are not given have the values
/// of the template. The service role and the topics are left out: CloudFormation sets them only together with a change
/// of resources.
pub fn differing(want: &Settings, stack: &Stack) -> Vec<Differing> {
    let mut found = Vec::new();
    for (name, value) in &want.parameters {
        let now = stack.parameters.get(name);
        if let ParameterValue::Value(value) = value
            && now != Some(value)
            && now.is_none_or(|now| now != HIDDEN)
        {
            let values = (Some(value.clone()), now.cloned());
            found.push((format!("parameters.{name}"), values));
        }
    }
    let keys: BTreeSet<&String> = want.tags.keys().chain(stack.tags.keys()).collect();
    for key in keys {
        let values = (want.tags.get(key), stack.tags.get(key));
        if values.0 != values.1 {
            let values = (values.0.cloned(), values.1.cloned());
            found.push((format!("tags.{key}"), values));
        }
    }
    found
}

/// The status of the component before the run. `codeSha256` is the digest of the template that the stack will have:
/// the present one if the run changes no resource, because CloudFormation then keeps it.
pub fn status(want: &DesiredStack, view: View<'_>) -> ComponentStatus {
    let observed = view.observed;
    let proposal = view.status.proposal(&want.component, &view.run.release);
    let keeps = proposal.is_none_or(changes_nothing);
    let live = observed.template(&want.stack_name).filter(|_| keeps);
    let template = live.or_else(|| observed.source_digests(&want.source));
    ComponentStatus {
        name: want.component.clone(),
        resource: want.stack_name.clone(),
        code_sha256: template.map(|it| it.returned.to_string()),
        configuration_digest: Some(digest(want, view).to_string()),
        ..ComponentStatus::default()
    }
}

/// Its item in the inventory.
pub fn inventory_item(want: &DesiredStack, view: View<'_>) -> InventoryItem {
    let stack = updatable(view.observed.last(&want.stack_name).flatten());
    InventoryItem {
        component: want.component.clone(),
        kind: INVENTORY.to_owned(),
        name: want.stack_name.clone(),
        created: stack.is_none_or(|stack| is_marked(&stack.tags)),
        ..InventoryItem::default()
    }
}

/// The current state; `None` if it was not read.
pub fn snapshot(want: &DesiredStack, view: View<'_>) -> Option<StackSnapshot> {
    let name = &want.stack_name;
    let before = match updatable(view.observed.stack(name)?) {
        None => None,
        Some(stack) => Some(FormerStack {
            id: stack.id.clone(),
            template: view.observed.template(name)?,
            settings: settings_of(stack, &want.settings.role),
            record: stack.record.clone(),
        }),
    };
    Some(StackSnapshot {
        stack_name: name.clone(),
        before,
        allow: want.allow.clone(),
        resources_to_skip: want.resources_to_skip.clone(),
    })
}

/// The settings of a stack, to restore them. A stack of another tool may have no service role, and a restore needs one.
fn settings_of(stack: &Stack, role: &str) -> Settings {
    let parameter = |(name, value): (&String, &String)| {
        let value = if value == HIDDEN {
            ParameterValue::Previous
        } else {
            ParameterValue::Value(value.clone())
        };
        (name.clone(), value)
    };
    Settings {
        parameters: stack.parameters.iter().map(parameter).collect(),
        tags: stack.tags.clone(),
        capabilities: stack.capabilities.clone(),
        role: stack.role.clone().unwrap_or_else(|| role.to_owned()),
        notifications: stack.notifications.clone(),
    }
}
