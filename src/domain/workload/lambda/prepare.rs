//! Prepare: updates `$LATEST`, and publishes a version of it.

use super::{
    action::Action,
    checks::checks,
    desired::DesiredFunction,
    function::{CodeLocation, FunctionState},
    observed::Read,
    state::{broken, settling, update_failed, was_created_for},
    tags,
    versions::{is_published_from, recorded},
    view::{Next, View},
};
use crate::{
    api::v1alpha1::{ReleaseRef, annotation},
    domain::{
        check::{CheckPhase, Moment},
        ownership::{CREATED_FOR, Claim},
    },
};

/// The next action until `$LATEST` has the desired code, settings and tags, and a published version of it is
/// active and passes the checks before traffic.
pub fn prepare(want: &DesiredFunction, release: &ReleaseRef, view: View<'_>) -> Next {
    let (owner, observed, before) = (view.owner, view.observed, view.before);
    if let Some(version) = observed.published.get(&want.component) {
        return version_ready(want, version, view);
    }
    let name = &want.function_name;
    let function = match observed.functions.get(name) {
        None => return Next::Read(Read::Function { name: name.clone() }),
        Some(None) => {
            let mut created = want.clone();
            let tag = (CREATED_FOR.to_owned(), release.uid.clone());
            created.tags.extend([tag]);
            return with_package(want, view, |code| Action::Create(Box::new(created), code));
        }
        Some(Some(function)) => function,
    };
    if let Some(why) = owner.obstacle(&function.tags, &want.adoption) {
        return Next::Fail(format!("function {name} can't be deployed: {why}"));
    }
    if before.is_some_and(|before| before.latest.is_none()) && !was_created_for(function, release) {
        return Next::Fail(format!(
            "function {name} exists, but was not found when the run began: it was created since, or AWS \
             returned a stale answer; Sluice did not change it; set {} to deliver to it",
            annotation::RETRY
        ));
    }
    let tags = tags::set(want, function, view);
    // An unmanaged function is tagged before it is changed, so that no other Deployment adopts it.
    let tags_first = owner.claim(&function.tags) == Claim::Unowned;
    if let Some(next) = tags.clone().filter(|_| tags_first) {
        return next;
    }
    if let Some(wait) = settling(name, function) {
        return wait;
    }
    if let Some(why) = update_failed(function, name, observed) {
        return Next::Fail(format!(
            "function {name}: {why}; fix the cause, then set {} to repeat the update",
            annotation::RETRY
        ));
    }
    if function.code_sha256 != want.code_sha256 || function.architecture != want.architecture {
        return with_package(want, view, |code| Action::UpdateCode {
            architecture: want.architecture.clone(),
            code,
            revision_id: function.revision_id.clone(),
        });
    }
    // A function whose last update failed is updated once more, though it has the desired settings already.
    if function.configuration != want.configuration || broken(function).is_some() {
        return Next::Act(Action::UpdateConfiguration {
            configuration: Box::new(want.configuration.clone()),
            revision_id: function.revision_id.clone(),
        });
    }
    if let Some(next) = tags {
        return next;
    }
    // A Release that was delivered before still has its version, unless the version was deleted externally.
    if let Some(version) = recorded(want, release, &view.status.versions) {
        match observed.versions.get(&(name.clone(), version.clone())) {
            None => {
                return Next::Read(Read::Version {
                    name: name.clone(),
                    version,
                });
            }
            Some(Some(published)) if is_published_from(want, published) => {
                return version_ready(want, &version, view);
            }
            Some(_) => {}
        }
    }
    Next::Act(Action::Publish {
        code_sha256: want.code_sha256,
        revision_id: function.revision_id.clone(),
        description: format!("{}/{} {}", owner.namespace, owner.name, release.name),
    })
}

/// The next action until the published version is active and passes the checks before traffic.
fn version_ready(want: &DesiredFunction, version: &str, view: View<'_>) -> Next {
    let (name, observed) = (&want.function_name, view.observed);
    let published = match observed.versions.get(&(name.clone(), version.to_owned())) {
        None => {
            return Next::Read(Read::Version {
                name: name.clone(),
                version: version.to_owned(),
            });
        }
        Some(None) => {
            return Next::Fail(format!(
                "version {version} of function {name} was deleted externally"
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
        return wake(want, version, view);
    }
    let moment = Moment {
        phase: CheckPhase::BeforeTraffic,
        level: view.level,
        step: 0,
        round: 0,
    };
    checks(want, version, moment, view)
}

/// Lambda makes a version inactive that was not invoked for weeks. Only an invocation reactivates it. That
/// invocation fails, without running the function's code.
/// <https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html>
fn wake(want: &DesiredFunction, version: &str, view: View<'_>) -> Next {
    let name = &want.function_name;
    if view.observed.is_waking(name, version, view.pass.began) {
        return Next::wait(format!(
            "{name}:{version}, which is Inactive, to become Active"
        ));
    }
    let payload = want.checks.first();
    let payload = payload.map_or_else(|| "{}".to_owned(), |check| check.payload.clone());
    let version = version.to_owned();
    Next::Act(Action::Wake { version, payload })
}

fn with_package(
    want: &DesiredFunction,
    view: View<'_>,
    action: impl FnOnce(CodeLocation) -> Action,
) -> Next {
    Next::Act(match view.observed.packages.get(&want.code_sha256) {
        Some(code) => action(code.clone()),
        None => Action::CopyPackage(Box::new(want.clone())),
    })
}
