//! GitLab projects, pipelines and jobs as data.

use crate::api::v1alpha1::RefType;

/// The server's version, and the token's user, scopes and expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// GitLab's version, such as `19.1.2-ee`.
    pub version: String,
    /// Name of the token's user.
    pub user: String,
    /// The token's scopes, such as `read_api`.
    pub scopes: Vec<String>,
    /// The day at whose start (UTC) the token expires.
    pub expires_at: Option<jiff::civil::Date>,
}

/// A project by its permanent id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// GitLab's id, which survives renames and transfers.
    pub id: i64,
    /// The current path.
    pub path: String,
}

/// A branch or tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefState {
    /// Whether the ref is protected.
    pub protected: bool,
}

/// A pipeline as in lists. `status` does not decide about eligibility: see `super::eligibility`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// GitLab's id, which increases with every pipeline of the instance.
    pub id: i64,
    /// The commit.
    pub sha: String,
    /// Branch or tag; `None` if GitLab returns null.
    pub git_ref: Option<String>,
    /// GitLab's value, an open set.
    pub status: String,
    /// GitLab's value, an open set: `push`, `web`, `external`…
    pub source: String,
    /// URL of the pipeline's page.
    pub web_url: Option<String>,
}

/// A job that was not retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// GitLab's id. A retry creates a new job with a new id.
    pub id: i64,
    /// As in `.gitlab-ci.yml`.
    pub name: String,
    /// The job's stage.
    pub stage: String,
    /// GitLab's value, an open set.
    pub status: String,
    /// Whether the pipeline can succeed if the job fails or is not started.
    pub allow_failure: bool,
    /// Size of the artifacts archive in bytes, if GitLab lists one.
    pub archive_size: Option<u64>,
    /// Whether GitLab lists the archive as still kept (`artifacts_file`).
    pub archive_kept: bool,
    /// When the archive expires or expired.
    pub archive_expires_at: Option<jiff::Timestamp>,
    /// Title of the commit.
    pub commit_title: Option<String>,
    /// Whether the pipeline runs for a tag, if GitLab reports it.
    pub tag: Option<bool>,
    /// For a manual job that has not been started: the user of the pipeline. For any other job: the user
    /// who started or retried it.
    pub user: Option<JobUser>,
}

/// The type of the ref of these jobs' pipeline; `None` if the jobs disagree.
pub fn ref_type(jobs: &[Job]) -> Option<RefType> {
    let tag = jobs.first()?.tag?;
    let same = jobs.iter().all(|job| job.tag == Some(tag));
    same.then_some(if tag { RefType::Tag } else { RefType::Branch })
}

/// A trigger job, which GitLab calls a bridge: it starts another pipeline. GitLab lists bridges separately
/// from jobs. With `strategy: depend` (or `mirror`), the bridge's status follows that pipeline's; otherwise
/// it succeeds as soon as that pipeline is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// GitLab's id. A retry creates a new one. Bridges and jobs share one sequence of ids.
    pub id: i64,
    /// As in `.gitlab-ci.yml`.
    pub name: String,
    /// The bridge's stage.
    pub stage: String,
    /// GitLab's value, an open set.
    pub status: String,
    /// Whether the pipeline can succeed if the bridge fails or is not started.
    pub allow_failure: bool,
    /// The pipeline that it started; `None` until then, and if the token can't see it.
    pub downstream: Option<Downstream>,
}

/// A pipeline that a trigger job started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downstream {
    /// GitLab's id.
    pub id: i64,
    /// The project that it runs in.
    pub project_id: i64,
    /// The commit that it runs on.
    pub sha: String,
    /// GitLab's value, an open set.
    pub status: String,
    /// GitLab's value: `parent_pipeline` for a child, `pipeline` for one that was triggered like a pipeline
    /// of another project.
    pub source: String,
}

/// A GitLab user, as in jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobUser {
    /// GitLab's id, which survives a change of the name.
    pub id: i64,
    /// The current username.
    pub username: String,
    /// Whether it is a bot: of a project or group access token, or a service account. `None` if GitLab
    /// does not report it with the job.
    pub bot: Option<bool>,
}

/// A period in which a project requests that nothing is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezePeriod {
    /// GitLab's id.
    pub id: i64,
    /// When it begins, as a cron expression.
    pub freeze_start: String,
    /// When it ends, as a cron expression.
    pub freeze_end: String,
    /// The time zone of both: a name of IANA or Rails.
    pub cron_timezone: String,
}

/// A pipeline's test report in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestSummary {
    /// The number of tests.
    pub total: i64,
    /// The number of tests that failed or had an error.
    pub failed: i64,
}

/// Some of a project's pipelines, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelinePage {
    /// The pipelines.
    pub pipelines: Vec<Pipeline>,
    /// Whether older pipelines exist.
    pub more: bool,
}

/// Which pipelines to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PipelineQuery {
    /// The pipelines of exactly this branch or tag.
    Ref(String),
    /// The newest pipeline of every tag.
    Tags,
}
