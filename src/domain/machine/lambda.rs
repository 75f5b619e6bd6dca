//! The component protocol for a Lambda function: what comes next in each step, from what is there.

use std::collections::BTreeMap;

use super::{
    observation::{Action, CheckKey, CheckPhase, CheckResult, Effect, Observation, Read},
    snapshot::ComponentSnapshot,
};
use crate::{
    api::v1alpha1::{ComponentStatus, Intent},
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

/// `$LATEST` has code and settings, and a version of them is published, runs and passes the checks.
pub fn prepare(want: &DesiredFunction, owner: &Owner, release: &str, seen: &Observation) -> Next {
    if let Some(version) = seen.known.published.get(&want.component) {
        return version_ready(want, version, seen);
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
    act(
        want,
        Action::Publish {
            code_sha256: want.code_sha256,
            revision_id: function.revision_id.clone(),
            description: format!("{}/{} {release}", owner.namespace, owner.name),
        },
    )
}

/// The published version can be invoked and passes the checks that come before traffic.
fn version_ready(want: &DesiredFunction, version: &str, seen: &Observation) -> Next {
    let name = &want.function_name;
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
    checks(want, CheckPhase::BeforeTraffic, version, version, seen)
}

/// The alias sends everything to the version.
pub fn promote(
    want: &DesiredFunction,
    status: &ComponentStatus,
    before: Option<&ComponentSnapshot>,
    seen: &Observation,
) -> Next {
    let name = &want.function_name;
    let Some(version) = &status.version else {
        return Next::Fail(format!(
            "the version that was published for function {name} is not on record"
        ));
    };
    let to = AliasTarget {
        version: version.clone(),
        weights: BTreeMap::new(),
        description: String::new(),
    };
    let alias = want.alias.clone();
    match seen.aliases.get(name) {
        Some(Some(now)) if serves(now, version) => Next::Ready,
        Some(now) => match (now, before.and_then(|before| before.alias.as_ref())) {
            (None, None) => act(want, Action::CreateAlias { alias, to }),
            (Some(now), Some(then)) if then.is(now) => act(
                want,
                Action::UpdateAlias {
                    alias,
                    to,
                    revision_id: now.revision_id.clone(),
                },
            ),
            (Some(now), _) => Next::Fail(format!(
                "alias {alias} of function {name} was moved to version {} by someone else during the rollout",
                now.version
            )),
            (None, Some(_)) => Next::Fail(format!(
                "alias {alias} of function {name} was deleted by someone else during the rollout"
            )),
        },
        // Where this process wrote the journal, the alias is as it was read then: its RevisionId
        // refuses the move if it is not.
        None if seen.known.recorded_here => match &status.alias_revision_id {
            Some(revision) => act(
                want,
                Action::UpdateAlias {
                    alias,
                    to,
                    revision_id: revision.clone(),
                },
            ),
            None => act(want, Action::CreateAlias { alias, to }),
        },
        None => Next::Read(Read::Alias {
            name: name.clone(),
            alias,
        }),
    }
}

/// The checks pass through the alias.
pub fn confirm(want: &DesiredFunction, version: &str, seen: &Observation) -> Next {
    checks(want, CheckPhase::AfterTraffic, &want.alias, version, seen)
}

/// What stood before stands again: traffic first, then `$LATEST`.
pub fn restore(then: &ComponentSnapshot, owner: &Owner, seen: &Observation) -> Next {
    let effect = |action| effect(&then.component, &then.function_name, action);
    let name = &then.function_name;
    let Some(function) = seen.functions.get(name) else {
        return Next::Read(Read::Function { name: name.clone() });
    };
    let (function, before) = match (function, &then.function) {
        (None, None) => return Next::Ready,
        (None, Some(_)) => {
            return Next::Fail(format!(
                "function {name} was deleted by someone else and can't be put back"
            ));
        }
        (Some(function), _)
            if owner.refusal(&function.tags).is_some() && then.function.is_none() =>
        {
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
    let as_recorded = last.function_name == want.function_name
        && last.code_sha256.as_deref() == Some(want.code_sha256.to_string().as_str())
        && last.configuration_digest.as_deref()
            == Some(want.configuration_digest().to_string().as_str());
    let latest = function.code_sha256 == want.code_sha256
        && function.architecture == want.architecture
        && function.configuration == want.configuration
        && want
            .tags
            .iter()
            .all(|(key, value)| function.tags.get(key) == Some(value));
    (as_recorded && latest && serves(alias, version)).then(|| version.clone())
}

/// The changes that Prepare will make, by what identifies their effect.
pub fn intents(want: &DesiredFunction, seen: &Observation) -> Vec<Intent> {
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
    intents.push(intent("PublishVersion", code));
    intents
}

/// What the status says of a component before anything was done.
pub fn component_status(want: &DesiredFunction, seen: &Observation) -> ComponentStatus {
    let alias = seen
        .aliases
        .get(&want.function_name)
        .and_then(Option::as_ref);
    ComponentStatus {
        name: want.component.clone(),
        function_name: want.function_name.clone(),
        version: None,
        code_sha256: Some(want.code_sha256.to_string()),
        configuration_digest: Some(want.configuration_digest().to_string()),
        alias_revision_id: alias.map(|alias| alias.revision_id.clone()),
    }
}

fn checks(
    want: &DesiredFunction,
    phase: CheckPhase,
    qualifier: &str,
    version: &str,
    seen: &Observation,
) -> Next {
    for check in &want.checks {
        let key = CheckKey {
            component: want.component.clone(),
            check: check.name.clone(),
            phase,
        };
        match seen.known.checks.get(&key) {
            Some(CheckResult::Passed) => {}
            Some(CheckResult::Failed(why)) => return Next::Fail(why.clone()),
            None => {
                return act(
                    want,
                    Action::Check {
                        check: Box::new(check.clone()),
                        phase,
                        qualifier: qualifier.to_owned(),
                        version: version.to_owned(),
                    },
                );
            }
        }
    }
    Next::Ready
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
        function: function.to_owned(),
        action,
    }
}
