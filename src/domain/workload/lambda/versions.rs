//! The version of a Release.

use super::{desired::DesiredFunction, function::Function, view::View};
use crate::api::v1alpha1::{PublishedVersion, ReleaseRef};

/// The version of this Release: published by this run, or by an earlier run of the Release.
pub fn version_of(want: &DesiredFunction, release: &ReleaseRef, view: View<'_>) -> Option<String> {
    let published = view.observed.published.get(&want.component).cloned();
    published.or_else(|| {
        let version = recorded(want, release, &view.status.versions)?;
        let key = (want.function_name.clone(), version.clone());
        let observed = view.observed.versions.get(&key)?.as_ref()?;
        is_published_from(want, observed).then_some(version)
    })
}

/// The version that the Target's status records for the Release.
pub fn recorded(
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

/// Whether a version has the desired code and settings. Its description may differ: it names the Release for
/// which the version was published.
pub fn is_published_from(want: &DesiredFunction, version: &Function) -> bool {
    let mut version = version.clone();
    version
        .configuration
        .description
        .clone_from(&want.configuration.description);
    same(want, &version)
}

pub fn same(want: &DesiredFunction, function: &Function) -> bool {
    function.code_sha256 == want.code_sha256
        && function.architecture == want.architecture
        && function.configuration == want.configuration
}
