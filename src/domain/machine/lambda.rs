//! The component protocol for a Lambda function: what comes next in each step, from what is there.

mod plan;

use std::collections::BTreeMap;

pub use self::plan::plan;
use super::{
    observation::{Action, CheckKey, CheckPhase, CheckResult, Effect, Moment, Observation, Read},
    snapshot::{AliasSnapshot, FunctionSnapshot, LatestSnapshot},
};
use crate::{
    api::v1alpha1::{ComponentStatus, Intent, PublishedVersion, ReleaseRef},
    domain::{
        desired::DesiredFunction,
        digest::Sha256,
        function::{Alias, AliasTarget, Function, FunctionState, LastUpdate},
        ownership::Owner,
    },
};

/// What comes next for one component.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This has to be known first.
    Read(Read),
    /// This has to be done.
    Act(Effect),
    /// AWS is at work.
    Wait(String),
    /// The step is complete for this component.
    Ready,
    /// The step can't be completed.
    Fail(String),
}

/// What a decision about a function is made from, besides what is wanted.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Whose it must be.
    pub owner: &'a Owner,
    /// The versions that were published for Releases.
    pub versions: &'a [PublishedVersion],
    /// What was seen.
    pub seen: &'a Observation,
    /// The level that is worked on.
    pub level: i64,
}

/// `$LATEST` has code and settings, and a version of them is published, runs and passes the checks.
pub fn prepare(want: &DesiredFunction, release: &ReleaseRef, view: View<'_>) -> Next {
    let (owner, seen) = (view.owner, view.seen);
    if let Some(version) = seen.known.published.get(&want.component) {
        return version_ready(want, version, view);
    }
    let name = &want.function_name;
    let function = match seen.functions.get(name) {
        None => return Next::Read(Read::Function { name: name.clone() }),
        Some(None) => {
            return with_package(want, seen, |code| {
                Action::Create(Box::new(want.clone()), code)
            });
        }
        Some(Some(function)) => function,
    };
    if let Some(why) = owner.refusal(&function.tags) {
        return Next::Fail(format!("function {name} can't be taken: {why}"));
    }
    if let Some(wait) = settling(name, function) {
        return wait;
    }
    if function.code_sha256 != want.code_sha256 || function.architecture != want.architecture {
        return with_package(want, seen, |code| Action::UpdateCode {
            architecture: want.architecture.clone(),
            code,
            revision_id: function.revision_id.clone(),
        });
    }
    if function.configuration != want.configuration {
        return act(
            want,
            Action::UpdateConfiguration {
                configuration: Box::new(want.configuration.clone()),
                revision_id: function.revision_id.clone(),
            },
        );
    }
    if let Some(why) = broken(function) {
        return Next::Fail(format!("function {name}: {why}"));
    }
    let wanted: BTreeMap<_, _> = function
        .tags
        .iter()
        .chain(&want.tags)
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    if wanted != function.tags {
        // Tags that are no longer named stay: removing is for Prune.
        let (arn, current) = (function.arn.clone(), function.tags.clone());
        return act(
            want,
            Action::SetTags {
                arn,
                current,
                wanted,
            },
        );
    }
    // A Release that was here before still has its version, unless somebody deleted it.
    if let Some(version) = recorded(want, release, view.versions) {
        match seen.versions.get(&(name.clone(), version.clone())) {
            None => {
                return Next::Read(Read::Version {
                    name: name.clone(),
                    version,
                });
            }
            Some(Some(published)) if same(want, published) => {
                return version_ready(want, &version, view);
            }
            Some(_) => {}
        }
    }
    act(
        want,
        Action::Publish {
            code_sha256: want.code_sha256,
            revision_id: function.revision_id.clone(),
            description: format!("{}/{} {}", owner.namespace, owner.name, release.name),
        },
    )
}

/// The version that serves this Release: published in this run, or for an earlier one of it.
pub fn version_of(want: &DesiredFunction, release: &ReleaseRef, view: View<'_>) -> Option<String> {
    let published = view.seen.known.published.get(&want.component).cloned();
    published.or_else(|| {
        let version = recorded(want, release, view.versions)?;
        let key = (want.function_name.clone(), version.clone());
        let seen = view.seen.versions.get(&key)?.as_ref()?;
        same(want, seen).then_some(version)
    })
}

/// The version that the Release was given when it was here before.
fn recorded(
    want: &DesiredFunction,
    release: &ReleaseRef,
    versions: &[PublishedVersion],
) -> Option<String> {
    let configuration = want.configuration_digest().to_string();
    let code = want.code_sha256.to_string();
    let is = |one: &&PublishedVersion| {
        one.release_uid == release.uid
            && one.function_name == want.function_name
            && one.code_sha256 == code
            && one.configuration_digest == configuration
    };
    versions
        .iter()
        .rev()
        .find(is)
        .map(|one| one.version.clone())
}

fn same(want: &DesiredFunction, function: &Function) -> bool {
    function.code_sha256 == want.code_sha256
        && function.architecture == want.architecture
        && function.configuration == want.configuration
}

/// The published version can be invoked and passes the checks that come before traffic.
fn version_ready(want: &DesiredFunction, version: &str, view: View<'_>) -> Next {
    let (name, seen) = (&want.function_name, view.seen);
    let published = match seen.versions.get(&(name.clone(), version.to_owned())) {
        None => {
            return Next::Read(Read::Version {
                name: name.clone(),
                version: version.to_owned(),
            });
        }
        Some(None) => {
            return Next::Fail(format!(
                "version {version} of function {name} was deleted by someone else"
            ));
        }
        Some(Some(published)) => published,
    };
    if published.code_sha256 != want.code_sha256 {
        return Next::Fail(format!(
            "version {version} of function {name} has code {}, not the artifact's {}",
            published.code_sha256.short(),
            want.code_sha256.short()
        ));
    }
    if let Some(wait) = settling(&format!("{name}:{version}"), published) {
        return wait;
    }
    if let Some(why) = broken(published) {
        return Next::Fail(format!("version {version} of function {name}: {why}"));
    }
    let moment = Moment {
        phase: CheckPhase::BeforeTraffic,
        level: view.level,
        step: 0,
        round: 0,
    };
    checks(want, version, moment, seen)
}

/// A move of traffic, in percent of the requests that the new version gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// After it.
    pub weight: i32,
    /// Before it; `None` where all was as before the run.
    pub previous_weight: Option<i32>,
    /// Whether it was seen whole already.
    pub seen_whole: bool,
}

/// How the alias looks at a weight. Without an alias that serves another version there is nothing to
/// split.
fn split(version: &str, before: Option<&AliasSnapshot>, weight: i32) -> AliasTarget {
    let old = before
        .map(|before| before.version.as_str())
        .filter(|old| *old != version && weight < 100);
    match old {
        None => AliasTarget {
            version: version.to_owned(),
            weights: BTreeMap::new(),
            description: String::new(),
        },
        Some(old) => AliasTarget {
            version: old.to_owned(),
            weights: [(version.to_owned(), f64::from(weight) / 100.0)].into(),
            description: String::new(),
        },
    }
}

/// Whether this function's traffic can move in steps.
pub fn splits(version: &str, before: &FunctionSnapshot) -> bool {
    let old = before.alias.as_ref().map(|alias| alias.version.as_str());
    old.is_some_and(|old| old != version)
}

/// The alias sends the new version its share.
pub fn promote(
    want: &DesiredFunction,
    status: &ComponentStatus,
    before: Option<&FunctionSnapshot>,
    shift: Shift,
    seen: &Observation,
) -> Next {
    let name = &want.function_name;
    let Some(version) = &status.version else {
        return Next::Fail(format!(
            "the version that was published for function {name} is not on record"
        ));
    };
    let before = before.and_then(|before| before.alias.as_ref());
    let to = split(version, before, shift.weight);
    let from = shift
        .previous_weight
        .map(|weight| split(version, before, weight));
    let alias = want.alias.clone();
    match seen.aliases.get(name) {
        Some(Some(now)) if sends(now, &to) => Next::Ready,
        Some(now) => match (now, before) {
            (None, None) => act(want, Action::CreateAlias { alias, to }),
            (Some(now), then)
                if from.as_ref().map_or_else(
                    || then.is_some_and(|then| then.is(now)),
                    |from| sends(now, from),
                ) =>
            {
                act(
                    want,
                    Action::UpdateAlias {
                        alias,
                        to,
                        revision_id: now.revision_id.clone(),
                    },
                )
            }
            (Some(now), _) => Next::Fail(format!(
                "alias {alias} of function {name} was moved to version {} by someone else during the rollout",
                described(now)
            )),
            (None, Some(_)) => Next::Fail(format!(
                "alias {alias} of function {name} was deleted by someone else during the rollout"
            )),
        },
        // Where this process wrote the journal, the alias is as it was read then: its RevisionId
        // refuses the move if it is not.
        None if seen.known.recorded_here && from.is_none() && !shift.seen_whole => {
            match &status.alias_revision_id {
                Some(revision) => act(
                    want,
                    Action::UpdateAlias {
                        alias,
                        to,
                        revision_id: revision.clone(),
                    },
                ),
                None => act(want, Action::CreateAlias { alias, to }),
            }
        }
        None => Next::Read(Read::Alias {
            name: name.clone(),
            alias,
        }),
    }
}

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
        (None, None) => return Next::Ready,
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

/// The function is deleted, with its versions and aliases.
pub fn delete(component: &str, name: &str, owner: &Owner, seen: &Observation) -> Next {
    match seen.functions.get(name) {
        None => Next::Read(Read::Function {
            name: name.to_owned(),
        }),
        Some(None) => Next::Ready,
        Some(Some(function)) if owner.refusal(&function.tags).is_some() => Next::Ready,
        Some(Some(function)) if function.state == FunctionState::Pending => {
            Next::Wait(format!("{name} to settle before it is deleted"))
        }
        Some(Some(_)) => Next::Act(effect(component, name, Action::DeleteFunction)),
    }
}

/// Whether nothing at all has to be done: `$LATEST` and the serving version are as wanted.
/// `last` is what the last successful run left, which spares reading the version.
pub fn unchanged(
    want: &DesiredFunction,
    last: Option<&ComponentStatus>,
    seen: &Observation,
) -> Option<String> {
    let function = seen.functions.get(&want.function_name)?.as_ref()?;
    let alias = seen.aliases.get(&want.function_name)?.as_ref()?;
    let last = last?;
    let version = last.version.as_ref()?;
    let as_recorded = last.resource == want.function_name
        && last.code_sha256.as_deref() == Some(want.code_sha256.to_string().as_str())
        && last.configuration_digest.as_deref()
            == Some(want.configuration_digest().to_string().as_str());
    let latest = same(want, function)
        && want
            .tags
            .iter()
            .all(|(key, value)| function.tags.get(key) == Some(value));
    (as_recorded && latest && serves(alias, version)).then(|| version.clone())
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
    if function.configuration != want.configuration {
        intents.push(intent("UpdateFunctionConfiguration", configuration));
    }
    if want
        .tags
        .iter()
        .any(|(key, value)| function.tags.get(key) != Some(value))
    {
        intents.push(intent(
            "TagResource",
            Sha256::of_json(&want.tags).to_string(),
        ));
    }
    if recorded(want, release, view.versions).is_none() {
        intents.push(intent("PublishVersion", code));
    }
    intents
}

/// The move of traffic, by what identifies its effect.
pub fn move_intent(want: &DesiredFunction, status: &ComponentStatus, weight: i32) -> Intent {
    let operation = if status.alias_revision_id.is_some() {
        "UpdateAlias"
    } else {
        "CreateAlias"
    };
    let version = status.version.as_deref().unwrap_or_default();
    Intent {
        component: want.component.clone(),
        operation: operation.to_owned(),
        resource: format!("{}:{}", want.function_name, want.alias),
        result: Some(match weight {
            100 => version.to_owned(),
            part => format!("{version} at {part} %"),
        }),
    }
}

/// What has to be seen before a run begins.
pub fn first_reads(
    want: &DesiredFunction,
    expected: bool,
    gradual: bool,
    seen: &Observation,
) -> Vec<Read> {
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
    // Lambda splits traffic only between versions that have the same role.
    if gradual
        && let Some(Some(alias)) = alias
        && !seen
            .versions
            .contains_key(&(name.clone(), alias.version.clone()))
    {
        reads.push(Read::Version {
            name,
            version: alias.version.clone(),
        });
    }
    reads
}

/// Why traffic can't be split between the version that serves and the new one.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>: both must have the
/// same execution role.
pub fn unsplittable(want: &DesiredFunction, seen: &Observation) -> Option<String> {
    let alias = seen.aliases.get(&want.function_name)?.as_ref()?;
    let key = (want.function_name.clone(), alias.version.clone());
    let serving = seen.versions.get(&key)?.as_ref()?;
    (serving.configuration.role != want.configuration.role).then(|| {
        format!(
            "the traffic of function {} can't move in steps: version {} runs as {}, the new one as {}, and Lambda              splits traffic only between versions with the same role; use rollout.allAtOnce for this change",
            want.function_name, alias.version, serving.configuration.role, want.configuration.role
        )
    })
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
        code_sha256: Some(want.code_sha256.to_string()),
        configuration_digest: Some(want.configuration_digest().to_string()),
        alias_revision_id: alias.map(|alias| alias.revision_id.clone()),
    }
}

/// The checks hold at this moment. While only a part of the traffic reaches the version, an invocation
/// through the alias would mostly reach the old one: the number is invoked then.
pub fn checks(want: &DesiredFunction, version: &str, moment: Moment, seen: &Observation) -> Next {
    let qualifier = match moment.phase {
        CheckPhase::BeforeTraffic | CheckPhase::DuringTraffic => version,
        CheckPhase::AfterTraffic => &want.alias,
    };
    for check in &want.checks {
        let key = CheckKey {
            component: want.component.clone(),
            check: check.name.clone(),
            moment,
        };
        match seen.known.checks.get(&key) {
            Some(CheckResult::Passed) => {}
            Some(CheckResult::Failed(why)) => return Next::Fail(why.clone()),
            None => {
                return act(
                    want,
                    Action::Check {
                        check: Box::new(check.clone()),
                        key,
                        qualifier: qualifier.to_owned(),
                        version: version.to_owned(),
                    },
                );
            }
        }
    }
    Next::Ready
}

/// Whether the alias sends its traffic there. Weights come back from AWS as decimals.
fn sends(alias: &Alias, to: &AliasTarget) -> bool {
    let close = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-6;
    alias.version == to.version
        && alias.weights.keys().eq(to.weights.keys())
        && alias.weights.values().zip(to.weights.values()).all(close)
}

fn described(alias: &Alias) -> String {
    let weights = alias.weights.iter();
    let shares: Vec<String> = weights
        .map(|(version, share)| format!("{:.0} % to {version}", share * 100.0))
        .collect();
    if shares.is_empty() {
        alias.version.clone()
    } else {
        format!("{} ({})", alias.version, shares.join(", "))
    }
}

fn serves(alias: &Alias, version: &str) -> bool {
    alias.version == version && alias.weights.is_empty()
}

fn settling(name: &str, function: &Function) -> Option<Next> {
    if function.state == FunctionState::Pending {
        return Some(Next::Wait(format!("{name} to become Active")));
    }
    (function.last_update == LastUpdate::InProgress)
        .then(|| Next::Wait(format!("the update of {name} to settle")))
}

fn broken(function: &Function) -> Option<String> {
    match (&function.state, &function.last_update) {
        (FunctionState::Failed(why), _) => Some(format!("Lambda could not start it: {why}")),
        (_, LastUpdate::Failed(why)) => Some(format!("Lambda could not apply the update: {why}")),
        _ => None,
    }
}

fn with_package(
    want: &DesiredFunction,
    seen: &Observation,
    action: impl FnOnce(crate::domain::function::CodeLocation) -> Action,
) -> Next {
    match seen.known.packages.get(&want.code_sha256) {
        Some(code) => act(want, action(code.clone())),
        None => act(want, Action::CopyPackage(Box::new(want.clone()))),
    }
}

fn act(want: &DesiredFunction, action: Action) -> Next {
    Next::Act(effect(&want.component, &want.function_name, action))
}

fn effect(component: &str, function: &str, action: Action) -> Effect {
    Effect {
        component: component.to_owned(),
        resource: function.to_owned(),
        action,
    }
}
