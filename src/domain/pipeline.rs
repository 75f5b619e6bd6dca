//! GitLab's projects, pipelines and jobs as data.

use crate::api::v1alpha1::RefType;

/// The server and the token's standing on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Such as `19.1.2-ee`.
    pub version: String,
    /// Name of the token's user.
    pub user: String,
    /// The token's scopes, such as `read_api`.
    pub scopes: Vec<String>,
    /// The day at whose start (UTC) the token ends.
    pub expires_at: Option<jiff::civil::Date>,
}

/// A project by its lasting id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Survives renames and transfers.
    pub id: i64,
    /// Its path now.
    pub path: String,
}

/// A branch or tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefState {
    /// Whether only some may push to it.
    pub protected: bool,
}

/// A pipeline as lists show it. `status` is not judged by: see `super::eligibility`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Grows with every pipeline of the instance.
    pub id: i64,
    /// The commit.
    pub sha: String,
    /// Branch or tag; `None` where GitLab says null.
    pub git_ref: Option<String>,
    /// GitLab's word, an open set.
    pub status: String,
    /// GitLab's word, an open set: `push`, `web`, `external`…
    pub source: String,
    /// Its page.
    pub web_url: Option<String>,
}

/// A job that was not retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// A retry makes a new one.
    pub id: i64,
    /// As in `.gitlab-ci.yml`.
    pub name: String,
    /// The job's stage.
    pub stage: String,
    /// GitLab's word, an open set.
    pub status: String,
    /// Its failure, or not being played, does not count against the pipeline.
    pub allow_failure: bool,
    /// Size of the artifacts archive in bytes, where one is listed.
    pub archive_size: Option<u64>,
    /// Whether GitLab lists the archive as still kept (`artifacts_file`).
    pub archive_kept: bool,
    /// When the archive expires or expired.
    pub archive_expires_at: Option<jiff::Timestamp>,
    /// Title of the commit.
    pub commit_title: Option<String>,
    /// Whether its pipeline is of a tag, where GitLab says so.
    pub tag: Option<bool>,
    /// Of a manual job that nobody has started: whose pipeline it is. Of any other: who started or
    /// retried it.
    pub user: Option<JobUser>,
}

/// What the pipeline of these jobs is of; `None` where they do not all say the same.
pub fn ref_type(jobs: &[Job]) -> Option<RefType> {
    let said = jobs.first()?.tag?;
    let same = jobs.iter().all(|job| job.tag == Some(said));
    same.then_some(if said { RefType::Tag } else { RefType::Branch })
}

/// A trigger job, which GitLab calls a bridge: it starts another pipeline. Lists show it apart from
/// jobs. With `strategy: depend` (or `mirror`) its status follows that pipeline's, else it has
/// succeeded as soon as that one is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// A retry makes a new one. Bridges and jobs share one sequence of ids.
    pub id: i64,
    /// As in `.gitlab-ci.yml`.
    pub name: String,
    /// The bridge's stage.
    pub stage: String,
    /// GitLab's word, an open set.
    pub status: String,
    /// Its failure, or not being played, does not count against the pipeline.
    pub allow_failure: bool,
    /// What it started; `None` until then, and where the token can't see it.
    pub downstream: Option<Downstream>,
}

/// A pipeline that a trigger job started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downstream {
    /// Its id.
    pub id: i64,
    /// The project that it runs in.
    pub project_id: i64,
    /// The commit that it runs on.
    pub sha: String,
    /// GitLab's word, an open set.
    pub status: String,
    /// GitLab's word: `parent_pipeline` for a child, `pipeline` for one that was triggered like one of
    /// another project.
    pub source: String,
}

/// A user of GitLab, as jobs show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobUser {
    /// Survives a change of the name.
    pub id: i64,
    /// The name they go by.
    pub username: String,
    /// Whether it is a bot: of a project or group access token, or a service account. `None` where
    /// GitLab does not say so with the job.
    pub bot: Option<bool>,
}

/// A time in which a project asks for nothing to be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezePeriod {
    /// GitLab's id.
    pub id: i64,
    /// When it begins, as cron says it.
    pub freeze_start: String,
    /// When it ends, as cron says it.
    pub freeze_end: String,
    /// The time zone of both: IANA's name or Rails'.
    pub cron_timezone: String,
}

/// A pipeline's test report in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestSummary {
    /// All of them.
    pub total: i64,
    /// Failed or in error.
    pub failed: i64,
}

/// Some of a project's pipelines, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelinePage {
    /// The pipelines.
    pub pipelines: Vec<Pipeline>,
    /// Whether there are older ones.
    pub more: bool,
}

/// Which pipelines to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PipelineQuery {
    /// Those of exactly this branch or tag.
    Ref(String),
    /// Of every tag the newest one.
    Tags,
}
