//! Reads from one GitLab instance with one token.
//!
//! Reads are conditional (ETag) where GitLab supports it: repeating a read costs a 304 if nothing has
//! changed.

use async_trait::async_trait;

use super::{CallError, store::ByteStream, validators::Validators};
use crate::{
    api::v1alpha1::RefType,
    domain::pipeline::{
        Bridge, FreezePeriod, Job, JobUser, PipelinePage, PipelineQuery, Project, RefState,
        Standing, TestSummary,
    },
};

/// A download in progress.
pub struct Download {
    /// The size that the server announced.
    pub declared_size: Option<u64>,
    /// The bytes. A body that is cut off or too long ends in [`super::CallErrorKind::Corrupt`].
    pub body: ByteStream,
}

/// GitLab, read with one token. Errors name the project, ref or job, and the missing scope or role.
#[async_trait]
pub trait GitLab: Send + Sync {
    /// `GET /version` (or `/metadata`), `GET /personal_access_tokens/self`, `GET /user`.
    async fn standing(&self) -> Result<Standing, CallError>;

    /// `GET /projects/:id`; follows the redirect of a renamed project.
    async fn project(&self, project: &str) -> Result<Project, CallError>;

    /// The branch or tag with that name; `None` if it does not exist.
    async fn git_ref(
        &self,
        project_id: i64,
        kind: RefType,
        name: &str,
    ) -> Result<Option<RefState>, CallError>;

    /// `GET /projects/:id/pipelines`, newest first by id. Page 0 has the newest 20, which is mostly enough.
    /// Each page `n` after it has the `n`th hundred, which repeats some of the earlier pipelines.
    async fn pipelines(
        &self,
        project_id: i64,
        query: &PipelineQuery,
        page: usize,
    ) -> Result<PipelinePage, CallError>;

    /// `GET /projects/:id/pipelines/:id`: the name of the pipeline's user.
    async fn pipeline_user(
        &self,
        project_id: i64,
        pipeline_id: i64,
    ) -> Result<Option<String>, CallError>;

    /// `GET /projects/:id/pipelines/:id/jobs`, all pages, without retried jobs.
    async fn jobs(&self, project_id: i64, pipeline_id: i64) -> Result<Vec<Job>, CallError>;

    /// `GET /projects/:id/pipelines/:id/bridges`, all pages, without retried ones.
    async fn bridges(&self, project_id: i64, pipeline_id: i64) -> Result<Vec<Bridge>, CallError>;

    /// `GET /projects/:id/pipelines/:id/test_report_summary`.
    async fn test_summary(
        &self,
        project_id: i64,
        pipeline_id: i64,
    ) -> Result<TestSummary, CallError>;

    /// `GET /projects/:id/freeze_periods`, all pages. The token's user needs the role Reporter, or
    /// Maintainer in older versions of GitLab.
    async fn freeze_periods(&self, project_id: i64) -> Result<Vec<FreezePeriod>, CallError>;

    /// `GET /users/:id`: the user, and whether it is a bot.
    async fn user(&self, user_id: i64) -> Result<JobUser, CallError>;

    /// `GET /projects/:id/jobs/:id/artifacts[/path]`. The adapter follows redirects itself, without the
    /// token.
    async fn artifact(
        &self,
        project_id: i64,
        job_id: i64,
        path: Option<&str>,
    ) -> Result<Download, CallError>;

    /// Whether everything that was read is unchanged, by conditional requests for the same reads. As of the
    /// moment ([`super::as_of::AsOf`]) that the caller names, if any.
    async fn are_unchanged(&self, validators: &Validators) -> Result<bool, CallError>;
}

/// Creates one shared client per connection.
#[async_trait]
pub trait GitLabs: Send + Sync {
    /// A client for this connection, with the current token of its Secret.
    async fn client(
        &self,
        connection: &crate::api::v1alpha1::GitLabConnection,
    ) -> Result<std::sync::Arc<dyn GitLab>, CallError>;
}
