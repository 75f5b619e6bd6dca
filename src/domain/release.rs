//! When to create a new Release, and its content.

use super::{digest::Sha256, grants::matches, outcome::shorten, workload::spec};
use crate::api::v1alpha1::{
    DeploymentSpec, PinnedArtifact, ReleaseSource, ReleaseSpec, Stage, Template,
};

/// An existing Release, as far as it matters for the next one.
#[derive(Clone, Debug)]
pub struct ExistingRelease {
    /// The Release's spec.
    pub spec: ReleaseSpec,
    /// Whether it failed in some stage.
    pub failed: bool,
}

/// The part of a Deployment that a Release copies.
pub fn template(spec: &DeploymentSpec) -> Template {
    Template {
        artifacts: spec.artifacts.clone(),
        components: spec.components.clone(),
        // A gate says who may let a Release pass, not what it is, so it is not part of the template.
        stages: spec
            .stages
            .iter()
            .map(|stage| Stage {
                gate: None,
                ..stage.clone()
            })
            .collect(),
        rollback: spec.rollback.clone(),
        progress_deadline: spec.progress_deadline.clone(),
    }
}

/// The identity of a delivery: pipeline, artifact digests, template.
pub fn key(pipeline_id: i64, artifacts: &[PinnedArtifact], template: &Template) -> Sha256 {
    let digests: Vec<_> = artifacts
        .iter()
        .map(|artifact| (&artifact.name, &artifact.sha256))
        .collect();
    Sha256::of_json(&(pipeline_id, digests, template))
}

/// The Release to create, without its revision; `None` if nothing is new.
///
/// `fetched` has the source and artifacts of the newest eligible pipeline. Without it, the new Release
/// reuses those of the newest Release, so that an edit of the template needs no GitLab.
pub fn next(
    spec: &DeploymentSpec,
    former: &[ExistingRelease],
    fetched: Option<(ReleaseSource, Vec<PinnedArtifact>)>,
) -> Option<ReleaseSpec> {
    let newest = former.iter().max_by_key(|former| former.spec.revision);
    let template = template(spec);
    let (source, artifacts) = match (fetched, newest) {
        (Some(fetched), _) => fetched,
        (None, Some(newest)) if reusable(spec, newest) => {
            (newest.spec.source.clone(), newest.spec.artifacts.clone())
        }
        _ => return None,
    };
    let key = key(source.pipeline_id, &artifacts, &template).to_string();
    // The ref may have been protected only after its first Release: a Release that records the protection
    // may pass where the earlier one may not.
    let is_protected = |source: &ReleaseSource| source.ref_protected == Some(true);
    let tried = former.iter().any(|former| {
        former.spec.key == key
            && (is_protected(&former.spec.source) || !is_protected(&source))
            && (former.failed
                || newest.is_some_and(|newest| newest.spec.revision == former.spec.revision))
    });
    (!tried).then_some(ReleaseSpec {
        revision: 0,
        key,
        source,
        artifacts,
        template,
    })
}

/// Whether a Release has the artifacts that the Deployment now requires.
fn reusable(spec: &DeploymentSpec, newest: &ExistingRelease) -> bool {
    let source = &newest.spec.source;
    let same_project = spec.source.project == source.project
        || spec.source.project == source.project_id.to_string();
    let same_ref = spec.source.git_ref == source.git_ref || spec.source.git_ref.contains('*');
    let artifacts = &newest.spec.artifacts;
    same_project
        && same_ref
        && newest.spec.template.artifacts == spec.artifacts
        && unread_assemblies(spec, artifacts).next().is_none()
}

/// The cloud assemblies that components need and no artifact has yet: the name of the artifact and the folder.
pub fn unread_assemblies<'a>(
    spec: &'a DeploymentSpec,
    artifacts: &'a [PinnedArtifact],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let needed = spec.components.iter();
    let needed = needed.filter_map(|it| Some((spec::artifact(it)?, spec::assembly(it)?)));
    needed.filter(move |(artifact, folder)| {
        let mut of_name = artifacts.iter().filter(|it| it.name == *artifact);
        !of_name.any(|it| it.assemblies.iter().any(|it| it.folder == *folder))
    })
}

/// The source of a Release. Text that is only displayed is cut to the maximum length.
#[allow(
    clippy::too_many_arguments,
    reason = "each is a separate fact of the source"
)]
pub fn source(
    project_id: i64,
    project: &str,
    git_ref: &str,
    commit: &str,
    title: Option<&str>,
    pipeline_id: i64,
    pipeline_url: Option<&str>,
    user: Option<&str>,
) -> ReleaseSource {
    ReleaseSource {
        url: None,
        project_id,
        project: project.to_owned(),
        git_ref: git_ref.to_owned(),
        ref_type: None,
        ref_protected: None,
        commit: commit.to_owned(),
        short_commit: commit.chars().take(8).collect(),
        title: title.map(|title| shorten(title, 255)),
        pipeline_id,
        pipeline_url: pipeline_url.map(|url| shorten(url, 2048)),
        user: user.map(|user| shorten(user, 255)),
    }
}

/// The highest pipeline that was released from a ref of a project, or from any tag that matches a pattern
/// such as `v*`.
pub fn highest_pipeline<'a>(
    sources: impl IntoIterator<Item = &'a ReleaseSource>,
    project_id: i64,
    git_ref: &str,
) -> Option<i64> {
    let sources = sources.into_iter();
    sources
        .filter(|source| source.project_id == project_id && matches(git_ref, &source.git_ref))
        .map(|source| source.pipeline_id)
        .max()
}

/// The name of a Release.
pub fn name(deployment: &str, revision: i64) -> String {
    format!("{deployment}-{revision}")
}

/// The name of a Target: readable, and unique even if the concatenated parts are equal.
pub fn target_name(deployment: &str, stage: &str, account: &str, region: &str) -> String {
    let readable: String = format!("{deployment}-{stage}-{account}-{region}")
        .chars()
        .take(200)
        .collect();
    let digest = Sha256::of_json(&(deployment, stage, account, region)).short();
    format!("{readable}-{digest}")
}

/// The Releases that may be deleted: all but the newest one, `limit` before it, and those that are still
/// referenced.
pub fn old(revisions: &[i64], named: &[i64], limit: usize) -> Vec<i64> {
    let mut sorted: Vec<i64> = revisions.to_vec();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    // One more than the limit: the newest is the current one, the others are history.
    sorted
        .into_iter()
        .skip(limit + 1)
        .filter(|revision| !named.contains(revision))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_targets_do_not_collide() {
        let one = target_name("a-b", "c", "d", "eu-west-1");
        let other = target_name("a", "b-c", "d", "eu-west-1");
        assert_ne!(one, other);
        assert!(one.starts_with("a-b-c-d-eu-west-1-"));
    }

    #[test]
    fn ref_protected_later_makes_a_new_release() {
        let spec: DeploymentSpec = serde_json::from_value(serde_json::json!({
            "source": {"connection": "gitlab", "project": "shop/checkout", "ref": "v1"},
            "artifacts": [], "components": [],
            "stages": [{"name": "dev", "targets": [{"account": "dev", "region": "eu-west-1"}]}],
        }))
        .expect("a spec");
        let from = |ref_protected| ReleaseSource {
            ref_protected,
            ..source(1, "shop/checkout", "v1", "c", None, 5, None, None)
        };
        let next_of = |released: &[Option<bool>], now| {
            let mut former: Vec<ExistingRelease> = Vec::new();
            for (revision, protected) in (1..).zip(released) {
                let fetched = (from(*protected), Vec::new());
                let mut spec = next(&spec, &former, Some(fetched)).expect("a Release");
                spec.revision = revision;
                former.push(ExistingRelease {
                    spec,
                    failed: false,
                });
            }
            next(&spec, &former, Some((from(now), Vec::new())))
        };
        assert_eq!(next_of(&[Some(false)], Some(false)), None);
        assert!(next_of(&[Some(false)], Some(true)).is_some());
        assert!(next_of(&[None], Some(true)).is_some());
        assert_eq!(next_of(&[Some(false), Some(true)], Some(true)), None);
        assert_eq!(next_of(&[Some(true)], Some(false)), None);
    }

    #[test]
    fn highest_pipeline_is_of_the_same_project_and_ref() {
        let released = |project_id, git_ref, pipeline_id| {
            source(project_id, "p", git_ref, "c", None, pipeline_id, None, None)
        };
        let sources = [
            released(1, "main", 5),
            released(1, "main", 7),
            released(1, "mainly", 8),
            released(2, "main", 9),
            released(1, "v1", 3),
            released(1, "v2", 4),
        ];
        assert_eq!(highest_pipeline(&sources, 1, "main"), Some(7));
        assert_eq!(highest_pipeline(&sources, 1, "v*"), Some(4));
        assert_eq!(highest_pipeline(&sources, 3, "main"), None);
    }

    #[test]
    fn history_keeps_the_newest_and_referenced_releases() {
        assert_eq!(old(&[1, 2, 3, 4, 5], &[1], 2), vec![2]);
        assert_eq!(old(&[1, 2], &[], 2), Vec::<i64>::new());
    }
}
