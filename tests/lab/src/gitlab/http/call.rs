//! One request to the API: its endpoint, its identity, and its answer from the state.

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::json;

use super::{
    access::{self, Identity},
    answer::Answer,
    artifacts, jobs, pipelines, projects,
    query::Query,
    route::{Endpoint, Inside},
    show::{self, Show},
};
use crate::gitlab::{
    Transport,
    model::{InstanceState, Project, ProjectId, UserId},
};

/// The addresses and the version of an instance.
#[derive(Clone, Debug)]
pub struct Site {
    /// The external address with the relative root, without a trailing slash.
    pub base: String,
    /// The address of the object storage.
    pub storage: String,
    /// The version, such as `19.1.2-ee`.
    pub version: String,
}

/// A request to the API.
pub struct Call<'a> {
    pub state: &'a mut InstanceState,
    pub site: &'a Site,
    pub transport: Transport,
    pub method: &'a str,
    /// Below `/api/v4/`, as sent.
    pub path: &'a str,
    pub raw_query: &'a str,
    pub query: Query,
    pub headers: &'a HeaderMap,
    pub identity: Option<Identity>,
    pub now: Timestamp,
}

/// The scopes that can read.
const READ: [&str; 2] = ["api", "read_api"];
/// The scopes that can write.
const WRITE: [&str; 1] = ["api"];
/// The scopes that can read users, tokens and the version.
const READ_USER: [&str; 3] = ["api", "read_api", "read_user"];

impl Call<'_> {
    /// The answer, which may be an error.
    pub fn answer(&mut self) -> Answer {
        self.handle().unwrap_or_else(|refused| refused)
    }

    fn handle(&mut self) -> Result<Answer, Answer> {
        let endpoint = Endpoint::of(self.path).ok_or_else(Answer::no_route)?;
        let wanted = endpoint.method();
        let moved = self.moved(&endpoint);
        if let Some(answer) = moved {
            return Ok(answer);
        }
        let is_read = matches!(self.method, "GET" | "HEAD");
        if (wanted == "GET") != is_read || (!is_read && wanted != self.method) {
            return Err(Answer::error(405, "405 Not Allowed")
                .with(header::ALLOW, format!("OPTIONS, {wanted}")));
        }
        match endpoint {
            Endpoint::Version => {
                self.require(&READ_USER)?;
                Ok(Answer::json(
                    json!({"version": self.site.version, "revision": "1a2b3c4d5e6"}),
                ))
            }
            Endpoint::Metadata => {
                self.require(&READ_USER)?;
                Ok(Answer::json(json!({
                    "version": self.site.version,
                    "revision": "1a2b3c4d5e6",
                    "kas": {"enabled": false, "externalUrl": null, "externalK8sProxyUrl": null, "version": null},
                    "enterprise": self.site.version.ends_with("-ee"),
                })))
            }
            Endpoint::CurrentUser => {
                let user = self.require(&READ_USER)?.user;
                let user = self.state.user(user).map_err(|_| Answer::unauthorized())?;
                Ok(Answer::json(self.show().user_own(user)))
            }
            Endpoint::User(id) => {
                let Some(identity) = &self.identity else {
                    return Err(Answer::message(403, "403 Forbidden - Not authorized!"));
                };
                identity.require_scope(&READ_USER)?;
                let id = UserId(number(&id, "id")?);
                let user = self
                    .state
                    .user(id)
                    .map_err(|_| Answer::message(404, "404 User Not Found"))?;
                Ok(Answer::json(self.show().user_profile(user)))
            }
            Endpoint::OwnToken => {
                let identity = self.identity.as_ref().ok_or_else(Answer::unauthorized)?;
                let token = self
                    .state
                    .token(&identity.secret)
                    .map_err(|_| Answer::unauthorized())?;
                Ok(Answer::json(show::token(token, self.now)))
            }
            Endpoint::In(project, inside) => self.inside(&project, inside),
        }
    }

    fn inside(&mut self, project: &str, inside: Inside) -> Result<Answer, Answer> {
        let is_write = !matches!(self.method, "GET" | "HEAD");
        if is_write || requires_credential(&inside) {
            self.require(if is_write { &WRITE } else { &READ })?;
        } else if let Some(identity) = &self.identity {
            identity.require_scope(&READ)?;
        }
        let id = self.project_id(project)?;
        if inside != Inside::Project {
            access::require_read(self.identity.as_ref(), self.project(id)?)?;
        }
        if is_write {
            access::require_write(self.require(&WRITE)?)?;
        }
        match inside {
            Inside::Project => projects::one(self, id),
            Inside::Branches => projects::branches(self, id),
            Inside::Branch(name) => projects::branch(self, id, &name),
            Inside::Tag(name) => projects::tag(self, id, &name),
            Inside::Commit(name) => projects::commit(self, id, &name),
            Inside::FreezePeriods => projects::freeze_periods(self, id),
            Inside::FreezePeriod(period) => projects::freeze_period(self, id, &period),
            Inside::Pipelines => pipelines::list(self, id),
            Inside::LatestPipeline => pipelines::latest(self, id),
            Inside::Pipeline(pipeline) => pipelines::one(self, id, &pipeline),
            Inside::CancelPipeline(pipeline) => pipelines::cancel(self, id, &pipeline),
            Inside::PipelineJobs(pipeline) => pipelines::jobs(self, id, &pipeline),
            Inside::PipelineBridges(pipeline) => pipelines::bridges(self, id, &pipeline),
            Inside::TestReportSummary(pipeline) => {
                pipelines::test_report_summary(self, id, &pipeline)
            }
            Inside::Jobs => jobs::list(self, id),
            Inside::Job(job) => jobs::one(self, id, &job),
            Inside::PlayJob(job) => jobs::play(self, id, &job),
            Inside::RetryJob(job) => jobs::retry(self, id, &job),
            Inside::CancelJob(job) => jobs::cancel(self, id, &job),
            Inside::EraseJob(job) => jobs::erase(self, id, &job),
            Inside::Artifacts(job) => artifacts::archive(self, id, &job),
            Inside::ArtifactFile(job, file) => artifacts::file(self, id, &job, &file),
        }
    }

    /// The JSON views of this instance.
    pub fn show(&self) -> Show<'_> {
        Show {
            state: self.state,
            base: &self.site.base,
        }
    }

    /// The address of the requested list, without parameters.
    pub fn url(&self) -> String {
        format!("{}/api/v4/{}", self.site.base, self.path)
    }

    pub fn project(&self, id: ProjectId) -> Result<&Project, Answer> {
        self.state.project(id).map_err(|_| Answer::no_project())
    }

    /// The identity, which must exist and have a sufficient scope.
    pub fn require(&self, sufficient: &[&str]) -> Result<&Identity, Answer> {
        let identity = self.identity.as_ref().ok_or_else(Answer::unauthorized)?;
        identity.require_scope(sufficient)?;
        Ok(identity)
    }

    fn project_id(&self, name: &str) -> Result<ProjectId, Answer> {
        let is_number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        let found = if is_number {
            name.parse()
                .ok()
                .and_then(|id| self.state.project(ProjectId(id)).ok())
        } else {
            self.state.project_at(name)
        };
        let found = found.filter(|project| access::can_see(self.identity.as_ref(), project));
        found
            .map(|project| project.id)
            .ok_or_else(Answer::no_project)
    }

    /// The redirect from a project's former path, if the identity can see the project.
    fn moved(&self, endpoint: &Endpoint) -> Option<Answer> {
        let Endpoint::In(name, _) = endpoint else {
            return None;
        };
        let project = self.state.project_moved_from(name)?;
        access::can_see(self.identity.as_ref(), project).then_some(())?;
        if self.method != "GET" {
            return Some(Answer::message(
                405,
                "Non GET methods are not allowed for moved projects",
            ));
        }
        let rest = self
            .path
            .splitn(3, '/')
            .nth(2)
            .map_or_else(String::new, |rest| format!("/{rest}"));
        let query = if self.raw_query.is_empty() {
            String::new()
        } else {
            format!("?{}", self.raw_query)
        };
        // GitLab takes an unencoded dot for the start of a format and keeps it in the address, which then
        // matches no project. (Symptom: python-gitlab's issue 3299; the exact address is inferred.)
        let raw = self.path.split('/').nth(1).unwrap_or_default();
        let format = raw.rfind('.').map_or("", |dot| &raw[dot..]);
        let to = format!(
            "{}/api/v4/projects/{}{format}{rest}{query}",
            self.site.base, project.id
        );
        let text = format!("This resource has been moved permanently to {to}");
        Some(Answer::text(301, "text/plain", text).with(header::LOCATION, to))
    }
}

/// Whether a read without a credential is refused before any lookup.
fn requires_credential(inside: &Inside) -> bool {
    matches!(
        inside,
        Inside::Jobs | Inside::Job(_) | Inside::FreezePeriods | Inside::FreezePeriod(_)
    )
}

/// An id in a path, which must be a number.
pub fn number(text: &str, name: &str) -> Result<u64, Answer> {
    text.parse()
        .map_err(|_| Answer::error(400, &format!("{name} is invalid")))
}
