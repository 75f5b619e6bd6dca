//! The life of jobs: start, order, end and reopening.
//!
//! A job of a later stage depends on the composite status of all jobs before it. It starts on success or
//! skipped, is skipped on failed or canceled, and otherwise stays `created`; so a blocking manual job blocks
//! the stages after it. Playing or retrying a job sets skipped jobs after it to `created`.

use jiff::{Timestamp, ToSpan};

use super::{
    Archive, InstanceState, Job, JobEnd, JobId, JobKind, PipelineId, Refusal, Status, UserId,
    composite,
};

impl InstanceState {
    /// Starts jobs that can start, ends jobs that have an outcome, and sets the pipeline's status.
    pub(super) fn advance(&mut self, now: Timestamp, pipeline: PipelineId) -> Result<(), Refusal> {
        while let Some((id, step)) = self.next_step(pipeline) {
            let job = self.job_mut(id)?;
            match step {
                Step::Enqueue => job.enqueue(now),
                Step::Trigger => {
                    job.status = Status::Running;
                    self.start_downstream(now, id)?;
                }
                Step::Hold => job.status = Status::Manual,
                Step::Skip => job.status = Status::Skipped,
                Step::End(end) => job.end(now, end),
            }
        }
        let status = composite(
            self.jobs_of(pipeline, false)
                .iter()
                .map(|job| (job.status, job.allow_failure)),
        );
        let running = self
            .jobs_of(pipeline, true)
            .iter()
            .filter_map(|job| job.started_at)
            .min();
        let current = self.pipeline_mut(pipeline)?;
        current.status = status.unwrap_or(Status::Skipped);
        // A running pipeline of external commit statuses has no `updated_at` (seen in recordings).
        if current.source != "external" || current.status.is_complete() {
            current.updated_at = Some(now);
        }
        current.started_at = current.started_at.or(running);
        if current.status.is_complete() && current.status != Status::Skipped {
            current.finished_at = Some(now);
        }
        self.advance_upstream(now, pipeline)
    }

    fn next_step(&self, pipeline: PipelineId) -> Option<(JobId, Step)> {
        let jobs = self.jobs_of(pipeline, false);
        let mut ordered: Vec<&&Job> = jobs.iter().collect();
        ordered.sort_by_key(|job| (job.stage_index, job.id));
        // A trigger job with a downstream pipeline follows that one.
        let follows_downstream = |job: &Job| {
            let trigger = job.trigger.as_ref();
            trigger.is_some_and(|trigger| trigger.downstream.is_some())
        };
        ordered.retain(|job| !follows_downstream(job));
        ordered.into_iter().find_map(|job| match job.status {
            Status::Pending if job.trigger.is_some() => Some((job.id, Step::Trigger)),
            Status::Pending | Status::Running => {
                job.outcome.clone().map(|end| (job.id, Step::End(end)))
            }
            Status::Created => {
                let before = jobs
                    .iter()
                    .filter(|other| other.stage_index < job.stage_index);
                let before = composite(before.map(|other| (other.status, other.allow_failure)));
                match before.unwrap_or(Status::Success) {
                    Status::Success | Status::Skipped if job.kind == JobKind::Automatic => {
                        Some((job.id, Step::Enqueue))
                    }
                    Status::Success | Status::Skipped => Some((job.id, Step::Hold)),
                    Status::Failed | Status::Canceled => Some((job.id, Step::Skip)),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// Starts a pending job, as a runner does.
    pub fn start_job(&mut self, now: Timestamp, id: JobId) -> Result<(), Refusal> {
        let job = self.job_mut(id)?;
        if job.status != Status::Pending {
            let wanted = "only a pending job can start";
            return Err(Refusal::WrongStatus {
                job: id,
                status: job.status,
                wanted,
            });
        }
        job.status = Status::Running;
        job.started_at = Some(now);
        let pipeline = job.pipeline;
        self.advance(now, pipeline)
    }

    /// Ends a job; a pending one starts first.
    pub fn finish_job(&mut self, now: Timestamp, id: JobId, end: JobEnd) -> Result<(), Refusal> {
        let job = self.job_mut(id)?;
        if !matches!(job.status, Status::Pending | Status::Running) {
            let wanted = "only a pending or running job can end";
            return Err(Refusal::WrongStatus {
                job: id,
                status: job.status,
                wanted,
            });
        }
        job.end(now, end);
        let pipeline = job.pipeline;
        self.advance(now, pipeline)
    }

    /// Plays a manual job: the same job runs and belongs to `user` from now on.
    pub fn play(&mut self, now: Timestamp, id: JobId, user: UserId) -> Result<(), Refusal> {
        self.user(user)?;
        let job = self.job_mut(id)?;
        if job.status != Status::Manual {
            return Err(Refusal::Unplayable {
                job: id,
                status: job.status,
            });
        }
        job.user = user;
        job.enqueue(now);
        self.reopen_after(now, id)
    }

    /// Replaces an ended job by a new one, which runs as soon as it can, even if it is manual.
    pub fn retry(&mut self, now: Timestamp, id: JobId, user: UserId) -> Result<JobId, Refusal> {
        self.user(user)?;
        let job = self.job_mut(id)?;
        if job.retried
            || !matches!(
                job.status,
                Status::Success | Status::Failed | Status::Canceled
            )
        {
            return Err(Refusal::NotRetryable {
                job: id,
                status: job.status,
                retried: job.retried,
            });
        }
        job.retried = true;
        let mut new_job = Job {
            status: Status::Created,
            user,
            created_at: now,
            queued_at: None,
            started_at: None,
            finished_at: None,
            erased_at: None,
            failure_reason: None,
            archive: None,
            artifacts_expire_at: None,
            retried: false,
            ..job.clone()
        };
        if let Some(trigger) = &mut new_job.trigger {
            trigger.downstream = None;
        }
        new_job.id = self.new_job_id();
        if new_job.kind != JobKind::Automatic {
            new_job.enqueue(now);
        }
        let new = new_job.id;
        self.jobs.insert(new, new_job);
        self.reopen_after(now, new)?;
        Ok(new)
    }

    fn reopen_after(&mut self, now: Timestamp, id: JobId) -> Result<(), Refusal> {
        let (pipeline, stage) = self.job(id).map(|job| (job.pipeline, job.stage_index))?;
        for job in self
            .jobs
            .values_mut()
            .filter(|job| job.pipeline == pipeline && !job.retried)
        {
            if job.status == Status::Skipped && job.stage_index > stage {
                job.status = Status::Created;
            }
        }
        self.advance(now, pipeline)
    }

    /// Cancels a job unless it has ended.
    pub fn cancel_job(&mut self, now: Timestamp, id: JobId) -> Result<(), Refusal> {
        let job = self.job_mut(id)?;
        if !job.status.is_complete() {
            job.status = Status::Canceled;
            job.finished_at = Some(now);
        }
        let pipeline = job.pipeline;
        self.advance(now, pipeline)
    }

    /// Cancels every job that has neither ended nor waits to be played.
    pub fn cancel_pipeline(&mut self, now: Timestamp, id: PipelineId) -> Result<(), Refusal> {
        self.pipeline(id)?;
        let jobs = self
            .jobs
            .values_mut()
            .filter(|job| job.pipeline == id && !job.retried);
        for job in jobs.filter(|job| !job.status.is_complete() && job.status != Status::Manual) {
            job.status = Status::Canceled;
            job.finished_at = Some(now);
        }
        self.advance(now, id)
    }

    /// Removes a pipeline with its jobs.
    pub fn delete_pipeline(&mut self, id: PipelineId) -> Result<(), Refusal> {
        self.pipelines
            .remove(&id)
            .ok_or_else(|| Refusal::missing("pipeline", &id))?;
        self.jobs.retain(|_, job| job.pipeline != id);
        Ok(())
    }
}

/// The next automatic transition of a job.
enum Step {
    Enqueue,
    Trigger,
    Hold,
    Skip,
    End(JobEnd),
}

impl Job {
    fn enqueue(&mut self, now: Timestamp) {
        self.status = Status::Pending;
        self.queued_at = Some(now);
    }

    fn end(&mut self, now: Timestamp, end: JobEnd) {
        self.started_at = self.started_at.or(Some(now));
        self.finished_at = Some(now);
        match end {
            JobEnd::Success { artifacts } => {
                self.status = Status::Success;
                self.artifacts_expire_at = artifacts.is_some().then_some(now + (30 * 24).hours());
                self.archive = artifacts.map(|source| Archive {
                    source,
                    declared_size: None,
                });
            }
            JobEnd::Failed { reason } => {
                self.status = Status::Failed;
                self.failure_reason = Some(reason);
            }
        }
    }
}
