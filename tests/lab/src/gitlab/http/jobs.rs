//! Jobs: lists, single ones, and the buttons.

use super::{
    answer::Answer,
    call::{Call, number},
    paging::{self, Totals},
    pipelines::SORTS,
};
use crate::gitlab::model::{Job, JobId, ProjectId, Refusal, Status, UserId};

/// A job that is no trigger job.
pub fn job<'a>(call: &'a Call<'_>, project: ProjectId, id: &str) -> Result<&'a Job, Answer> {
    let id = JobId(number(id, "job_id")?);
    let found = call.world.job(id).ok();
    found
        .filter(|job| job.project == project && job.trigger.is_none())
        .ok_or_else(Answer::no_record)
}

/// Newest first and never with totals.
pub fn list(call: &Call<'_>, id: ProjectId) -> Result<Answer, Answer> {
    let scope = call.query.statuses("scope")?;
    let project = call.project(id)?;
    let wanted = |job: &&Job| scope.is_empty() || scope.contains(&job.status);
    let mut rows: Vec<&Job> = call.world.jobs_in(project).filter(wanted).collect();
    let show = |job: &&Job| call.show().job(job, call.now);
    if call.query.get("pagination") == Some("keyset") {
        call.query.word("order_by", &["id"], "id")?;
        if call.query.word("sort", &SORTS, "desc")? == "asc" {
            rows.reverse();
        }
        return paging::keyset(&rows, &call.query, &call.url(), |job| job.id.0, show);
    }
    paging::page(&rows, &call.query, &call.url(), Totals::Untold, show)
}

pub fn one(call: &Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    Ok(Answer::json(
        call.show().job(job(call, project, id)?, call.now),
    ))
}

fn presser(call: &Call<'_>) -> Result<UserId, Answer> {
    call.identity
        .as_ref()
        .map(|identity| identity.user)
        .ok_or_else(Answer::unauthorized)
}

/// 200 and the same job, which now runs and belongs to whoever pressed.
pub fn play(call: &mut Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let (found, user) = (job(call, project, id)?.id, presser(call)?);
    call.world
        .play(call.now, found, user)
        .map_err(|refusal| match refusal {
            Refusal::Unplayable { .. } => Answer::message(400, "400 Bad request - Unplayable Job"),
            _ => Answer::no_record(),
        })?;
    one(call, project, id)
}

/// 201 and a new job.
pub fn retry(call: &mut Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let (found, user) = (job(call, project, id)?.id, presser(call)?);
    let again = call
        .world
        .retry(call.now, found, user)
        .map_err(|refusal| match refusal {
            Refusal::NotRetryable { .. } => {
                Answer::message(403, "403 Forbidden - Job is not retryable")
            }
            _ => Answer::no_record(),
        })?;
    let again = call.world.job(again).map_err(|_| Answer::no_record())?;
    Ok(Answer::created(201, call.show().job(again, call.now)))
}

/// 201 and the job, canceled if it had not ended.
pub fn cancel(call: &mut Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let found = job(call, project, id)?.id;
    call.world
        .cancel_job(call.now, found)
        .map_err(|_| Answer::no_record())?;
    Ok(Answer::created(
        201,
        call.show().job(job(call, project, id)?, call.now),
    ))
}

/// 201 and the job without its artifacts and log.
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
    call.world
        .erase_artifacts(call.now, found)
        .map_err(|_| Answer::no_record())?;
    Ok(Answer::created(
        201,
        call.show().job(job(call, project, id)?, call.now),
    ))
}
