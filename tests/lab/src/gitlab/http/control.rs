//! The lab's control over HTTP; [`crate::gitlab`] lists its requests.

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{answer::Answer, query::Query};
use crate::gitlab::{
    FaultRule,
    archive::{ArtifactSource, zip},
    model::{
        InstanceState, JobEnd, JobId, JobKind, JobSpec, NewPipeline, ProjectId, Refusal, Strategy,
        TriggerSpec, UserId,
    },
    simulator::Shared,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProjectBody {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenBody {
    username: String,
    scopes: Vec<String>,
    expires_at: Option<jiff::civil::Date>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PushBody {
    project: String,
    branch: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TagBody {
    project: String,
    tag: String,
    sha: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FreezeBody {
    project: String,
    start: String,
    end: String,
    time_zone: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PipelineBody {
    project: String,
    #[serde(rename = "ref")]
    ref_name: String,
    username: Option<String>,
    jobs: Vec<JobBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JobBody {
    name: String,
    stage: String,
    #[serde(default)]
    kind: JobKind,
    #[serde(default)]
    allow_failure: bool,
    ends: Option<Ends>,
    triggers: Option<TriggerBody>,
}

/// A child pipeline.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TriggerBody {
    #[serde(default)]
    strategy: Strategy,
    jobs: Vec<JobBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Ends {
    Success,
    Failed,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UserBody {
    username: String,
}

impl From<JobBody> for JobSpec {
    fn from(body: JobBody) -> Self {
        let outcome = body.ends.map(|ends| match ends {
            Ends::Success => JobEnd::success(),
            Ends::Failed => JobEnd::failed(),
        });
        Self {
            name: body.name,
            stage: body.stage,
            kind: body.kind,
            allow_failure: body.allow_failure,
            outcome,
            trigger: body.triggers.map(|trigger| TriggerSpec {
                strategy: trigger.strategy,
                elsewhere: None,
                jobs: trigger.jobs.into_iter().map(Self::from).collect(),
            }),
        }
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body)
        .map_err(|error| Answer::error(400, &format!("invalid body: {error}")))
}

fn refused(refusal: &Refusal) -> Answer {
    let status = if matches!(refusal, Refusal::Missing { .. }) {
        404
    } else {
        409
    };
    Answer::error(status, &refusal.to_string())
}

fn project(state: &InstanceState, name: &str) -> Result<ProjectId, Refusal> {
    let by_id = name
        .parse()
        .ok()
        .and_then(|id| state.project(ProjectId(id)).ok());
    let found = by_id.or_else(|| state.project_at(name));
    found
        .map(|project| project.id)
        .ok_or_else(|| Refusal::Missing {
            kind: "project",
            name: name.to_owned(),
        })
}

/// The user of that name, created if missing.
fn user(state: &mut InstanceState, now: jiff::Timestamp, name: &str) -> Result<UserId, Refusal> {
    match state.user_named(name) {
        Some(user) => Ok(user.id),
        None => state.create_user(now, name),
    }
}

/// Answers one request; `path` is the part after `/_lab/`.
pub fn answer(shared: &Shared, method: &str, path: &str, query: &Query, body: &Bytes) -> Answer {
    handle(shared, method, path, query, body).unwrap_or_else(|refused| refused)
}

fn handle(
    shared: &Shared,
    method: &str,
    path: &str,
    query: &Query,
    body: &Bytes,
) -> Result<Answer, Answer> {
    let parts: Vec<&str> = path.split('/').collect();
    let created = match (method, parts.as_slice()) {
        ("GET", ["requests"]) => return Ok(Answer::json(json!(shared.log.all()))),
        ("GET", ["faults"]) => return Ok(Answer::json(json!(shared.faults.list()))),
        ("DELETE", ["faults", id]) => {
            let removed = id.parse().is_ok_and(|id| shared.faults.remove(id));
            return Ok(Answer::empty(if removed { 204 } else { 404 }));
        }
        ("POST", ["faults"]) => {
            let handle = shared.faults.add(parsed::<FaultRule>(body)?);
            let id = handle.id();
            handle.keep();
            json!({"id": id})
        }
        ("POST", ["jobs", id, action]) => {
            let id = id
                .parse()
                .map(JobId)
                .map_err(|_| Answer::error(400, "the job id is not a number"))?;
            job_action(shared, id, action, query, body)?
        }
        ("POST", [kind]) => create(shared, kind, body)?,
        _ => return Err(Answer::error(404, "unknown control request")),
    };
    Ok(Answer::created(201, created))
}

fn create(shared: &Shared, kind: &str, body: &[u8]) -> Result<Value, Answer> {
    let created = match kind {
        "projects" => {
            let ProjectBody { path } = parsed(body)?;
            shared.change(|state, now| Ok(json!({"id": state.create_project(now, &path)?})))
        }
        "tokens" => {
            let TokenBody {
                username,
                scopes,
                expires_at,
            } = parsed(body)?;
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            shared.change(|state, now| {
                let user = user(state, now, &username)?;
                Ok(json!({"token": state.create_token(now, user, &scopes, expires_at)?}))
            })
        }
        "push" => {
            let PushBody {
                project: name,
                branch,
                message,
            } = parsed(body)?;
            shared.change(|state, now| {
                let project = project(state, &name)?;
                Ok(json!({"sha": state.push(now, project, &branch, &message)?}))
            })
        }
        "tags" => {
            let TagBody {
                project: name,
                tag,
                sha,
            } = parsed(body)?;
            shared.change(|state, _| {
                let project = project(state, &name)?;
                state.tag(project, &tag, &sha)?;
                Ok(json!({"tag": tag}))
            })
        }
        "freeze-periods" => {
            let FreezeBody {
                project: name,
                start,
                end,
                time_zone,
            } = parsed(body)?;
            shared.change(|state, now| {
                let project = project(state, &name)?;
                let times = (start.as_str(), end.as_str(), time_zone.as_str());
                Ok(json!({"id": state.add_freeze_period(now, project, times)?}))
            })
        }
        "pipelines" => {
            let body: PipelineBody = parsed(body)?;
            shared.change(|state, now| run_pipeline(state, now, body))
        }
        _ => return Err(Answer::error(404, "unknown control request")),
    };
    created.map_err(|refusal| refused(&refusal))
}

fn run_pipeline(
    state: &mut InstanceState,
    now: jiff::Timestamp,
    body: PipelineBody,
) -> Result<Value, Refusal> {
    let user = body
        .username
        .map(|name| user(state, now, &name))
        .transpose()?;
    let new = NewPipeline {
        project: project(state, &body.project)?,
        ref_name: body.ref_name,
        source: "push".to_owned(),
        user,
        jobs: body.jobs.into_iter().map(JobSpec::from).collect(),
    };
    let id = state.run_pipeline(now, new)?;
    let jobs = state.jobs_of(id, false);
    let jobs = jobs
        .iter()
        .map(|job| json!({"id": job.id, "name": job.name, "status": job.status.as_str()}));
    Ok(json!({"id": id, "jobs": jobs.collect::<Vec<_>>()}))
}

fn job_action(
    shared: &Shared,
    id: JobId,
    action: &str,
    query: &Query,
    body: &Bytes,
) -> Result<Value, Answer> {
    let done = match action {
        "start" => shared.change(|state, now| state.start_job(now, id).map(|()| id)),
        "finish" => {
            let end = end(query, body)?;
            shared.change(|state, now| state.finish_job(now, id, end).map(|()| id))
        }
        "play" => {
            let UserBody { username } = parsed(body)?;
            shared.change(|state, now| {
                let user = user(state, now, &username)?;
                state.play(now, id, user).map(|()| id)
            })
        }
        "retry" => {
            let UserBody { username } = parsed(body)?;
            shared.change(|state, now| {
                let user = user(state, now, &username)?;
                state.retry(now, id, user)
            })
        }
        _ => return Err(Answer::error(404, "unknown control request")),
    };
    done.map(|id| json!({"id": id}))
        .map_err(|refusal| refused(&refusal))
}

/// How the job ends: with `failed=<reason>` it fails. With `path=<file>` its archive has that file, with the
/// body or `generatedBytes=<n>` bytes. Otherwise the body is the archive; an empty body means none.
fn end(query: &Query, body: &Bytes) -> Result<JobEnd, Answer> {
    if let Some(reason) = query.get("failed") {
        return Ok(JobEnd::Failed {
            reason: reason.to_owned(),
        });
    }
    let generated = query.parsed::<u32>("generatedBytes")?;
    Ok(match (query.get("path"), generated) {
        (Some(path), Some(size)) => JobEnd::uploads(ArtifactSource::generated(path, size, 1)),
        (Some(path), None) => JobEnd::uploads(zip(&[(path, body)])),
        (None, _) if body.is_empty() => JobEnd::success(),
        (None, _) => JobEnd::uploads(body.clone()),
    })
}
