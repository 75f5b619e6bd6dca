//! The state of a GitLab instance and its rules, without HTTP and without a clock.
//!
//! Every change takes its time as an argument, and either succeeds completely or fails with a [`Refusal`].

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
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Refusal {
    #[error("the simulator has no {kind} {name}; create it first")]
    Missing { kind: &'static str, name: String },
    #[error("{kind} {name} already exists; use another name")]
    Exists { kind: &'static str, name: String },
    #[error("job {job} is {} and can't be played; only a manual job can", status.as_str())]
    Unplayable { job: JobId, status: Status },
    #[error("job {job} is {} (already retried: {retried}); only the newest job can be retried, after it has ended", status.as_str())]
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

/// The state of one instance.
#[derive(Debug, Default)]
pub struct InstanceState {
    projects: BTreeMap<ProjectId, Project>,
    /// The former full paths of projects.
    moved: BTreeMap<String, ProjectId>,
    users: BTreeMap<UserId, User>,
    tokens: BTreeMap<String, Token>,
    pipelines: BTreeMap<PipelineId, Pipeline>,
    jobs: BTreeMap<JobId, Job>,
    last_pipeline: Option<PipelineId>,
    last_job: Option<JobId>,
    freeze_periods_made: u64,
}
