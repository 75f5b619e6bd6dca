//! The description of a pipeline to run.

use serde::Deserialize;

use super::ProjectId;
use crate::gitlab::archive::ArtifactSource;

/// When a job starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobKind {
    /// When the stages before it have succeeded.
    #[default]
    Automatic,
    /// Manually, and the pipeline waits for it: `rules: when: manual`.
    ManualBlocking,
    /// Manually, and the pipeline does not wait: plain `when: manual`.
    ManualOptional,
}

/// How a job ends.
#[derive(Clone, Debug)]
pub enum JobEnd {
    /// `success`, with the uploaded archive.
    Success {
        /// The archive, if the job declared `artifacts:`.
        artifacts: Option<ArtifactSource>,
    },
    /// `failed`.
    Failed {
        /// GitLab's `failure_reason`, such as `script_failure`.
        reason: String,
    },
}

impl JobEnd {
    /// Success without artifacts.
    pub fn success() -> Self {
        Self::Success { artifacts: None }
    }

    /// Success with an archive.
    pub fn uploads(archive: impl Into<ArtifactSource>) -> Self {
        Self::Success {
            artifacts: Some(archive.into()),
        }
    }

    /// Failure of the job's script.
    pub fn failed() -> Self {
        Self::Failed {
            reason: "script_failure".to_owned(),
        }
    }
}

/// How a trigger job follows the pipeline that it starts: `trigger:strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// It succeeds when that pipeline is created.
    #[default]
    None,
    /// It runs until that pipeline ends, and ends with its status.
    Depend,
    /// It always has that pipeline's status.
    Mirror,
}

/// The downstream pipeline of a trigger job.
#[derive(Clone, Debug)]
pub struct TriggerSpec {
    /// How the job follows it.
    pub strategy: Strategy,
    /// The project and ref of a multi-project pipeline; `None` means a child pipeline on the same commit.
    pub elsewhere: Option<(ProjectId, String)>,
    /// The jobs of that pipeline.
    pub jobs: Vec<JobSpec>,
}

/// One job of a pipeline to run. Stages are in the order in which they first occur.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// The job's name.
    pub name: String,
    /// The job's stage.
    pub stage: String,
    /// When it starts.
    pub kind: JobKind,
    /// Whether the pipeline continues when the job fails. Always true for an optional manual job.
    pub allow_failure: bool,
    /// How each attempt ends, as soon as it starts; without an outcome it waits for
    /// [`Simulator::finish_job`](crate::gitlab::Simulator::finish_job).
    pub outcome: Option<JobEnd>,
    /// The downstream pipeline of a trigger job.
    pub trigger: Option<TriggerSpec>,
}

impl JobSpec {
    /// An automatic job that runs until the test finishes it.
    pub fn new(name: &str, stage: &str) -> Self {
        Self {
            name: name.to_owned(),
            stage: stage.to_owned(),
            kind: JobKind::Automatic,
            allow_failure: false,
            outcome: None,
            trigger: None,
        }
    }

    /// A trigger job that starts a child pipeline: `trigger: {include: …, strategy: …}`.
    #[must_use]
    pub fn triggers(self, strategy: Strategy, jobs: Vec<Self>) -> Self {
        let elsewhere = None;
        Self {
            trigger: Some(TriggerSpec {
                strategy,
                elsewhere,
                jobs,
            }),
            ..self
        }
    }

    /// A trigger job that starts a pipeline by project and ref: `trigger: {project: …, branch: …}`.
    #[must_use]
    pub fn triggers_in(
        self,
        project: ProjectId,
        ref_name: &str,
        strategy: Strategy,
        jobs: Vec<Self>,
    ) -> Self {
        let elsewhere = Some((project, ref_name.to_owned()));
        Self {
            trigger: Some(TriggerSpec {
                strategy,
                elsewhere,
                jobs,
            }),
            ..self
        }
    }

    /// A manual job; the pipeline waits for it.
    #[must_use]
    pub fn manual_blocking(self) -> Self {
        Self {
            kind: JobKind::ManualBlocking,
            allow_failure: false,
            ..self
        }
    }

    /// A manual job; the pipeline does not wait for it.
    #[must_use]
    pub fn manual_optional(self) -> Self {
        Self {
            kind: JobKind::ManualOptional,
            allow_failure: true,
            ..self
        }
    }

    /// May fail.
    #[must_use]
    pub fn allow_failure(self) -> Self {
        Self {
            allow_failure: true,
            ..self
        }
    }

    /// Ends with `outcome` as soon as it starts.
    #[must_use]
    pub fn ends(self, outcome: JobEnd) -> Self {
        Self {
            outcome: Some(outcome),
            ..self
        }
    }
}

/// One suite of a pipeline's test report.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct TestSuite {
    pub name: String,
    /// Seconds.
    pub time: f64,
    pub success: u64,
    pub failed: u64,
    pub skipped: u64,
    pub error: u64,
    /// An error in the report itself, such as malformed XML.
    pub suite_error: Option<String>,
}

impl TestSuite {
    /// The number of tests.
    pub fn count(&self) -> u64 {
        self.success + self.failed + self.skipped + self.error
    }
}
