//! Changes and reads of the simulator's state from Rust.
//!
//! These methods panic with the reason when GitLab would refuse the change or the object does not exist:
//! that is a mistake in the test, not a condition to handle.

use jiff::civil::Date;

use super::{
    Simulator,
    model::{
        Job, JobEnd, JobId, JobSpec, NewPipeline, PipelineId, ProjectId, Role, Status, TestSuite,
        UserId, Visibility,
    },
};

impl Simulator {
    /// Creates a private project without commits.
    #[track_caller]
    pub fn create_project(&self, path: &str) -> ProjectId {
        self.change(|state, now| state.create_project(now, path))
    }

    /// Sets who may see a project.
    #[track_caller]
    pub fn set_visibility(&self, project: ProjectId, visibility: Visibility) {
        self.change(|state, _| {
            state
                .project_mut(project)
                .map(|project| project.visibility = visibility)
        });
    }

    /// Gives a project another path; the old one redirects.
    #[track_caller]
    pub fn move_project(&self, project: ProjectId, path: &str) {
        self.change(|state, _| state.move_project(project, path));
    }

    /// Sets whether the newest successful pipeline of each ref keeps its artifacts past their expiry.
    /// On by default, as in GitLab.
    #[track_caller]
    pub fn set_keep_latest_artifacts(&self, project: ProjectId, keep: bool) {
        self.change(|state, _| {
            state
                .project_mut(project)
                .map(|project| project.keep_latest_artifacts = keep)
        });
    }

    /// Creates a user.
    #[track_caller]
    pub fn create_user(&self, username: &str) -> UserId {
        self.change(|state, now| state.create_user(now, username))
    }

    /// Creates a bot, as with a project access token.
    #[track_caller]
    pub fn create_bot(&self, username: &str) -> UserId {
        self.change(|state, now| {
            let id = state.create_user(now, username)?;
            state.make_bot(id).map(|()| id)
        })
    }

    /// Creates a token of a user, with the role Developer; returns the secret. Its name is the
    /// username with a number, such as `ana-1`.
    #[track_caller]
    pub fn create_token(&self, user: UserId, scopes: &[&str], expires_at: Option<Date>) -> String {
        self.change(|state, now| state.create_token(now, user, scopes, expires_at))
    }

    /// Sets the role of a token's user.
    #[track_caller]
    pub fn set_role(&self, token: &str, role: Role) {
        self.change(|state, _| state.token_mut(token).map(|token| token.role = role));
    }

    /// Revokes a token.
    #[track_caller]
    pub fn revoke_token(&self, token: &str) {
        self.change(|state, _| state.token_mut(token).map(|token| token.revoked = true));
    }

    /// Lets a token expire today.
    #[track_caller]
    pub fn expire_token(&self, token: &str) {
        self.change(|state, now| {
            let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
            state
                .token_mut(token)
                .map(|token| token.expires_at = Some(today))
        });
    }

    /// Adds a freeze period with cron expressions for start and end, and their time zone by its IANA or Rails
    /// name. Returns its id.
    #[track_caller]
    pub fn freeze(&self, project: ProjectId, start: &str, end: &str, time_zone: &str) -> u64 {
        self.change(|state, now| state.add_freeze_period(now, project, (start, end, time_zone)))
    }

    /// Removes a freeze period.
    #[track_caller]
    pub fn thaw(&self, project: ProjectId, period: u64) {
        self.change(|state, _| state.remove_freeze_period(project, period));
    }

    /// Adds a commit to a branch, which is created if missing; returns the SHA. The first branch becomes the
    /// default one and is protected.
    #[track_caller]
    pub fn push(&self, project: ProjectId, branch: &str, message: &str) -> String {
        self.change(|state, now| state.push(now, project, branch, message))
    }

    /// Sets a lightweight, unprotected tag.
    #[track_caller]
    pub fn tag(&self, project: ProjectId, tag: &str, sha: &str) {
        self.change(|state, _| state.tag(project, tag, sha));
    }

    /// Protects or unprotects a branch or tag.
    #[track_caller]
    pub fn protect(&self, project: ProjectId, name: &str, protected: bool) {
        self.change(|state, _| state.protect(project, name, protected));
    }

    /// Deletes a branch or tag.
    #[track_caller]
    pub fn delete_ref(&self, project: ProjectId, name: &str) {
        self.change(|state, _| state.delete_ref(project, name));
    }

    /// Runs a pipeline on the head of a branch or tag, as after a push.
    #[track_caller]
    pub fn run_pipeline(
        &self,
        project: ProjectId,
        ref_name: &str,
        jobs: Vec<JobSpec>,
    ) -> PipelineId {
        self.run_pipeline_as(project, ref_name, "push", None, jobs)
    }

    /// Runs a pipeline with a source, such as `external` or `schedule`, and a user.
    #[track_caller]
    pub fn run_pipeline_as(
        &self,
        project: ProjectId,
        ref_name: &str,
        source: &str,
        user: Option<UserId>,
        jobs: Vec<JobSpec>,
    ) -> PipelineId {
        let new = NewPipeline {
            project,
            ref_name: ref_name.to_owned(),
            source: source.to_owned(),
            user,
            jobs,
        };
        self.change(|state, now| state.run_pipeline(now, new))
    }

    /// Adds a trigger job to a pipeline, with the downstream pipeline that it has started.
    #[track_caller]
    pub fn add_bridge(
        &self,
        pipeline: PipelineId,
        name: &str,
        stage: &str,
        downstream: PipelineId,
    ) -> JobId {
        self.change(|state, now| state.add_bridge(now, pipeline, name, stage, downstream))
    }

    /// The pipeline that a trigger job started.
    #[track_caller]
    pub fn downstream(&self, pipeline: PipelineId, bridge: &str) -> PipelineId {
        let job = self.job_state(self.job(pipeline, bridge));
        let started = job.trigger.and_then(|trigger| trigger.downstream);
        started.unwrap_or_else(|| panic!("trigger job {bridge} has not started a pipeline"))
    }

    /// The newest job of that name in a pipeline.
    #[track_caller]
    pub fn job(&self, pipeline: PipelineId, name: &str) -> JobId {
        self.change(|state, _| state.job_named(pipeline, name).map(|job| job.id))
    }

    /// The current state of a job.
    #[track_caller]
    pub fn job_state(&self, job: JobId) -> Job {
        self.change(|state, _| state.job(job).cloned())
    }

    /// The current status of a pipeline.
    #[track_caller]
    pub fn status(&self, pipeline: PipelineId) -> Status {
        self.change(|state, _| state.pipeline(pipeline).map(|pipeline| pipeline.status))
    }

    /// Starts a pending job, as a runner does.
    #[track_caller]
    pub fn start_job(&self, job: JobId) {
        self.change(|state, now| state.start_job(now, job));
    }

    /// Ends a pending or running job; the pipeline continues.
    #[track_caller]
    pub fn finish_job(&self, job: JobId, end: JobEnd) {
        self.change(|state, now| state.finish_job(now, job, end));
    }

    /// Starts a manual job as a user who presses its play button.
    #[track_caller]
    pub fn play(&self, job: JobId, user: UserId) {
        self.change(|state, now| state.play(now, job, user));
    }

    /// Retries an ended job as its user; returns the new job.
    #[track_caller]
    pub fn retry(&self, job: JobId) -> JobId {
        self.change(|state, now| {
            let user = state.job(job)?.user;
            state.retry(now, job, user)
        })
    }

    /// Cancels a job that has not ended.
    #[track_caller]
    pub fn cancel_job(&self, job: JobId) {
        self.change(|state, now| state.cancel_job(now, job));
    }

    /// Removes a pipeline with its jobs.
    #[track_caller]
    pub fn delete_pipeline(&self, pipeline: PipelineId) {
        self.change(|state, _| state.delete_pipeline(pipeline));
    }

    /// Sets the pipeline's test report.
    #[track_caller]
    pub fn set_test_report(&self, pipeline: PipelineId, suites: Vec<TestSuite>) {
        self.change(|state, _| {
            state
                .pipeline_mut(pipeline)
                .map(|pipeline| pipeline.tests = suites)
        });
    }

    /// Lets the archive expire without cleaning it up: the whole archive can still be downloaded, and single
    /// files can't (unless the pipeline keeps its artifacts).
    #[track_caller]
    pub fn expire_artifacts(&self, job: JobId) {
        self.change(|state, now| state.expire_artifacts(now, job));
    }

    /// Lets the archive expire and cleans it up.
    #[track_caller]
    pub fn clean_artifacts(&self, job: JobId) {
        self.change(|state, now| {
            state.expire_artifacts(now, job)?;
            state.clean_artifacts(job)
        });
    }

    /// Erases an ended job: archive, reports and log.
    #[track_caller]
    pub fn erase_artifacts(&self, job: JobId) {
        self.change(|state, now| state.erase_artifacts(now, job));
    }

    /// Makes the API report a false size of an archive; `None` reports the real size again.
    #[track_caller]
    pub fn declare_artifact_size(&self, job: JobId, size: Option<u64>) {
        self.change(|state, _| {
            if let Some(archive) = &mut state.job_mut(job)?.archive {
                archive.declared_size = size;
            }
            Ok(())
        });
    }
}
