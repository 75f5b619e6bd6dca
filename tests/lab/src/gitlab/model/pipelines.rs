//! Pipelines and jobs, and the creation of a pipeline.

use jiff::Timestamp;

use super::{
    InstanceState, JobEnd, JobId, JobKind, JobSpec, PipelineId, ProjectId, Refusal, Status,
    Strategy, TestSuite, TriggerSpec, UserId,
};
use crate::gitlab::archive::ArtifactSource;

/// A job's uploaded archive.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Its bytes.
    pub source: ArtifactSource,
    /// The size that the API reports, if it differs from the real one.
    pub declared_size: Option<u64>,
}

impl Archive {
    /// The size that the API reports.
    pub fn reported_size(&self) -> u64 {
        self.declared_size.unwrap_or_else(|| self.source.size())
    }
}

/// The trigger of a trigger job.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The pipeline to start.
    pub spec: TriggerSpec,
    /// The pipeline that it has started.
    pub downstream: Option<PipelineId>,
}

/// A job, or a trigger job if it has a `trigger`.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct Job {
    pub id: JobId,
    pub project: ProjectId,
    pub pipeline: PipelineId,
    pub name: String,
    pub stage: String,
    pub stage_index: usize,
    pub kind: JobKind,
    pub allow_failure: bool,
    pub status: Status,
    pub user: UserId,
    pub created_at: Timestamp,
    pub queued_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub erased_at: Option<Timestamp>,
    pub failure_reason: Option<String>,
    pub archive: Option<Archive>,
    pub artifacts_expire_at: Option<Timestamp>,
    /// Replaced by a newer job with the same name.
    pub retried: bool,
    /// Set on trigger jobs only.
    pub trigger: Option<Trigger>,
    pub(super) outcome: Option<JobEnd>,
}

/// A pipeline.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct Pipeline {
    pub id: PipelineId,
    pub iid: u64,
    pub project: ProjectId,
    pub sha: String,
    pub ref_name: String,
    pub tag: bool,
    pub status: Status,
    pub source: String,
    pub user: UserId,
    pub name: Option<String>,
    /// A string, as in the API's pipelines.
    pub coverage: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub tests: Vec<TestSuite>,
}

/// The input for a new pipeline.
#[derive(Clone, Debug)]
pub struct NewPipeline {
    /// The project.
    pub project: ProjectId,
    /// A branch or tag; `refs/tags/x` means the tag if a branch has the same name. A
    /// `refs/merge-requests/N/head` runs on the head of the default branch.
    pub ref_name: String,
    /// GitLab's source of the pipeline, such as `push`.
    pub source: String,
    /// The user; by default the project's creator.
    pub user: Option<UserId>,
    /// Its jobs.
    pub jobs: Vec<JobSpec>,
}

impl InstanceState {
    /// Creates a pipeline on the head of its ref and starts the jobs that can start.
    pub fn run_pipeline(
        &mut self,
        now: Timestamp,
        new: NewPipeline,
    ) -> Result<PipelineId, Refusal> {
        let project = self.project_mut(new.project)?;
        let named_tag = new.ref_name.strip_prefix("refs/tags/");
        let tag = named_tag.is_some()
            || !project.branches.contains_key(&new.ref_name)
                && project.tags.contains_key(&new.ref_name);
        let head = if new.ref_name.starts_with("refs/merge-requests/") {
            "HEAD"
        } else {
            new.ref_name.as_str()
        };
        let head = if head == "HEAD" {
            project.default_branch.as_deref().unwrap_or(head)
        } else {
            head
        };
        let commit = project
            .resolve(head)
            .ok_or_else(|| Refusal::missing("branch or tag", &new.ref_name))?;
        let sha = commit.sha.clone();
        let ref_name = named_tag.unwrap_or(&new.ref_name).to_owned();
        self.run_pipeline_on(now, NewPipeline { ref_name, ..new }, sha, tag)
    }

    /// Creates a pipeline on a commit and starts the jobs that can start.
    pub(super) fn run_pipeline_on(
        &mut self,
        now: Timestamp,
        new: NewPipeline,
        sha: String,
        tag: bool,
    ) -> Result<PipelineId, Refusal> {
        let project = self.project_mut(new.project)?;
        project.pipelines_made += 1;
        let iid = project.pipelines_made;
        let user = new.user.unwrap_or(project.creator);
        let id = self
            .last_pipeline
            .map_or(PipelineId::FIRST, PipelineId::next);
        self.last_pipeline = Some(id);
        let pipeline = Pipeline {
            id,
            iid,
            project: new.project,
            sha,
            ref_name: new.ref_name,
            tag,
            status: Status::Created,
            source: new.source,
            user,
            name: None,
            coverage: None,
            created_at: now,
            updated_at: None,
            started_at: None,
            finished_at: None,
            tests: Vec::new(),
        };
        self.pipelines.insert(id, pipeline);
        for spec in new.jobs {
            self.add_job(now, id, spec)?;
        }
        self.advance(now, id)?;
        Ok(id)
    }

    /// Adds a trigger job that has succeeded in starting `downstream`.
    pub fn add_bridge(
        &mut self,
        now: Timestamp,
        pipeline: PipelineId,
        name: &str,
        stage: &str,
        downstream: PipelineId,
    ) -> Result<JobId, Refusal> {
        self.pipeline(downstream)?;
        let spec = JobSpec::new(name, stage).triggers(Strategy::None, Vec::new());
        let id = self.add_job(now, pipeline, spec)?;
        let job = self.job_mut(id)?;
        if let Some(trigger) = &mut job.trigger {
            trigger.downstream = Some(downstream);
        }
        job.status = Status::Success;
        self.advance(now, pipeline)?;
        Ok(id)
    }

    fn add_job(
        &mut self,
        now: Timestamp,
        pipeline: PipelineId,
        spec: JobSpec,
    ) -> Result<JobId, Refusal> {
        let parent = self.pipeline(pipeline)?;
        let (project, user) = (parent.project, parent.user);
        let known = self.jobs_of(pipeline, true);
        let stage_index = known
            .iter()
            .find(|job| job.stage == spec.stage)
            .map_or_else(
                || {
                    known
                        .iter()
                        .map(|job| job.stage_index + 1)
                        .max()
                        .unwrap_or(0)
                },
                |job| job.stage_index,
            );
        let id = self.new_job_id();
        let job = Job {
            id,
            project,
            pipeline,
            name: spec.name,
            stage: spec.stage,
            stage_index,
            kind: spec.kind,
            allow_failure: spec.allow_failure || spec.kind == JobKind::ManualOptional,
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
            trigger: spec.trigger.map(|spec| Trigger {
                spec,
                downstream: None,
            }),
            outcome: spec.outcome,
        };
        self.jobs.insert(id, job);
        Ok(id)
    }

    pub(super) fn new_job_id(&mut self) -> JobId {
        let id = self.last_job.map_or(JobId::FIRST, JobId::next);
        self.last_job = Some(id);
        id
    }
}
