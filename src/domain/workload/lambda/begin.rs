//! Before a run: the reads that are needed, obstacles, the snapshot and the intents.

use super::{
    desired::DesiredFunction,
    function::{Function, INVENTORY},
    observed::{Observed, Read},
    snapshot::{AliasSnapshot, FunctionSnapshot, LatestSnapshot},
    state::{broken, serves},
    tags,
    versions::{is_published_from, recorded, same},
    view::View,
};
use crate::{
    api::v1alpha1::{ComponentStatus, Intent, InventoryItem, ReleaseRef},
    domain::{
        digest::Sha256,
        ownership::{Adoption, Claim, Owner},
    },
};

/// The reads that are needed before a run begins.
pub fn first_reads(want: &DesiredFunction, gradual: bool, view: View<'_>) -> Vec<Read> {
    let observed = view.observed;
    let expected = is_in_inventory(want, view);
    let name = want.function_name.clone();
    let mut reads = Vec::new();
    if !observed.functions.contains_key(&name) {
        reads.push(Read::Function { name: name.clone() });
    }
    // If the function is new to this Target, its alias is read only after the function was found.
    let exists = observed
        .functions
        .get(&name)
        .map_or(expected, Option::is_some);
    let alias = observed.aliases.get(&name);
    if exists && alias.is_none() {
        reads.push(Read::Alias {
            name: name.clone(),
            alias: want.alias.clone(),
        });
    }
    if observed
        .functions
        .get(&name)
        .is_some_and(|found| must_be_qualified(want, found.as_ref(), view.owner))
        && !observed.unqualified.contains_key(&name)
    {
        reads.push(Read::Unqualified { name: name.clone() });
    }
    if gradual && let Some(Some(alias)) = alias {
        let serving = (name.clone(), alias.version.clone());
        if !observed.versions.contains_key(&serving) {
            let (name, version) = serving;
            reads.push(Read::Version { name, version });
        }
        if !observed.provisioned.contains_key(&name) {
            let alias = want.alias.clone();
            reads.push(Read::Provisioned { name, alias });
        }
    }
    reads
}

/// Whether the inventory has the function.
fn is_in_inventory(want: &DesiredFunction, view: View<'_>) -> bool {
    let mut items = view.status.inventory.iter();
    items.any(|item| item.kind == INVENTORY && item.name == want.function_name)
}

/// The name of an expected resource that was not found, until its absence is confirmed. A function is
/// expected if the inventory has it or it is to be adopted; an alias is expected if its function exists. (A
/// tag distinguishes other functions from those that the run created: see
/// [`CREATED_FOR`](crate::domain::ownership::CREATED_FOR).)
pub fn unconfirmed_absence(want: &DesiredFunction, view: View<'_>) -> Option<String> {
    let (name, observed) = (&want.function_name, view.observed);
    let expected = is_in_inventory(want, view) || want.adoption != Adoption::NotAsked;
    let what = match observed.functions.get(name)? {
        None if !expected => return None,
        None => name.clone(),
        Some(_) if observed.aliases.get(name)?.is_none() => format!("{name}:{}", want.alias),
        Some(_) => return None,
    };
    (!observed.is_absence_confirmed(&what)).then_some(what)
}

/// Why traffic can't be split between the live version and the new one.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>: both must have the
/// same execution role and the same dead-letter queue. If the alias has provisioned concurrency, Lambda
/// changes its weights by itself.
fn unsplittable(want: &DesiredFunction, observed: &Observed) -> Option<String> {
    let name = &want.function_name;
    let alias = observed.aliases.get(name)?.as_ref()?;
    let key = (name.clone(), alias.version.clone());
    let serving = observed.versions.get(&key)?.as_ref()?;
    // The live version has the desired code and settings: no split is needed.
    if is_published_from(want, serving) {
        return None;
    }
    let version = &alias.version;
    let role = &serving.configuration.role;
    let queue = |of: &Function| of.dead_letter_queue.clone().unwrap_or("none".to_owned());
    let latest = observed.functions.get(name)?.as_ref()?;
    let why = if *role != want.configuration.role {
        let new = &want.configuration.role;
        format!(
            "version {version} runs as {role}, the new one as {new}, and Lambda splits traffic only between \
             versions with the same role"
        )
    } else if serving.dead_letter_queue != latest.dead_letter_queue {
        let (old, new) = (queue(serving), queue(latest));
        format!(
            "the dead-letter queue of version {version} is {old}, that of $LATEST and of the new version is {new}, \
             and Lambda splits traffic only between versions with the same queue"
        )
    } else {
        let units = observed.provisioned.get(name)?.as_ref()?.requested;
        let alias = &want.alias;
        format!(
            "alias {alias} has provisioned concurrency ({units}), so Lambda changes its weights by itself"
        )
    };
    let way_out = "use rollout.allAtOnce for this change";
    Some(format!(
        "the traffic of function {name} can't move in steps: {why}; {way_out}"
    ))
}

/// Whether the function may be adopted only if all its callers name a version or alias.
fn must_be_qualified(want: &DesiredFunction, found: Option<&Function>, owner: &Owner) -> bool {
    let is_unmanaged = found.is_some_and(|found| owner.claim(&found.tags) == Claim::Unowned);
    is_unmanaged && want.adoption == Adoption::Granted { unqualified: false }
}

/// Why a function can't be adopted as it is: if its alias points at `$LATEST`, or callers invoke it
/// unqualified, they would get the new code before it is checked.
fn adoption_obstacle(want: &DesiredFunction, owner: &Owner, observed: &Observed) -> Option<String> {
    let function = observed.functions.get(&want.function_name)?.as_ref()?;
    let callers = observed.unqualified.get(&want.function_name);
    let callers = callers.map_or(String::new(), |callers| callers.join(", "));
    if must_be_qualified(want, Some(function), owner) && !callers.is_empty() {
        return Some(format!(
            "function {} can't be adopted: {callers} would get new code before it is checked, because they \
             name neither a version nor an alias; move them to alias {}, or accept that with allowUnqualified",
            want.function_name, want.alias
        ));
    }
    let alias = observed.aliases.get(&want.function_name)?.as_ref()?;
    let is_unmanaged = owner.claim(&function.tags) == Claim::Unowned;
    (is_unmanaged && alias.version == "$LATEST").then(|| {
        format!(
            "function {} can't be adopted: its alias {} points at $LATEST, so that callers would get new \
             code before it is checked; publish a version and point the alias at it",
            want.function_name, want.alias
        )
    })
}

/// Why the function can't be delivered to this Target, judged by the observations.
pub fn obstacle(want: &DesiredFunction, gradual: bool, view: View<'_>) -> Option<String> {
    let (name, observed) = (&want.function_name, view.observed);
    let found = observed.functions.get(name).and_then(Option::as_ref);
    let refusal = found.and_then(|found| view.owner.obstacle(&found.tags, &want.adoption));
    if let Some(why) = refusal {
        return Some(format!("function {name} can't be deployed: {why}"));
    }
    if let Some(why) = adoption_obstacle(want, view.owner, observed) {
        return Some(why);
    }
    unsplittable(want, observed).filter(|_| gradual)
}

/// The status if nothing has to be done: `$LATEST` and the live version are in their desired state.
/// `last` is what the last successful run left, which makes reading the version unnecessary.
pub fn unchanged(
    want: &DesiredFunction,
    last: Option<&ComponentStatus>,
    view: View<'_>,
) -> Option<ComponentStatus> {
    let observed = view.observed;
    let function = observed.functions.get(&want.function_name)?.as_ref()?;
    let alias = observed.aliases.get(&want.function_name)?.as_ref()?;
    let last = last?;
    let version = last.version.as_ref()?;
    let as_recorded = last.resource == want.function_name
        && last.code_sha256.as_deref() == Some(want.code_sha256.to_string().as_str())
        && last.configuration_digest.as_deref()
            == Some(want.configuration_digest().to_string().as_str());
    let latest = same(want, function)
        && broken(function).is_none()
        && tags::changes(want, function, view).is_empty();
    (as_recorded && latest && serves(alias, version)).then(|| ComponentStatus {
        version: Some(version.clone()),
        ..status(want, view)
    })
}

/// The current state.
pub fn snapshot(want: &DesiredFunction, view: View<'_>) -> Option<FunctionSnapshot> {
    let observed = view.observed;
    let function = observed.functions.get(&want.function_name)?.as_ref();
    let alias = observed
        .aliases
        .get(&want.function_name)
        .and_then(Option::as_ref);
    Some(FunctionSnapshot {
        function_name: want.function_name.clone(),
        alias_name: want.alias.clone(),
        latest: function.map(LatestSnapshot::of),
        alias: alias.map(AliasSnapshot::of),
    })
}

/// The status before the run changes anything.
pub fn status(want: &DesiredFunction, view: View<'_>) -> ComponentStatus {
    let alias = view
        .observed
        .aliases
        .get(&want.function_name)
        .and_then(Option::as_ref);
    ComponentStatus {
        name: want.component.clone(),
        resource: want.function_name.clone(),
        previous_version: alias.map(|alias| alias.version.clone()),
        code_sha256: Some(want.code_sha256.to_string()),
        configuration_digest: Some(want.configuration_digest().to_string()),
        alias_revision_id: alias.map(|alias| alias.revision_id.clone()),
        ..ComponentStatus::default()
    }
}

/// Its item in the inventory. The tags of an existing function say whether this Deployment created it, for
/// example through another Target before the stage moved.
pub fn inventory_item(want: &DesiredFunction, view: View<'_>) -> InventoryItem {
    let found = view.observed.functions.get(&want.function_name);
    InventoryItem {
        component: want.component.clone(),
        kind: INVENTORY.to_owned(),
        name: want.function_name.clone(),
        alias: Some(want.alias.clone()),
        created: found
            .and_then(Option::as_ref)
            .is_none_or(|found| view.owner.has_created(&found.tags)),
        ..InventoryItem::default()
    }
}

/// The intents of Prepare: each change, with a value that identifies its effect.
pub fn intents(want: &DesiredFunction, release: &ReleaseRef, view: View<'_>) -> Vec<Intent> {
    let observed = view.observed;
    let intent = |operation: &str, result: String| Intent {
        component: want.component.clone(),
        operation: operation.to_owned(),
        resource: want.function_name.clone(),
        result: Some(result),
    };
    let code = want.code_sha256.to_string();
    let configuration = want.configuration_digest().to_string();
    let function = observed
        .functions
        .get(&want.function_name)
        .and_then(Option::as_ref);
    let Some(function) = function else {
        return vec![
            intent("CreateFunction", code.clone()),
            intent("PublishVersion", code),
        ];
    };
    let mut intents = Vec::new();
    if function.code_sha256 != want.code_sha256 || function.architecture != want.architecture {
        intents.push(intent("UpdateFunctionCode", code.clone()));
    }
    if function.configuration != want.configuration
        || (broken(function).is_some() && intents.is_empty())
    {
        intents.push(intent("UpdateFunctionConfiguration", configuration));
    }
    if !tags::changes(want, function, view).is_empty() {
        intents.push(intent(
            "TagResource",
            Sha256::of_json(&want.tags).to_string(),
        ));
    }
    if recorded(want, release, &view.status.versions).is_none() {
        intents.push(intent("PublishVersion", code));
    }
    intents
}
