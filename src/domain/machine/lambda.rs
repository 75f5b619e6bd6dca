//! The component protocol for a Lambda function: what comes next in each step, from what is there.

mod alias;
mod begin;
mod collect;
mod drift;
mod plan;
mod prepare;
mod report;
mod restore;
mod tags;

pub use self::{
    alias::{Shift, move_intent, promote, splits},
    begin::{
        component_status, doubtful, exposed, first_reads, intents, snapshot, unchanged,
        unsplittable,
    },
    collect::retire,
    drift::{drift, drift_reads},
    plan::plan,
    prepare::prepare,
    report::{not_put_back, put_back},
    restore::{delete, restore},
};
use super::{
    asked::{CheckKey, CheckPhase, CheckResult, Moment},
    next::{Next, View},
    observation::{Action, Effect, Observation, Read},
};
use crate::{
    api::v1alpha1::{PublishedVersion, ReleaseRef},
    domain::{
        desired::DesiredFunction,
        function::{Alias, AliasTarget, Function, FunctionState, LastUpdate},
        ownership::CREATED_FOR,
    },
};

/// The version that serves this Release: published in this run, or for an earlier one of it.
pub fn version_of(want: &DesiredFunction, release: &ReleaseRef, view: View<'_>) -> Option<String> {
    let published = view.seen.known.published.get(&want.component).cloned();
    published.or_else(|| {
        let version = recorded(want, release, &view.status.versions)?;
        let key = (want.function_name.clone(), version.clone());
        let seen = view.seen.versions.get(&key)?.as_ref()?;
        published_of(want, seen).then_some(version)
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

/// Whether a version has the code and settings. Its description is its own: it says for which Release it
/// was published.
fn published_of(want: &DesiredFunction, version: &Function) -> bool {
    let mut version = version.clone();
    version
        .configuration
        .description
        .clone_from(&want.configuration.description);
    same(want, &version)
}

fn same(want: &DesiredFunction, function: &Function) -> bool {
    function.code_sha256 == want.code_sha256
        && function.architecture == want.architecture
        && function.configuration == want.configuration
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
            Some(CheckResult::NotYet(why)) => return Next::NotYet(why.clone()),
            None if seen.known.patience.running.contains(&key) => {
                let what = format!("check {} of {}:{qualifier}", check.name, want.function_name);
                return Next::Running(what);
            }
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

/// Whether the run for this Release made the function.
fn was_created_for(function: &Function, release: &ReleaseRef) -> bool {
    function.tags.get(CREATED_FOR) == Some(&release.uid)
}

/// Lambda takes its time to move an alias with provisioned concurrency: until the version that the alias
/// names has it, the alias has a weight for the other version, which nobody gave it.
/// `to` is where it was sent, with all of its traffic.
/// <https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html>
fn reallocating(
    name: &str,
    alias: &str,
    now: &Alias,
    to: &AliasTarget,
    seen: &Observation,
) -> Option<Next> {
    let may_be = now.version == to.version && to.weights.is_empty() && now.weights.len() == 1;
    if !may_be {
        return None;
    }
    let (name, alias) = (name.to_owned(), alias.to_owned());
    match seen.provisioned.get(&name) {
        None => Some(Next::Read(Read::Provisioned { name, alias })),
        Some(found) => found.as_ref().map(|provisioned| {
            let (version, units) = (&to.version, provisioned.requested);
            match &provisioned.failure {
                None => Next::Wait(format!(
                    "version {version} of {name} to have the provisioned concurrency ({units}) of alias {alias}"
                )),
                // Right after the move it may be what came of the move before.
                Some(_) if seen.known.progressed_at >= seen.known.looked_at => {
                    Next::Wait(format!("another look at the provisioned concurrency of {name}"))
                }
                Some(why) => Next::Fail(format!(
                    "alias {alias} of function {name}: Lambda could not provide its provisioned concurrency \
                     ({units}) for version {version}: {why}"
                )),
            }
        }),
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

/// Why the update of `$LATEST` that was sent in this phase of the run came to nothing. One that failed
/// before is no reason not to send one.
fn update_failed(function: &Function, name: &str, seen: &Observation) -> Option<String> {
    let ours = seen.known.patience.has_updated(name, &function.revision_id);
    broken(function).filter(|_| ours)
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
