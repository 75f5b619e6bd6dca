//! Which branch or tag a pipeline is of, and whether it is protected.
//!
//! A branch and a tag may have the same name, and GitLab lists the pipelines of both under it. A plain
//! `spec.source.ref` is the branch of that name where there is one, else the tag; a pattern is tags.
//!
//! # Guarantees
//! - What a pipeline is of comes from its jobs, and protection from the branch or the tag itself, never
//!   from the other one of that name.
//! - GitLab is asked once for each pipeline that is new, and again only while something asks for a
//!   protected ref that this one was not.

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
    /// Whether a pipeline with these jobs is of the ref that is meant.
    pub async fn mean(&self, jobs: &[Job]) -> Result<bool, Outcome> {
        match ref_type(jobs) {
            Some(RefType::Branch) => Ok(!self.git_ref.contains('*')),
            Some(RefType::Tag) if !self.git_ref.contains('*') => {
                let branch = self.state(RefType::Branch, self.git_ref).await?;
                Ok(branch.is_none())
            }
            Some(RefType::Tag) | None => Ok(true),
        }
    }

    /// Tells a ref without pipelines from a ref that is not there.
    pub async fn exist(&self) -> Result<(), Outcome> {
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

    /// What the pipeline is of. `known` is what was found before; `asked` is whether something asks for a
    /// protected ref.
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
            // What can't be told apart is not taken for the protected one.
            None => None,
        };
        Ok(Reference {
            kind,
            protected: Some(protected.unwrap_or_default()),
        })
    }

    /// Whether the branch or tag is protected; `None` where there is none.
    async fn state(&self, kind: RefType, name: &str) -> Result<Option<bool>, Outcome> {
        let found = self.gitlab.git_ref(self.project.id, kind, name).await;
        let found = found.map_err(Outcome::from)?;
        Ok(found.map(|state| state.protected))
    }
}

/// What is known of this pipeline's ref without GitLab: from the last answer, or from the newest Release
/// that was made of it. `done` is whether nothing waits for a better answer: that Release serves in all of
/// its stages.
pub struct Known<'a> {
    pub reference: Reference,
    pub released: Option<&'a ReleaseSource>,
    pub done: bool,
}

/// What is known of a pipeline of this GitLab.
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
