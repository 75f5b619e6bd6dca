//! Before a run: what has to be seen, what stands there, and what would be done.

use super::{broken, published_of, recorded, same, serves, tags};
use crate::{
    api::v1alpha1::{ComponentStatus, Intent, ReleaseRef},
    domain::{
        desired::DesiredFunction,
        digest::Sha256,
        function::Function,
        machine::{
            next::View,
            observation::{Observation, Read},
            snapshot::{AliasSnapshot, FunctionSnapshot, LatestSnapshot},
        },
        ownership::{Adoption, Claim, Owner},
    },
};

/// What has to be seen before a run begins.
pub fn first_reads(
    want: &DesiredFunction,
    expected: bool,
    gradual: bool,
    view: View<'_>,
) -> Vec<Read> {
    let seen = view.seen;
    let name = want.function_name.clone();
    let mut reads = Vec::new();
    if !seen.functions.contains_key(&name) {
        reads.push(Read::Function { name: name.clone() });
    }
    // Where the function is new to this Target, its alias is read only once it is known to exist.
    let exists = seen.functions.get(&name).map_or(expected, Option::is_some);
    let alias = seen.aliases.get(&name);
    if exists && alias.is_none() {
        reads.push(Read::Alias {
            name: name.clone(),
            alias: want.alias.clone(),
        });
    }
    if seen
        .functions
        .get(&name)
        .is_some_and(|there| must_be_qualified(want, there.as_ref(), view.owner))
        && !seen.unqualified.contains_key(&name)
    {
        reads.push(Read::Unqualified { name: name.clone() });
    }
    if gradual && let Some(Some(alias)) = alias {
        let serving = (name.clone(), alias.version.clone());
        if !seen.versions.contains_key(&serving) {
            let (name, version) = serving;
            reads.push(Read::Version { name, version });
        }
        if !seen.provisioned.contains_key(&name) {
            let alias = want.alias.clone();
            reads.push(Read::Provisioned { name, alias });
        }
    }
    reads
}

/// What was not found although it should be there, as long as that may be an old answer: `expected` is
/// whether the inventory has the function. What is to be taken over should be there, too, and so should
/// the alias of a function that is. (A function that is not expected is told from one that the run made
/// by a tag: see [`CREATED_FOR`](crate::domain::ownership::CREATED_FOR).)
pub fn doubtful(want: &DesiredFunction, expected: bool, seen: &Observation) -> Option<String> {
    let name = &want.function_name;
    let expected = expected || want.adoption != Adoption::NotAsked;
    let what = match seen.functions.get(name)? {
        None if !expected => return None,
        None => name.clone(),
        Some(_) if seen.aliases.get(name)?.is_none() => format!("{name}:{}", want.alias),
        Some(_) => return None,
    };
    (!seen.is_surely_missing(&what)).then_some(what)
}

/// Why traffic can't be split between the version that serves and the new one.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>: both must have the
/// same execution role and the same dead-letter queue. Where concurrency is provisioned for the alias,
/// Lambda moves its weights by itself.
pub fn unsplittable(want: &DesiredFunction, seen: &Observation) -> Option<String> {
    let name = &want.function_name;
    let alias = seen.aliases.get(name)?.as_ref()?;
    let key = (name.clone(), alias.version.clone());
    let serving = seen.versions.get(&key)?.as_ref()?;
    // What serves already gets all traffic as it is.
    if published_of(want, serving) {
        return None;
    }
    let version = &alias.version;
    let role = &serving.configuration.role;
    let queue = |of: &Function| of.dead_letter_queue.clone().unwrap_or("none".to_owned());
    let latest = seen.functions.get(name)?.as_ref()?;
    let why = if *role != want.configuration.role {
        let new = &want.configuration.role;
        format!(
            "version {version} runs as {role}, the new one as {new}, and Lambda splits traffic only between \
             versions with the same role"
        )
    } else if serving.dead_letter_queue != latest.dead_letter_queue {
        let (old, new) = (queue(serving), queue(latest));
        format!(
            "the dead-letter queue of version {version} is {old}, that of $LATEST and so of the new one {new}, \
             and Lambda splits traffic only between versions with the same"
        )
    } else {
        let units = seen.provisioned.get(name)?.as_ref()?.requested;
        let alias = &want.alias;
        format!(
            "alias {alias} has provisioned concurrency ({units}), for which Lambda moves its weights by itself"
        )
    };
    let way_out = "use rollout.allAtOnce for this change";
    Some(format!(
        "the traffic of function {name} can't move in steps: {why}; {way_out}"
    ))
}

/// Whether it is taken over only if nobody invokes it without a version or alias.
fn must_be_qualified(want: &DesiredFunction, there: Option<&Function>, owner: &Owner) -> bool {
    let is_nobodys = there.is_some_and(|there| owner.claim(&there.tags) == Claim::Nobodys);
    is_nobodys && want.adoption == Adoption::Granted { unqualified: false }
}

/// Why a function can't be taken over as it is: where its alias points at `$LATEST`, or it is invoked
/// without one, callers would get the new code before anything was checked.
pub fn exposed(want: &DesiredFunction, owner: &Owner, seen: &Observation) -> Option<String> {
    let function = seen.functions.get(&want.function_name)?.as_ref()?;
    let callers = seen.unqualified.get(&want.function_name);
    let callers = callers.map_or(String::new(), |callers| callers.join(", "));
    if must_be_qualified(want, Some(function), owner) && !callers.is_empty() {
        return Some(format!(
            "function {} can't be taken over: {callers} would get new code before it is checked, because they \
             name neither a version nor an alias; move them to alias {}, or accept that with allowUnqualified",
            want.function_name, want.alias
        ));
    }
    let alias = seen.aliases.get(&want.function_name)?.as_ref()?;
    let taken_over = owner.claim(&function.tags) == Claim::Nobodys;
    (taken_over && alias.version == "$LATEST").then(|| {
        format!(
            "function {} can't be taken over: its alias {} points at $LATEST, so that callers would get new \
             code before it is checked; publish a version and point the alias at it",
            want.function_name, want.alias
        )
    })
}

/// Whether nothing at all has to be done: `$LATEST` and the serving version are as wanted.
/// `last` is what the last successful run left, which spares reading the version.
pub fn unchanged(
    want: &DesiredFunction,
    last: Option<&ComponentStatus>,
    view: View<'_>,
) -> Option<String> {
    let seen = view.seen;
    let function = seen.functions.get(&want.function_name)?.as_ref()?;
    let alias = seen.aliases.get(&want.function_name)?.as_ref()?;
    let last = last?;
    let version = last.version.as_ref()?;
    let as_recorded = last.resource == want.function_name
        && last.code_sha256.as_deref() == Some(want.code_sha256.to_string().as_str())
        && last.configuration_digest.as_deref()
            == Some(want.configuration_digest().to_string().as_str());
    let latest = same(want, function)
        && broken(function).is_none()
        && tags::changes(want, function, view).is_empty();
    (as_recorded && latest && serves(alias, version)).then(|| version.clone())
}

/// What stands there now.
pub fn snapshot(want: &DesiredFunction, seen: &Observation) -> Option<FunctionSnapshot> {
    let function = seen.functions.get(&want.function_name)?.as_ref();
    let alias = seen
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

/// What the status says of a component before anything was done.
pub fn component_status(want: &DesiredFunction, seen: &Observation) -> ComponentStatus {
    let alias = seen
        .aliases
        .get(&want.function_name)
        .and_then(Option::as_ref);
    ComponentStatus {
        name: want.component.clone(),
        resource: want.function_name.clone(),
        version: None,
        previous_version: alias.map(|alias| alias.version.clone()),
        code_sha256: Some(want.code_sha256.to_string()),
        configuration_digest: Some(want.configuration_digest().to_string()),
        alias_revision_id: alias.map(|alias| alias.revision_id.clone()),
        objects: None,
    }
}

/// The changes that Prepare will make, by what identifies their effect.
pub fn intents(want: &DesiredFunction, release: &ReleaseRef, view: View<'_>) -> Vec<Intent> {
    let seen = view.seen;
    let intent = |operation: &str, result: String| Intent {
        component: want.component.clone(),
        operation: operation.to_owned(),
        resource: want.function_name.clone(),
        result: Some(result),
    };
    let code = want.code_sha256.to_string();
    let configuration = want.configuration_digest().to_string();
    let function = seen
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
