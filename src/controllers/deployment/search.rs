//! The known pipelines of a project. A search reads from GitLab what a verdict needs to continue.

use std::collections::{BTreeMap, BTreeSet};

use super::gitlab_failure::failed_call;
use crate::{
    domain::{
        eligibility::{Known, Listed},
        grants,
        outcome::Outcome,
        pipeline::{Bridge, Job, Pipeline, PipelineQuery, Project, TestSummary},
    },
    ports::{CallErrorKind, gitlab::GitLab},
};

/// The maximum number of pages of pipelines: a hundred pipelines each, of all tags if the ref is a pattern.
const PAGES: usize = 20;

/// One search for a pipeline to release.
pub struct Search<'a> {
    gitlab: &'a dyn GitLab,
    project: &'a Project,
    git_ref: &'a str,
    pages: usize,
    rows: usize,
    listed: Listed,
    /// Pipelines of another ref than the one that is meant.
    foreign: BTreeSet<i64>,
    pub pipelines: Vec<Pipeline>,
    pub jobs: BTreeMap<i64, Vec<Job>>,
    pub bridges: BTreeMap<i64, Vec<Bridge>>,
    tests: BTreeMap<i64, TestSummary>,
}

impl<'a> Search<'a> {
    /// Reads the newest pipelines of a branch or tag, or of the tags that a pattern matches.
    pub async fn begin(
        gitlab: &'a dyn GitLab,
        project: &'a Project,
        git_ref: &'a str,
    ) -> Result<Self, Outcome> {
        let mut search = Self {
            gitlab,
            project,
            git_ref,
            pages: 0,
            rows: 0,
            listed: Listed::More,
            foreign: BTreeSet::new(),
            pipelines: Vec::new(),
            jobs: BTreeMap::new(),
            bridges: BTreeMap::new(),
            tests: BTreeMap::new(),
        };
        search.older_pipelines().await?;
        Ok(search)
    }

    /// What is known so far.
    pub fn known(&self) -> Known<'_> {
        Known {
            pipelines: &self.pipelines,
            listed: self.listed,
            jobs: &self.jobs,
            bridges: &self.bridges,
            tests: &self.tests,
        }
    }

    /// Whether the ref has no pipeline at all.
    pub fn is_empty(&self) -> bool {
        self.pipelines.is_empty() && self.listed == Listed::All
    }

    pub async fn older_pipelines(&mut self) -> Result<(), Outcome> {
        let pattern = self.git_ref.contains('*');
        let query = if pattern {
            PipelineQuery::Tags
        } else {
            PipelineQuery::Ref(self.git_ref.to_owned())
        };
        let read = (self.gitlab)
            .pipelines(self.project.id, &query, self.pages)
            .await;
        // A missing project is an error of the field; a refused token is not.
        let page = read.map_err(|error| match error.kind {
            CallErrorKind::NotFound => failed_call("spec.source.project", error),
            _ => Outcome::from(error),
        })?;
        self.rows = self
            .rows
            .max(page.pipelines.len() + self.pages.saturating_sub(1) * 100);
        self.pages += 1;
        self.listed = match (page.more, self.pages > PAGES) {
            (false, _) => Listed::All,
            (true, false) => Listed::More,
            (true, true) => Listed::Enough(self.rows),
        };
        let is_wanted = |pipeline: &Pipeline| {
            let name = pipeline.git_ref.as_deref();
            !self.foreign.contains(&pipeline.id)
                && (!pattern || name.is_some_and(|name| grants::matches(self.git_ref, name)))
        };
        self.pipelines
            .extend(page.pipelines.into_iter().filter(is_wanted));
        Ok(())
    }

    pub async fn jobs(&mut self, pipeline: i64) -> Result<&[Job], Outcome> {
        let jobs = self.gitlab.jobs(self.project.id, pipeline).await;
        let jobs = jobs.map_err(Outcome::from)?;
        Ok(self.jobs.entry(pipeline).insert_entry(jobs).into_mut())
    }

    /// Excludes a pipeline of another ref of the same name: of the tag instead of the branch, or the reverse.
    pub fn pass_over(&mut self, pipeline: i64) {
        self.foreign.insert(pipeline);
        self.pipelines.retain(|one| one.id != pipeline);
    }

    pub async fn bridges(&mut self, pipeline: i64) -> Result<(), Outcome> {
        let bridges = self.gitlab.bridges(self.project.id, pipeline).await;
        self.bridges
            .insert(pipeline, bridges.map_err(Outcome::from)?);
        Ok(())
    }

    pub async fn tests(&mut self, pipeline: i64) -> Result<(), Outcome> {
        let tests = self.gitlab.test_summary(self.project.id, pipeline).await;
        self.tests.insert(pipeline, tests.map_err(Outcome::from)?);
        Ok(())
    }
}
