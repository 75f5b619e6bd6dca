//! Prepare: `$LATEST` gets code and settings, and a version of them is published.

use std::collections::BTreeMap;

use super::{act, broken, checks, published_of, recorded, settling};
use crate::{
    api::v1alpha1::ReleaseRef,
    domain::{
        desired::DesiredFunction,
        machine::{
            next::{Next, View},
            observation::{Action, CheckPhase, Moment, Observation, Read},
        },
    },
};

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
    let moment = Moment {
        phase: CheckPhase::BeforeTraffic,
        level: view.level,
        step: 0,
        round: 0,
    };
    checks(want, version, moment, seen)
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
