//! Prepare: `$LATEST` gets code and settings, and a version of them is published.

use super::{
    act, broken, checks, published_of, recorded, settling, tags, update_failed, was_created_for,
};
use crate::{
    api::v1alpha1::{ReleaseRef, annotation},
    domain::{
        desired::DesiredFunction,
        function::FunctionState,
        machine::{
            asked::{CheckPhase, Moment},
            next::{Next, View},
            observation::{Action, Observation, Read},
            snapshot::FunctionSnapshot,
        },
        ownership::{CREATED_FOR, Claim},
    },
};

/// `$LATEST` has code and settings, and a version of them is published, runs and passes the checks.
pub fn prepare(
    want: &DesiredFunction,
    release: &ReleaseRef,
    before: Option<&FunctionSnapshot>,
    view: View<'_>,
) -> Next {
    let (owner, seen) = (view.owner, view.seen);
    if let Some(version) = seen.known.published.get(&want.component) {
        return version_ready(want, version, view);
    }
    let name = &want.function_name;
    let function = match seen.functions.get(name) {
        None => return Next::Read(Read::Function { name: name.clone() }),
        Some(None) => {
            let mut created = want.clone();
            let tag = (CREATED_FOR.to_owned(), release.uid.clone());
            created.tags.extend([tag]);
            return with_package(want, seen, |code| Action::Create(Box::new(created), code));
        }
        Some(Some(function)) => function,
    };
    if let Some(why) = owner.obstacle(&function.tags, &want.adoption) {
        return Next::Fail(format!("function {name} can't be taken: {why}"));
    }
    if before.is_some_and(|before| before.latest.is_none()) && !was_created_for(function, release) {
        return Next::Fail(format!(
            "function {name} is there, but was not found when the run began: somebody made it since, or AWS \
             told an old state; it was not touched; set {} to deliver to it as it is",
            annotation::RETRY
        ));
    }
    let tags = tags::set(want, function, view);
    // What is taken over is marked before it is changed, so that nobody else takes it.
    let marks_first = owner.claim(&function.tags) == Claim::Nobodys;
    if let Some(next) = tags.clone().filter(|_| marks_first) {
        return next;
    }
    if let Some(wait) = settling(name, function) {
        return wait;
    }
    if let Some(why) = update_failed(function, name, seen) {
        return Next::Fail(format!(
            "function {name}: {why}; once that is mended, set {} to send the update again",
            annotation::RETRY
        ));
    }
    if function.code_sha256 != want.code_sha256 || function.architecture != want.architecture {
        return with_package(want, seen, |code| Action::UpdateCode {
            architecture: want.architecture.clone(),
            code,
            revision_id: function.revision_id.clone(),
        });
    }
    // What was left broken, by whomever, is updated once, though it has the values already.
    if function.configuration != want.configuration || broken(function).is_some() {
        return act(
            want,
            Action::UpdateConfiguration {
                configuration: Box::new(want.configuration.clone()),
                revision_id: function.revision_id.clone(),
            },
        );
    }
    if let Some(next) = tags {
        return next;
    }
    // A Release that was here before still has its version, unless somebody deleted it.
    if let Some(version) = recorded(want, release, &view.status.versions) {
        match seen.versions.get(&(name.clone(), version.clone())) {
            None => {
                return Next::Read(Read::Version {
                    name: name.clone(),
                    version,
                });
            }
            Some(Some(published)) if published_of(want, published) => {
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
    if published.state == FunctionState::Inactive {
        return wake(want, version, seen);
    }
    let moment = Moment {
        phase: CheckPhase::BeforeTraffic,
        level: view.level,
        step: 0,
        round: 0,
    };
    checks(want, version, moment, seen)
}

/// Lambda puts what nobody has invoked for weeks to sleep. Only an invocation wakes it, and fails by that:
/// the function's code does not run.
/// <https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html>
fn wake(want: &DesiredFunction, version: &str, seen: &Observation) -> Next {
    let (name, known) = (&want.function_name, &seen.known);
    if known.patience.is_waking(name, version, known.looked_at) {
        return Next::Wait(format!("{name}:{version}, which is Inactive, to wake"));
    }
    let payload = want.checks.first();
    let payload = payload.map_or_else(|| "{}".to_owned(), |check| check.payload.clone());
    let version = version.to_owned();
    act(want, Action::Wake { version, payload })
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
