//! The simulator's world, moved and asked from Rust.
//!
//! These methods panic, with the reason, when they are asked for what GitLab would not do or for
//! what is not there: a mistake in the scenario, not a condition to handle.

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
        self.change(|world, now| world.create_project(now, path))
    }

    /// Opens or closes a project.
    #[track_caller]
    pub fn set_visibility(&self, project: ProjectId, visibility: Visibility) {
        self.change(|world, _| {
            world
                .project_mut(project)
                .map(|project| project.visibility = visibility)
        });
    }

    /// Gives a project another path; the old one redirects.
    #[track_caller]
    pub fn move_project(&self, project: ProjectId, path: &str) {
        self.change(|world, _| world.move_project(project, path));
    }

    /// Whether the newest successful pipeline of each ref keeps its artifacts past their expiry.
    /// On at first, as in GitLab.
    #[track_caller]
    pub fn set_keep_latest_artifacts(&self, project: ProjectId, keep: bool) {
        self.change(|world, _| {
            world
                .project_mut(project)
                .map(|project| project.keep_latest_artifacts = keep)
        });
    }

    /// Creates a user.
    #[track_caller]
    pub fn create_user(&self, username: &str) -> UserId {
        self.change(|world, now| world.create_user(now, username))
    }

    /// Creates a bot, as with a project access token.
    #[track_caller]
    pub fn create_bot(&self, username: &str) -> UserId {
        self.change(|world, now| {
            let id = world.create_user(now, username)?;
            world.make_bot(id).map(|()| id)
        })
    }

    /// Creates a token of a user, with the role Developer; returns the secret. Its name is the
    /// username with a number, such as `ana-1`.
    #[track_caller]
    pub fn create_token(&self, user: UserId, scopes: &[&str], expires_at: Option<Date>) -> String {
        self.change(|world, now| world.create_token(now, user, scopes, expires_at))
    }

    /// Changes what a token's user may do.
    #[track_caller]
    pub fn set_role(&self, token: &str, role: Role) {
        self.change(|world, _| world.token_mut(token).map(|token| token.role = role));
    }

    /// Revokes a token.
    #[track_caller]
    pub fn revoke_token(&self, token: &str) {
        self.change(|world, _| world.token_mut(token).map(|token| token.revoked = true));
    }

    /// Ends a token today.
    #[track_caller]
    pub fn expire_token(&self, token: &str) {
        self.change(|world, now| {
            let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
            world
                .token_mut(token)
                .map(|token| token.expires_at = Some(today))
        });
    }

    /// Adds a freeze period: when it begins and ends, as cron says it, and their time zone, by IANA's
    /// name or Rails'. Returns its id.
    #[track_caller]
    pub fn freeze(&self, project: ProjectId, start: &str, end: &str, time_zone: &str) -> u64 {
        self.change(|world, now| world.add_freeze_period(now, project, (start, end, time_zone)))
    }

    /// Removes a freeze period.
    #[track_caller]
    pub fn thaw(&self, project: ProjectId, period: u64) {
        self.change(|world, _| world.remove_freeze_period(project, period));
    }

    /// Adds a commit to a branch, made if missing; returns its SHA. The first branch becomes the
    /// default one and is protected.
    #[track_caller]
    pub fn push(&self, project: ProjectId, branch: &str, message: &str) -> String {
        self.change(|world, now| world.push(now, project, branch, message))
    }

    /// Sets a lightweight, unprotected tag.
    #[track_caller]
    pub fn tag(&self, project: ProjectId, tag: &str, sha: &str) {
        self.change(|world, _| world.tag(project, tag, sha));
    }

    /// Protects a branch or tag, or takes the protection away.
    #[track_caller]
    pub fn protect(&self, project: ProjectId, name: &str, protected: bool) {
        self.change(|world, _| world.protect(project, name, protected));
    }

    /// Deletes a branch or tag.
    #[track_caller]
    pub fn delete_ref(&self, project: ProjectId, name: &str) {
        self.change(|world, _| world.delete_ref(project, name));
    }

    /// Runs a pipeline, as after a push, on the head of a branch or tag.
    #[track_caller]
    pub fn run_pipeline(
        &self,
        project: ProjectId,
        ref_name: &str,
        jobs: Vec<JobSpec>,
    ) -> PipelineId {
        self.run_pipeline_as(project, ref_name, "push", None, jobs)
    }

    /// Runs a pipeline with another source, such as `external` or `schedule`, or as another user.
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
        self.change(|world, now| world.run_pipeline(now, new))
    }

    /// Adds a trigger job to a pipeline, with the pipeline it started.
    #[track_caller]
    pub fn add_bridge(
        &self,
        pipeline: PipelineId,
        name: &str,
        stage: &str,
        downstream: PipelineId,
    ) -> JobId {
        self.change(|world, now| world.add_bridge(now, pipeline, name, stage, downstream))
    }

    /// The pipeline that a trigger job started.
    #[track_caller]
    pub fn downstream(&self, pipeline: PipelineId, bridge: &str) -> PipelineId {
        let job = self.job_state(self.job(pipeline, bridge));
        let started = job.trigger.and_then(|trigger| trigger.downstream);
        started.unwrap_or_else(|| panic!("trigger job {bridge} has not started anything"))
    }

    /// The newest job of that name in a pipeline.
    #[track_caller]
    pub fn job(&self, pipeline: PipelineId, name: &str) -> JobId {
        self.change(|world, _| world.job_named(pipeline, name).map(|job| job.id))
    }

    /// A job as it is now.
    #[track_caller]
    pub fn job_state(&self, job: JobId) -> Job {
        self.change(|world, _| world.job(job).cloned())
    }

    /// A pipeline's status now.
    #[track_caller]
    pub fn status(&self, pipeline: PipelineId) -> Status {
        self.change(|world, _| world.pipeline(pipeline).map(|pipeline| pipeline.status))
    }

    /// A runner takes a pending job.
    #[track_caller]
    pub fn start_job(&self, job: JobId) {
        self.change(|world, now| world.start_job(now, job));
    }

    /// A pending or running job ends, and the pipeline goes on.
    #[track_caller]
    pub fn finish_job(&self, job: JobId, end: JobEnd) {
        self.change(|world, now| world.finish_job(now, job, end));
    }

    /// A user presses the play button of a manual job.
    #[track_caller]
    pub fn play(&self, job: JobId, user: UserId) {
        self.change(|world, now| world.play(now, job, user));
    }

    /// Retries an ended job as the user it belongs to; returns the new job.
    #[track_caller]
    pub fn retry(&self, job: JobId) -> JobId {
        self.change(|world, now| {
            let user = world.job(job)?.user;
            world.retry(now, job, user)
        })
    }

    /// Cancels a job that has not ended.
    #[track_caller]
    pub fn cancel_job(&self, job: JobId) {
        self.change(|world, now| world.cancel_job(now, job));
    }

    /// Removes a pipeline with its jobs.
    #[track_caller]
    pub fn delete_pipeline(&self, pipeline: PipelineId) {
        self.change(|world, _| world.delete_pipeline(pipeline));
    }

    /// Sets what the pipeline's tests reported.
    #[track_caller]
    pub fn set_test_report(&self, pipeline: PipelineId, suites: Vec<TestSuite>) {
        self.change(|world, _| {
            world
                .pipeline_mut(pipeline)
                .map(|pipeline| pipeline.tests = suites)
        });
    }

    /// The archive's expiry date passes; nothing has cleaned up yet, so that the whole archive is
    /// still there while single files are not (unless the pipeline keeps its artifacts).
    #[track_caller]
    pub fn expire_artifacts(&self, job: JobId) {
        self.change(|world, now| world.expire_artifacts(now, job));
    }

    /// The archive expired and was cleaned up.
    #[track_caller]
    pub fn clean_artifacts(&self, job: JobId) {
        self.change(|world, now| {
            world.expire_artifacts(now, job)?;
            world.clean_artifacts(job)
        });
    }

    /// Somebody erases an ended job: archive, reports and log.
    #[track_caller]
    pub fn erase_artifacts(&self, job: JobId) {
        self.change(|world, now| world.erase_artifacts(now, job));
    }

    /// Makes the API tell another size of an archive than it has; `None` tells the truth again.
    #[track_caller]
    pub fn declare_artifact_size(&self, job: JobId, size: Option<u64>) {
        self.change(|world, _| {
            if let Some(archive) = &mut world.job_mut(job)?.archive {
                archive.declared_size = size;
            }
            Ok(())
        });
    }
}
