//! Reads of pipelines and jobs, and the expiry of artifacts.

use jiff::{Timestamp, ToSpan};

use super::{InstanceState, Job, JobId, Pipeline, PipelineId, Project, Refusal, Status};

impl InstanceState {
    /// The pipeline with that id.
    pub fn pipeline(&self, id: PipelineId) -> Result<&Pipeline, Refusal> {
        self.pipelines
            .get(&id)
            .ok_or_else(|| Refusal::missing("pipeline", &id))
    }

    /// The pipeline with that id, mutable.
    pub fn pipeline_mut(&mut self, id: PipelineId) -> Result<&mut Pipeline, Refusal> {
        self.pipelines
            .get_mut(&id)
            .ok_or_else(|| Refusal::missing("pipeline", &id))
    }

    /// A project's pipelines, oldest first.
    pub fn pipelines_of<'a>(
        &'a self,
        project: &Project,
    ) -> impl Iterator<Item = &'a Pipeline> + use<'a> {
        let id = project.id;
        self.pipelines
            .values()
            .filter(move |pipeline| pipeline.project == id)
    }

    /// The job or trigger job with that id.
    pub fn job(&self, id: JobId) -> Result<&Job, Refusal> {
        self.jobs
            .get(&id)
            .ok_or_else(|| Refusal::missing("job", &id))
    }

    /// The job or trigger job with that id, mutable.
    pub fn job_mut(&mut self, id: JobId) -> Result<&mut Job, Refusal> {
        self.jobs
            .get_mut(&id)
            .ok_or_else(|| Refusal::missing("job", &id))
    }

    /// A pipeline's jobs and trigger jobs, oldest first.
    pub fn jobs_of(&self, pipeline: PipelineId, with_retried: bool) -> Vec<&Job> {
        let jobs = self.jobs.values().filter(|job| job.pipeline == pipeline);
        jobs.filter(|job| with_retried || !job.retried).collect()
    }

    /// The newest job of that name in a pipeline.
    pub fn job_named(&self, pipeline: PipelineId, name: &str) -> Result<&Job, Refusal> {
        let jobs = self.jobs_of(pipeline, false);
        jobs.into_iter()
            .rfind(|job| job.name == name)
            .ok_or_else(|| Refusal::missing("job", name))
    }

    /// A project's jobs without trigger jobs, newest first, older attempts included.
    pub fn jobs_in<'a>(&'a self, project: &Project) -> impl Iterator<Item = &'a Job> + use<'a> {
        let id = project.id;
        let jobs = self.jobs.values().rev();
        jobs.filter(move |job| job.project == id && job.trigger.is_none())
    }

    /// Whether a pipeline keeps its artifacts past their expiry: no newer one succeeded on its ref.
    pub fn keeps_artifacts(&self, pipeline: &Pipeline) -> bool {
        let newer_success = self.pipelines.values().any(|other| {
            other.project == pipeline.project
                && other.ref_name == pipeline.ref_name
                && other.id > pipeline.id
                && other.status == Status::Success
        });
        let keeps = self
            .projects
            .get(&pipeline.project)
            .is_some_and(|project| project.keep_latest_artifacts);
        keeps && !newer_success
    }

    /// Moves the expiry into the past; the archive is not cleaned up yet.
    pub fn expire_artifacts(&mut self, now: Timestamp, id: JobId) -> Result<(), Refusal> {
        self.job_mut(id)?.artifacts_expire_at = Some(now - 1.second());
        Ok(())
    }

    /// Cleans up the archive, as GitLab's worker does; the expiry stays.
    pub fn clean_artifacts(&mut self, id: JobId) -> Result<(), Refusal> {
        self.job_mut(id)?.archive = None;
        Ok(())
    }

    /// Erases the job: archive, reports and log.
    pub fn erase_artifacts(&mut self, now: Timestamp, id: JobId) -> Result<(), Refusal> {
        let job = self.job_mut(id)?;
        if !job.status.is_complete() {
            let wanted = "only an ended job can be erased";
            return Err(Refusal::WrongStatus {
                job: id,
                status: job.status,
                wanted,
            });
        }
        job.archive = None;
        job.artifacts_expire_at = None;
        job.erased_at = Some(now);
        Ok(())
    }
}
