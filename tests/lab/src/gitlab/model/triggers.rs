//! Trigger jobs: they start a pipeline and follow it.
//!
//! With `strategy: depend`, the job runs until the downstream pipeline ends, and ends with its status. With
//! `mirror`, the job always has that status. Without a strategy, the job succeeds at once. (Source: GitLab's
//! documentation of `trigger:strategy`.)

use jiff::Timestamp;

use super::{InstanceState, JobId, NewPipeline, PipelineId, Refusal, Status, Strategy};

impl InstanceState {
    /// Creates the downstream pipeline of a trigger job.
    pub(super) fn start_downstream(&mut self, now: Timestamp, id: JobId) -> Result<(), Refusal> {
        let job = self.job(id)?;
        let parent = self.pipeline(job.pipeline)?;
        let (project, ref_name) = (parent.project, parent.ref_name.clone());
        let (sha, tag, user) = (parent.sha.clone(), parent.tag, job.user);
        let Some(spec) = job.trigger.as_ref().map(|trigger| trigger.spec.clone()) else {
            return Ok(());
        };
        let new = |project, ref_name, source: &str| NewPipeline {
            project,
            ref_name,
            source: source.to_owned(),
            user: Some(user),
            jobs: spec.jobs.clone(),
        };
        let downstream = match spec.elsewhere.clone() {
            None => {
                let new = new(project, ref_name, "parent_pipeline");
                self.run_pipeline_on(now, new, sha, tag)?
            }
            Some((project, ref_name)) => {
                self.run_pipeline(now, new(project, ref_name, "pipeline"))?
            }
        };
        let job = self.job_mut(id)?;
        job.started_at = Some(now);
        if let Some(trigger) = &mut job.trigger {
            trigger.downstream = Some(downstream);
        }
        self.follow(now, id)
    }

    /// Sets a trigger job's status by its downstream pipeline.
    fn follow(&mut self, now: Timestamp, id: JobId) -> Result<(), Refusal> {
        let Some(trigger) = &self.job(id)?.trigger else {
            return Ok(());
        };
        let Some(downstream) = trigger.downstream else {
            return Ok(());
        };
        let downstream_status = self.pipeline(downstream)?.status;
        let status = match trigger.spec.strategy {
            Strategy::None => Status::Success,
            Strategy::Depend if !downstream_status.is_complete() => Status::Running,
            Strategy::Depend | Strategy::Mirror => downstream_status,
        };
        let job = self.job_mut(id)?;
        job.status = status;
        job.finished_at = status.is_complete().then_some(now);
        Ok(())
    }

    /// Advances the pipelines whose trigger jobs follow this one.
    pub(super) fn advance_upstream(
        &mut self,
        now: Timestamp,
        pipeline: PipelineId,
    ) -> Result<(), Refusal> {
        let follows = |job: &&super::Job| {
            job.trigger.as_ref().is_some_and(|trigger| {
                trigger.downstream == Some(pipeline) && trigger.spec.strategy != Strategy::None
            })
        };
        let upstream: Vec<_> = (self.jobs.values().filter(follows))
            .map(|job| (job.id, job.pipeline))
            .collect();
        for (job, upstream) in upstream {
            let before = self.job(job)?.status;
            self.follow(now, job)?;
            if self.job(job)?.status != before {
                self.advance(now, upstream)?;
            }
        }
        Ok(())
    }
}
