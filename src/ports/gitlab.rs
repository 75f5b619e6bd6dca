//! What is read from GitLab, with one token, from one instance.
//!
//! Reads are conditional (ETag) where GitLab supports it: a repeated read of something unchanged
//! costs a 304.

use async_trait::async_trait;

use super::{CallError, store::ByteStream, validators::Validators};
use crate::{
    api::v1alpha1::RefType,
    domain::pipeline::{
        Bridge, FreezePeriod, Job, JobUser, PipelinePage, PipelineQuery, Project, RefState,
        Standing, TestSummary,
    },
};

/// A download under way.
pub struct Download {
    /// What the server said it would send.
    pub declared_size: Option<u64>,
    /// The bytes. Cut off or too long ends in [`super::CallErrorKind::Corrupt`].
    pub body: ByteStream,
}

/// GitLab, read with one token. Errors name the project, ref or job and the scope or role that is
/// missing.
#[async_trait]
pub trait GitLab: Send + Sync {
    /// `GET /version` (or `/metadata`), `GET /personal_access_tokens/self`, `GET /user`.
    async fn standing(&self) -> Result<Standing, CallError>;

    /// `GET /projects/:id`; a renamed project is followed.
    async fn project(&self, project: &str) -> Result<Project, CallError>;

    /// The branch or the tag of that name; `None` where there is none.
    async fn git_ref(
        &self,
        project_id: i64,
        kind: RefType,
        name: &str,
    ) -> Result<Option<RefState>, CallError>;

    /// `GET /projects/:id/pipelines`, newest first by id: page 0 has the newest 20, which is mostly
    /// enough; page `n` above that has the `n`th hundred, which repeats some of those before it.
    async fn pipelines(
        &self,
        project_id: i64,
        query: &PipelineQuery,
        page: usize,
    ) -> Result<PipelinePage, CallError>;

    /// `GET /projects/:id/pipelines/:id`: the name of its user.
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

    /// `GET /projects/:id/freeze_periods`, all pages. The token's user needs the role Reporter; in
    /// older versions it takes a Maintainer.
    async fn freeze_periods(&self, project_id: i64) -> Result<Vec<FreezePeriod>, CallError>;

    /// `GET /users/:id`: who that is, and whether it is a bot.
    async fn user(&self, user_id: i64) -> Result<JobUser, CallError>;

    /// `GET /projects/:id/jobs/:id/artifacts[/path]`. Redirects are followed by hand, without the
    /// token.
    async fn artifact(
        &self,
        project_id: i64,
        job_id: i64,
        path: Option<&str>,
    ) -> Result<Download, CallError>;

    /// Whether everything that was read is still as it was, by conditional requests for just that. As of a moment
    /// ([`super::as_of::AsOf`]) where the caller names one.
    async fn still_hold(&self, validators: &Validators) -> Result<bool, CallError>;
}

/// Makes clients, one per connection, shared.
#[async_trait]
pub trait GitLabs: Send + Sync {
    /// A client for this connection with the token that its Secret holds now.
    async fn client(
        &self,
        connection: &crate::api::v1alpha1::GitLabConnection,
    ) -> Result<std::sync::Arc<dyn GitLab>, CallError>;
}
