//! The pipeline to release, or why none was found.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    api::v1alpha1::{Deployment, JobArtifact, RefType},
    domain::{
        eligibility::newest_job,
        outcome::Outcome,
        pipeline::{Job, Pipeline, Project},
    },
    ports::gitlab::GitLab,
};

/// The branch or tag of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `None` if the jobs don't show it.
    pub kind: Option<RefType>,
    /// `None` if an earlier version, which did not read it, created the Release.
    pub protected: Option<bool>,
}

/// The newest eligible pipeline.
pub struct Answer {
    /// The address of the GitLab.
    pub url: String,
    pub gitlab: Arc<dyn GitLab>,
    pub project: Project,
    pub pipeline: Pipeline,
    /// The branch or tag of the pipeline.
    pub reference: Reference,
    pub user: Option<String>,
    pub jobs: Vec<Job>,
    /// The child pipelines that artifacts come from, by the trigger job that started each.
    pub children: BTreeMap<String, Child>,
    /// Which newer pipelines were passed over and why, or another note.
    pub note: Option<String>,
}

/// A child pipeline.
pub struct Child {
    pub pipeline_id: i64,
    pub jobs: Vec<Job>,
}

/// Why no pipeline was found.
#[derive(Clone, Debug)]
pub struct Unresolved {
    pub outcome: Outcome,
    /// Whether what is missing was not released yet.
    pub is_new: bool,
}

impl Answer {
    /// The newest job of that name, and the pipeline or child pipeline that has it.
    pub fn job(&self, wanted: &JobArtifact) -> Option<(i64, &Job)> {
        let (of, jobs) = match &wanted.pipeline {
            None => (self.pipeline.id, &self.jobs),
            Some(bridge) => {
                let child = self.children.get(bridge)?;
                (child.pipeline_id, &child.jobs)
            }
        };
        newest_job(jobs, &wanted.name).map(|job| (of, job))
    }

    /// The jobs that artifacts are taken from.
    pub fn artifact_jobs(&self, deployment: &Deployment) -> BTreeSet<i64> {
        let artifacts = deployment.spec.artifacts.iter();
        let jobs = artifacts.filter_map(|artifact| self.job(&artifact.job));
        jobs.map(|(_, job)| job.id).collect()
    }
}
