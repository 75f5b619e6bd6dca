//! The state of a GitLab instance and its rules, without HTTP and without a clock.
//!
//! Every change takes the moment at which it happens and either is done whole or is refused with
//! a [`Refusal`] that says why.

mod access;
mod ids;
mod pipelines;
mod reads;
mod repository;
mod running;
mod spec;
mod status;
mod triggers;

use std::collections::BTreeMap;

pub use access::{Role, Token, User};
pub use ids::{JobId, PipelineId, ProjectId, UserId};
pub use pipelines::{Archive, Job, NewPipeline, Pipeline, Trigger};
pub use repository::{Commit, FreezePeriod, Project, Ref, Visibility};
pub use spec::{JobEnd, JobKind, JobSpec, Strategy, TestSuite, TriggerSpec};
pub use status::{Status, composite};

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("there is no {kind} {name} in the simulator; create it first")]
    Missing { kind: &'static str, name: String },
    #[error("{kind} {name} exists already; use another name")]
    Exists { kind: &'static str, name: String },
    #[error("job {job} is {} and has no play button; only a manual job has one", status.as_str())]
    Unplayable { job: JobId, status: Status },
    #[error("job {job} is {} (already retried: {retried}); only the newest, ended job can be retried", status.as_str())]
    NotRetryable {
        job: JobId,
        status: Status,
        retried: bool,
    },
    #[error("job {job} is {}; {wanted}", status.as_str())]
    WrongStatus {
        job: JobId,
        status: Status,
        wanted: &'static str,
    },
}

impl Refusal {
    fn missing(kind: &'static str, name: &(impl ToString + ?Sized)) -> Self {
        Self::Missing {
            kind,
            name: name.to_string(),
        }
    }
}

/// Everything one instance knows.
#[derive(Debug, Default)]
pub struct World {
    projects: BTreeMap<ProjectId, Project>,
    /// Old full paths, and the project that had each.
    moved: BTreeMap<String, ProjectId>,
    users: BTreeMap<UserId, User>,
    tokens: BTreeMap<String, Token>,
    pipelines: BTreeMap<PipelineId, Pipeline>,
    jobs: BTreeMap<JobId, Job>,
    last_pipeline: Option<PipelineId>,
    last_job: Option<JobId>,
    freeze_periods_made: u64,
}
