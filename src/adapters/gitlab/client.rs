//! [`GitLab`] over the REST API of one instance.

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    address::{self, file_path, segment},
    download::download,
    errors::Call,
    http::{Http, Refused, SharedHttp},
    wire,
};
use crate::{
    api::v1alpha1::RefType,
    domain::pipeline::{
        Bridge, FreezePeriod, Job, JobUser, Pipeline, PipelinePage, PipelineQuery, Project,
        RefState, Standing, TestSummary,
    },
    ports::{
        CallError, CallErrorKind,
        gitlab::{Download, GitLab},
        validators::Validators,
    },
};

/// The most pages of a list, of a hundred rows each.
const PAGES: usize = 50;
/// The most bytes of a list, counted by the fields that are kept: some hundred per row.
const LIST_BYTES: usize = 4 << 20;

/// One instance with one token.
pub struct Client {
    http: SharedHttp,
}

impl Client {
    pub(super) fn new(http: Http) -> Self {
        Self {
            http: SharedHttp::new(http),
        }
    }

    /// Allows a refused token to be sent again.
    pub(super) fn clear_refusal(&self) {
        self.http.clear_refusal();
    }

    /// Whether GitLab refused the token.
    pub(super) fn is_token_refused(&self) -> bool {
        self.http.is_token_refused()
    }

    async fn one<T>(&self, call: &Call, path: &str) -> Result<T, CallError>
    where
        T: DeserializeOwned + Serialize,
    {
        let page = self.http.get(call, path).await;
        page.map(|page| page.content)
            .map_err(|refused| refused.error)
    }

    /// `None` if the resource is missing, but its project exists.
    async fn optional<T>(&self, call: &Call, path: &str) -> Result<Option<T>, CallError>
    where
        T: DeserializeOwned + Serialize,
    {
        match self.http.get(call, path).await {
            Ok(page) => Ok(Some(page.content)),
            Err(Refused { absent: true, .. }) => Ok(None),
            Err(refused) => Err(refused.error),
        }
    }

    async fn all<T>(&self, call: &Call, path: String) -> Result<Vec<T>, CallError>
    where
        T: DeserializeOwned + Serialize,
    {
        let mut all = Vec::new();
        let mut bytes = 0;
        let mut next = Some(path);
        for _ in 0..PAGES {
            let Some(path) = next else {
                return Ok(all);
            };
            let page: super::http::Page<Vec<T>> =
                (self.http.get(call, &path).await).map_err(|refused| refused.error)?;
            bytes += page.bytes;
            if bytes > LIST_BYTES {
                return Err(call.error(
                    CallErrorKind::TooLarge,
                    format!("the list has more than the limit of {LIST_BYTES} bytes"),
                ));
            }
            all.extend(page.content);
            next = page.next;
        }
        if next.is_none() {
            return Ok(all);
        }
        Err(call.error(
            CallErrorKind::TooLarge,
            format!("more than the limit of {PAGES} pages of 100"),
        ))
    }
}

#[async_trait]
impl GitLab for Client {
    async fn standing(&self) -> Result<Standing, CallError> {
        let call = self.http.call("GET /version", "the API");
        let version: wire::Version = self.one(&call, "/version").await?;
        let call = self.http.call("GET /user", "the token's user");
        let user: wire::User = self.one(&call, "/user").await?;
        let call = self
            .http
            .call("GET /personal_access_tokens/self", "the token");
        // Tokens that are not access tokens have no such details, and fine-grained ones need a
        // separate permission for them. Either token can read all the same.
        let token: wire::Token = match self.one(&call, "/personal_access_tokens/self").await {
            Ok(token) => token,
            Err(error)
                if matches!(
                    error.kind,
                    CallErrorKind::NotFound | CallErrorKind::Denied | CallErrorKind::Invalid
                ) =>
            {
                wire::Token::default()
            }
            Err(error) => return Err(error),
        };
        Ok(Standing {
            version: version.version,
            user: user.username,
            scopes: token.scopes,
            expires_at: token.expires_at,
        })
    }

    async fn project(&self, project: &str) -> Result<Project, CallError> {
        let call = self
            .http
            .call("GET /projects/:id", &format!("project {project}"));
        let path = format!("/projects/{}", address::project(project));
        let wire: wire::Project = self.one(&call, &path).await?;
        Ok(Project {
            id: wire.id,
            path: wire.path_with_namespace,
        })
    }

    async fn git_ref(
        &self,
        project_id: i64,
        kind: RefType,
        name: &str,
    ) -> Result<Option<RefState>, CallError> {
        let thing = format!("ref {name} of project {project_id}");
        let (operation, folder) = match kind {
            RefType::Branch => ("GET /projects/:id/repository/branches/:branch", "branches"),
            RefType::Tag => ("GET /projects/:id/repository/tags/:tag", "tags"),
        };
        let call = self.http.call(operation, &thing);
        let name = segment(name);
        let path = format!("/projects/{project_id}/repository/{folder}/{name}");
        let found: Option<wire::GitRef> = self.optional(&call, &path).await?;
        Ok(found.map(|found| RefState {
            protected: found.protected.unwrap_or_default(),
        }))
    }

    async fn pipelines(
        &self,
        project_id: i64,
        query: &PipelineQuery,
        page: usize,
    ) -> Result<PipelinePage, CallError> {
        let filter = match query {
            PipelineQuery::Ref(name) => format!("ref={}", segment(name)),
            PipelineQuery::Tags => "scope=tags".to_owned(),
        };
        let call = self.http.call(
            "GET /projects/:id/pipelines",
            &format!("project {project_id}"),
        );
        let rows = match page {
            0 => "per_page=20".to_owned(),
            page => format!("per_page=100&page={page}"),
        };
        let path =
            format!("/projects/{project_id}/pipelines?{filter}&order_by=id&sort=desc&{rows}");
        let read: super::http::Page<Vec<wire::Pipeline>> =
            (self.http.get(&call, &path).await).map_err(|refused| refused.error)?;
        let mut pipelines: Vec<Pipeline> = read.content.into_iter().map(Pipeline::from).collect();
        pipelines.sort_by_key(|pipeline| std::cmp::Reverse(pipeline.id));
        Ok(PipelinePage {
            pipelines,
            more: read.next.is_some(),
        })
    }

    async fn pipeline_user(
        &self,
        project_id: i64,
        pipeline_id: i64,
    ) -> Result<Option<String>, CallError> {
        let call = self.http.call(
            "GET /projects/:id/pipelines/:id",
            &format!("pipeline {pipeline_id} of project {project_id}"),
        );
        let path = format!("/projects/{project_id}/pipelines/{pipeline_id}");
        let wire: wire::PipelineDetails = self.one(&call, &path).await?;
        Ok(wire.user.map(|user| user.username))
    }

    async fn jobs(&self, project_id: i64, pipeline_id: i64) -> Result<Vec<Job>, CallError> {
        let call = self.http.call(
            "GET /projects/:id/pipelines/:id/jobs",
            &format!("pipeline {pipeline_id} of project {project_id}"),
        );
        let path = format!("/projects/{project_id}/pipelines/{pipeline_id}/jobs?per_page=100");
        let wire: Vec<wire::Job> = self.all(&call, path).await?;
        let mut jobs: Vec<Job> = wire.into_iter().map(Job::from).collect();
        // Lists shift while they are read: a row that moved to the next page appears twice.
        jobs.sort_by_key(|job| job.id);
        jobs.dedup_by_key(|job| job.id);
        Ok(jobs)
    }

    async fn bridges(&self, project_id: i64, pipeline_id: i64) -> Result<Vec<Bridge>, CallError> {
        let call = self.http.call(
            "GET /projects/:id/pipelines/:id/bridges",
            &format!("pipeline {pipeline_id} of project {project_id}"),
        );
        let path = format!("/projects/{project_id}/pipelines/{pipeline_id}/bridges?per_page=100");
        let wire: Vec<wire::Bridge> = self.all(&call, path).await?;
        let mut bridges: Vec<Bridge> = wire.into_iter().map(Bridge::from).collect();
        bridges.sort_by_key(|bridge| bridge.id);
        bridges.dedup_by_key(|bridge| bridge.id);
        Ok(bridges)
    }

    async fn test_summary(
        &self,
        project_id: i64,
        pipeline_id: i64,
    ) -> Result<TestSummary, CallError> {
        let call = self.http.call(
            "GET /projects/:id/pipelines/:id/test_report_summary",
            &format!("pipeline {pipeline_id} of project {project_id}"),
        );
        let path = format!("/projects/{project_id}/pipelines/{pipeline_id}/test_report_summary");
        let wire: wire::TestReportSummary = self.one(&call, &path).await?;
        Ok(wire.total.into())
    }

    async fn freeze_periods(&self, project_id: i64) -> Result<Vec<FreezePeriod>, CallError> {
        let call = self.http.call(
            "GET /projects/:id/freeze_periods",
            &format!("project {project_id}"),
        );
        let path = format!("/projects/{project_id}/freeze_periods?per_page=100");
        let wire: Vec<wire::FreezePeriod> = self.all(&call, path).await?;
        Ok(wire.into_iter().map(FreezePeriod::from).collect())
    }

    async fn user(&self, user_id: i64) -> Result<JobUser, CallError> {
        let call = self.http.call("GET /users/:id", &format!("user {user_id}"));
        let wire: wire::JobUser = self.one(&call, &format!("/users/{user_id}")).await?;
        Ok(wire.into())
    }

    async fn artifact(
        &self,
        project_id: i64,
        job_id: i64,
        path: Option<&str>,
    ) -> Result<Download, CallError> {
        let job = format!("job {job_id} of project {project_id}");
        let (call, below) = match path {
            None => (
                self.http.call("GET /projects/:id/jobs/:id/artifacts", &job),
                String::new(),
            ),
            Some(path) => {
                let thing = format!("file {path} of {job}");
                let call = self
                    .http
                    .call("GET /projects/:id/jobs/:id/artifacts/*path", &thing);
                let encoded = file_path(path)
                    .map_err(|problem| call.error(CallErrorKind::Invalid, problem))?;
                (call, format!("/{encoded}"))
            }
        };
        let address = format!("/projects/{project_id}/jobs/{job_id}/artifacts{below}");
        let found = download(&self.http, &call, &address).await;
        found.map_err(|mut error| {
            if error.kind == CallErrorKind::NotFound {
                error.message.push_str(match path {
                    None => {
                        ". The job has no artifacts archive: it expired, was erased, or the job \
                         uploads none. Run the job again"
                    }
                    Some(_) => {
                        ". The job's artifacts hold no such file, or they expired or were erased. \
                         Look at artifacts:paths in .gitlab-ci.yml, or run the job again"
                    }
                });
            }
            error
        })
    }

    async fn are_unchanged(&self, validators: &Validators) -> Result<bool, CallError> {
        for (path, validator) in validators.iter() {
            let call = self.http.call(validator.operation, "what was read before");
            let still = self
                .http
                .is_etag_current(&call, path, &validator.value)
                .await;
            if !still.map_err(|refused| refused.error)? {
                return Ok(false);
            }
        }
        Ok(validators.can_revalidate())
    }
}
