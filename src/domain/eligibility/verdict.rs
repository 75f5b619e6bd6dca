//! The verdict on all pipelines, and the judgement of each.

/// The pipeline to release, or the data that is needed to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Read older pipelines from GitLab, then judge again.
    NeedPipelines,
    /// Read the jobs of this pipeline or child pipeline from GitLab, then judge again.
    NeedJobs(i64),
    /// Read the trigger jobs of this pipeline from GitLab, then judge again.
    NeedBridges(i64),
    /// Read the test report of this pipeline from GitLab, then judge again.
    NeedTests(i64),
    /// This pipeline is eligible.
    Eligible {
        /// The pipeline's id.
        pipeline: i64,
        /// The newer pipelines that were passed over, and why.
        note: Option<String>,
    },
    /// This pipeline may become eligible. It needs no action, except perhaps the start of a manual job.
    Waiting {
        /// The pipeline's id.
        pipeline: i64,
        /// Human-readable message: the pipeline and the job it waits for.
        message: String,
    },
    /// This pipeline would be eligible, but its artifacts are missing.
    Problem {
        /// The pipeline's id.
        pipeline: i64,
        /// Human-readable message: the job, the pipeline and the remedy.
        message: String,
    },
    /// The newest pipeline was already released.
    Released {
        /// Human-readable message: which pipeline.
        message: String,
    },
    /// No pipeline can be released.
    Nothing {
        /// Human-readable message: why.
        message: String,
    },
}

/// The judgement of a pipeline by its jobs.
pub(super) enum Judgement {
    Good,
    /// This data is needed first.
    Needs(Verdict),
    Waits(String),
    /// The pipeline can't be released in its current state.
    Ineligible(String),
    ArtifactsGone(String),
}

/// A result with a judgement other than good as the error, for `?`.
pub(super) type Judged<T> = Result<T, Judgement>;
