//! Pipelines: lists with filters, single pipelines, and their jobs and reports.

use std::cmp::Reverse;

use super::{
    answer::Answer,
    call::{Call, number},
    paging::{self, Totals},
    show_ci,
};
use crate::gitlab::model::{InstanceState, Pipeline, PipelineId, Project, ProjectId, Status};

const ORDERS: [&str; 5] = ["id", "status", "ref", "updated_at", "user_id"];
const SCOPES: [&str; 5] = ["running", "pending", "finished", "branches", "tags"];
pub const SORTS: [&str; 2] = ["asc", "desc"];

fn pipeline<'a>(call: &'a Call<'_>, project: ProjectId, id: &str) -> Result<&'a Pipeline, Answer> {
    let id = PipelineId(number(id, "pipeline_id")?);
    let found = call
        .state
        .pipeline(id)
        .ok()
        .filter(|pipeline| pipeline.project == project);
    found.ok_or_else(Answer::no_record)
}

pub fn list(call: &Call<'_>, id: ProjectId) -> Result<Answer, Answer> {
    let query = &call.query;
    let sort = query.word("sort", &SORTS, "desc")?;
    let order = query.word("order_by", &ORDERS, "id")?;
    let scope = query.word("scope", &SCOPES, "")?;
    let status = query.statuses("status")?;
    let (updated_after, updated_before) =
        (query.time("updated_after")?, query.time("updated_before")?);
    let (created_after, created_before) =
        (query.time("created_after")?, query.time("created_before")?);
    let source = query.get("source");
    let username = query.get("username");

    let project = call.project(id)?;
    let is_wanted = |pipeline: &&Pipeline| {
        let updated = pipeline.updated_at.unwrap_or(pipeline.created_at);
        let user = || {
            call.state
                .user(pipeline.user)
                .ok()
                .map(|user| user.username.as_str())
        };
        query
            .get("ref")
            .is_none_or(|name| name == pipeline.ref_name)
            && query.get("sha").is_none_or(|sha| sha == pipeline.sha)
            && query
                .get("name")
                .is_none_or(|name| Some(name) == pipeline.name.as_deref())
            && (status.is_empty() || status.contains(&pipeline.status))
            && source.map_or(pipeline.source != "parent_pipeline", |source| {
                source == pipeline.source
            })
            && username.is_none_or(|name| user() == Some(name))
            && updated_after.is_none_or(|at| updated > at)
            && updated_before.is_none_or(|at| updated < at)
            && created_after.is_none_or(|at| pipeline.created_at > at)
            && created_before.is_none_or(|at| pipeline.created_at < at)
            && in_scope(call.state, project, pipeline, scope)
    };
    let mut rows: Vec<&Pipeline> = call.state.pipelines_of(project).filter(is_wanted).collect();
    match order {
        "status" => rows.sort_by_key(|row| (row.status.as_str(), row.id)),
        "ref" => rows.sort_by_key(|row| (row.ref_name.clone(), row.id)),
        "updated_at" => rows.sort_by_key(|row| (row.updated_at, row.id)),
        "user_id" => rows.sort_by_key(|row| (row.user, row.id)),
        _ => rows.sort_by_key(|row| row.id),
    }
    if sort == "desc" {
        rows.reverse();
    }
    paging::page(&rows, query, &call.url(), Totals::Included, |row| {
        call.show().pipeline_basic(row)
    })
}

fn in_scope(state: &InstanceState, project: &Project, pipeline: &Pipeline, scope: &str) -> bool {
    let is_newest = || {
        let newer =
            |other: &Pipeline| other.ref_name == pipeline.ref_name && other.id > pipeline.id;
        !state.pipelines_of(project).any(newer)
    };
    match scope {
        "running" => pipeline.status == Status::Running,
        "pending" => pipeline.status == Status::Pending,
        "finished" => matches!(
            pipeline.status,
            Status::Success | Status::Failed | Status::Canceled
        ),
        "branches" => {
            !pipeline.tag && project.branches.contains_key(&pipeline.ref_name) && is_newest()
        }
        "tags" => pipeline.tag && is_newest(),
        _ => true,
    }
}

/// The newest pipeline of the ref's head commit; forbidden if that commit has none.
pub fn latest(call: &Call<'_>, id: ProjectId) -> Result<Answer, Answer> {
    let project = call.project(id)?;
    let name = call.query.get("ref").or(project.default_branch.as_deref());
    let head = name.and_then(|name| project.resolve(name).map(|commit| (name, &commit.sha)));
    let (name, sha) = head.ok_or_else(Answer::forbidden)?;
    let of_head = |pipeline: &&Pipeline| pipeline.sha == *sha && pipeline.ref_name == name;
    let found = call.state.pipelines_of(project).filter(of_head).last();
    Ok(Answer::json(
        call.show().pipeline(found.ok_or_else(Answer::forbidden)?),
    ))
}

pub fn one(call: &Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    Ok(Answer::json(
        call.show().pipeline(pipeline(call, project, id)?),
    ))
}

/// Cancels the jobs that can be canceled; succeeds even without any.
pub fn cancel(call: &mut Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let found = pipeline(call, project, id)?.id;
    call.state
        .cancel_pipeline(call.now, found)
        .map_err(|_| Answer::no_record())?;
    one(call, project, id)
}

pub fn jobs(call: &Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let scope = call.query.statuses("scope")?;
    let of = pipeline(call, project, id)?.id;
    let mut rows = call.state.jobs_of(of, call.query.flag("include_retried"));
    rows.retain(|job| job.trigger.is_none() && (scope.is_empty() || scope.contains(&job.status)));
    rows.sort_by_key(|job| Reverse(job.id));
    paging::page(&rows, &call.query, &call.url(), Totals::Included, |job| {
        call.show().job(job, call.now)
    })
}

pub fn bridges(call: &Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let scope = call.query.statuses("scope")?;
    let of = pipeline(call, project, id)?.id;
    let mut rows = call.state.jobs_of(of, false);
    rows.retain(|job| job.trigger.is_some() && (scope.is_empty() || scope.contains(&job.status)));
    rows.sort_by_key(|job| Reverse(job.id));
    paging::page(&rows, &call.query, &call.url(), Totals::Included, |job| {
        call.show().bridge(job)
    })
}

pub fn test_report_summary(
    call: &Call<'_>,
    project: ProjectId,
    id: &str,
) -> Result<Answer, Answer> {
    let found = pipeline(call, project, id)?;
    Ok(Answer::json(show_ci::test_report_summary(
        &found.tests,
        &call.state.jobs_of(found.id, false),
    )))
}
