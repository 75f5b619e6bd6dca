//! The component protocol for a Lambda function: what comes next in each step, from what is there.

mod alias;
mod begin;
mod collect;
mod drift;
mod plan;
mod prepare;
mod restore;

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
    restore::{delete, restore},
};
use super::{
    asked::{CheckKey, CheckPhase, CheckResult, Moment},
    next::{Next, View},
    observation::{Action, Effect, Observation},
};
use crate::{
    api::v1alpha1::{PublishedVersion, ReleaseRef},
    domain::{
        desired::DesiredFunction,
        function::{Alias, Function, FunctionState, LastUpdate},
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
            Some(CheckResult::NotYet(why)) => return Next::Wait(why.clone()),
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
