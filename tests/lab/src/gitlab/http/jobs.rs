//! Jobs: lists, single jobs, and the actions on them.

use super::{
    answer::Answer,
    call::{Call, number},
    paging::{self, Totals},
    pipelines::SORTS,
};
use crate::gitlab::model::{Job, JobId, ProjectId, Refusal, Status, UserId};

/// A job that is not a trigger job.
pub fn job<'a>(call: &'a Call<'_>, project: ProjectId, id: &str) -> Result<&'a Job, Answer> {
    let id = JobId(number(id, "job_id")?);
    let found = call.state.job(id).ok();
    found
        .filter(|job| job.project == project && job.trigger.is_none())
        .ok_or_else(Answer::no_record)
}

/// Lists jobs, newest first and without totals.
pub fn list(call: &Call<'_>, id: ProjectId) -> Result<Answer, Answer> {
    let scope = call.query.statuses("scope")?;
    let project = call.project(id)?;
    let wanted = |job: &&Job| scope.is_empty() || scope.contains(&job.status);
    let mut rows: Vec<&Job> = call.state.jobs_in(project).filter(wanted).collect();
    let show = |job: &&Job| call.show().job(job, call.now);
    if call.query.get("pagination") == Some("keyset") {
        call.query.word("order_by", &["id"], "id")?;
        if call.query.word("sort", &SORTS, "desc")? == "asc" {
            rows.reverse();
        }
        return paging::keyset(&rows, &call.query, &call.url(), |job| job.id.0, show);
    }
    paging::page(&rows, &call.query, &call.url(), Totals::Omitted, show)
}

pub fn one(call: &Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    Ok(Answer::json(
        call.show().job(job(call, project, id)?, call.now),
    ))
}

fn current_user(call: &Call<'_>) -> Result<UserId, Answer> {
    call.identity
        .as_ref()
        .map(|identity| identity.user)
        .ok_or_else(Answer::unauthorized)
}

/// Returns 200 and the same job, which now runs and belongs to the current user.
pub fn play(call: &mut Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let (found, user) = (job(call, project, id)?.id, current_user(call)?);
    call.state
        .play(call.now, found, user)
        .map_err(|refusal| match refusal {
            Refusal::Unplayable { .. } => Answer::message(400, "400 Bad request - Unplayable Job"),
            _ => Answer::no_record(),
        })?;
    one(call, project, id)
}

/// Returns 201 and a new job.
pub fn retry(call: &mut Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let (found, user) = (job(call, project, id)?.id, current_user(call)?);
    let new_job = call
        .state
        .retry(call.now, found, user)
        .map_err(|refusal| match refusal {
            Refusal::NotRetryable { .. } => {
                Answer::message(403, "403 Forbidden - Job is not retryable")
            }
            _ => Answer::no_record(),
        })?;
    let new_job = call.state.job(new_job).map_err(|_| Answer::no_record())?;
    Ok(Answer::created(201, call.show().job(new_job, call.now)))
}

/// Returns 201 and the job, canceled unless it had ended.
pub fn cancel(call: &mut Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let found = job(call, project, id)?.id;
    call.state
        .cancel_job(call.now, found)
        .map_err(|_| Answer::no_record())?;
    Ok(Answer::created(
        201,
        call.show().job(job(call, project, id)?, call.now),
    ))
}

/// Returns 201 and the job without its artifacts and log.
pub fn erase(call: &mut Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let found = job(call, project, id)?;
    if !matches!(
        found.status,
        Status::Success | Status::Failed | Status::Canceled
    ) || found.erased_at.is_some()
    {
        return Err(Answer::message(403, "403 Forbidden - Job is not erasable!"));
    }
    let found = found.id;
    call.state
        .erase_artifacts(call.now, found)
        .map_err(|_| Answer::no_record())?;
    Ok(Answer::created(
        201,
        call.show().job(job(call, project, id)?, call.now),
    ))
}
