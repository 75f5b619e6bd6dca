//! The branch or tag of a pipeline, and whether it is protected.
//!
//! A branch and a tag may have the same name, and GitLab lists the pipelines of both under it. A plain
//! `spec.source.ref` means the branch of that name if it exists, otherwise the tag; a pattern means tags.
//!
//! # Guarantees
//! - The ref of a pipeline comes from its jobs, and its protection from that branch or tag itself, never from
//!   the other one of that name.
//! - GitLab is asked once for each new pipeline, and again only while a protected ref is required and this
//!   one was not protected.

use std::sync::Arc;

use super::answer::{Answer, Reference};
use crate::{
    api::v1alpha1::{RefType, Release, ReleaseSource},
    domain::{
        outcome::Outcome,
        pipeline::{Job, Pipeline, Project, ref_type},
        reason::Reason,
    },
    ports::gitlab::GitLab,
};

/// The refs that `spec.source.ref` names.
pub struct Refs<'a> {
    pub gitlab: &'a dyn GitLab,
    pub project: &'a Project,
    pub git_ref: &'a str,
}

impl Refs<'_> {
    /// Whether a pipeline with these jobs belongs to the ref that `spec.source.ref` means.
    pub async fn includes(&self, jobs: &[Job]) -> Result<bool, Outcome> {
        match ref_type(jobs) {
            Some(RefType::Branch) => Ok(!self.git_ref.contains('*')),
            Some(RefType::Tag) if !self.git_ref.contains('*') => {
                let branch = self.state(RefType::Branch, self.git_ref).await?;
                Ok(branch.is_none())
            }
            Some(RefType::Tag) | None => Ok(true),
        }
    }

    /// Fails if the ref does not exist. A ref without pipelines may exist.
    pub async fn check_exists(&self) -> Result<(), Outcome> {
        if self.git_ref.contains('*') {
            return Ok(());
        }
        for kind in [RefType::Branch, RefType::Tag] {
            if self.state(kind, self.git_ref).await?.is_some() {
                return Ok(());
            }
        }
        let message = format!(
            "spec.source.ref: project {} has no branch or tag {}",
            self.project.path, self.git_ref
        );
        Err(Outcome::stalled(Reason::RefNotFound, message))
    }

    /// The ref of the pipeline. `known` is an earlier result; `asked` says whether a protected ref is
    /// required.
    pub async fn of(
        &self,
        pipeline: &Pipeline,
        jobs: &[Job],
        known: Option<Reference>,
        asked: bool,
    ) -> Result<Reference, Outcome> {
        if let Some(known) = known.filter(|known| !asked || known.protected == Some(true)) {
            return Ok(known);
        }
        let kind = ref_type(jobs);
        let name = pipeline.git_ref.as_deref().unwrap_or(self.git_ref);
        let protected = match kind {
            Some(kind) => self.state(kind, name).await?,
            // A pipeline whose ref is ambiguous does not count as protected.
            None => None,
        };
        Ok(Reference {
            kind,
            protected: Some(protected.unwrap_or_default()),
        })
    }

    /// Whether the branch or tag is protected; `None` if it does not exist.
    async fn state(&self, kind: RefType, name: &str) -> Result<Option<bool>, Outcome> {
        let found = self.gitlab.git_ref(self.project.id, kind, name).await;
        let found = found.map_err(Outcome::from)?;
        Ok(found.map(|state| state.protected))
    }
}

/// What is known about a pipeline's ref without GitLab: from the last answer, or from the newest Release of
/// that pipeline. `done` says that nothing waits for a better answer, because that Release serves in all of
/// its stages.
pub struct Known<'a> {
    pub reference: Reference,
    pub released: Option<&'a ReleaseSource>,
    pub done: bool,
}

/// What is known about a pipeline of this GitLab.
pub fn known<'a>(
    url: &str,
    project: &Project,
    pipeline: &Pipeline,
    last: Option<&Answer>,
    releases: &'a [Arc<Release>],
) -> Option<Known<'a>> {
    let of = |source: &ReleaseSource| {
        source.pipeline_id == pipeline.id
            && source.project_id == project.id
            && source.commit == pipeline.sha
            && source.url.as_deref().is_none_or(|its| its == url)
    };
    let made = releases.iter().filter(|release| of(&release.spec.source));
    if let Some(release) = made.max_by_key(|release| release.spec.revision) {
        let source = &release.spec.source;
        let outcomes = release.status.iter().flat_map(|status| &status.stages);
        let succeeded = outcomes.filter(|stage| stage.outcome == "Succeeded");
        return Some(Known {
            reference: Reference {
                kind: source.ref_type,
                protected: source.ref_protected,
            },
            released: Some(source),
            done: succeeded.count() == release.spec.template.stages.len(),
        });
    }
    let last = last.filter(|last| last.url == url && last.pipeline.id == pipeline.id)?;
    Some(Known {
        reference: last.reference,
        released: None,
        done: false,
    })
}
