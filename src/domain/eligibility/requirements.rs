//! The requirements of a Deployment on a pipeline.

use std::collections::BTreeSet;

use super::job::JobName;
use crate::api::v1alpha1::DeploymentSpec;

/// Requirements on a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The branch, tag or pattern, for messages.
    pub git_ref: String,
    /// Jobs whose artifacts are delivered.
    pub artifact_jobs: BTreeSet<JobName>,
    /// Further jobs, or trigger jobs, that must have succeeded.
    pub required_jobs: BTreeSet<JobName>,
    /// Minimum number of tests in the report. None of them may have failed.
    pub minimum_tests: Option<i64>,
}

impl Requirements {
    /// The requirements of a Deployment.
    pub fn of(spec: &DeploymentSpec) -> Self {
        let pipeline = spec.source.pipeline.clone().unwrap_or_default();
        let own = pipeline.required_jobs.iter().map(|name| name[..].into());
        let of_children = pipeline.required_child_jobs.into_iter().map(|job| JobName {
            pipeline: Some(job.pipeline),
            name: job.name,
        });
        Self {
            git_ref: spec.source.git_ref.clone(),
            artifact_jobs: (spec.artifacts.iter())
                .map(|artifact| JobName::from(&artifact.job))
                .collect(),
            required_jobs: own.chain(of_children).collect(),
            minimum_tests: pipeline.minimum_tests,
        }
    }
}
