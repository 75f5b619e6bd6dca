//! What is said of all pipelines together, and of each by itself.

/// Which pipeline to release, or what is missing to say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ask GitLab for older pipelines, then ask again.
    NeedPipelines,
    /// Ask GitLab for the jobs of this pipeline or child pipeline, then ask again.
    NeedJobs(i64),
    /// Ask GitLab for the trigger jobs of this pipeline, then ask again.
    NeedBridges(i64),
    /// Ask GitLab for the test report of this pipeline, then ask again.
    NeedTests(i64),
    /// This one.
    Eligible {
        /// Its id.
        pipeline: i64,
        /// Which newer ones were passed over and why.
        note: Option<String>,
    },
    /// This one may become eligible, and nobody needs to do anything about it, except perhaps start
    /// a manual job.
    Waiting {
        /// Its id.
        pipeline: i64,
        /// For people: the pipeline and the job it waits for.
        message: String,
    },
    /// This one would be eligible, were its artifacts there.
    Problem {
        /// Its id.
        pipeline: i64,
        /// For people: the job, the pipeline and the way out.
        message: String,
    },
    /// The newest one was released already.
    Released {
        /// For people: which one.
        message: String,
    },
    /// There is nothing to release.
    Nothing {
        /// For people: why.
        message: String,
    },
}

/// What a pipeline's jobs say about it.
pub(super) enum Judgement {
    Good,
    /// This has to be known first.
    Needs(Verdict),
    Waits(String),
    /// It can't be released as it is.
    Unfit(String),
    ArtifactsGone(String),
}

/// What keeps a pipeline from being good, for `?`.
pub(super) type Judged<T> = Result<T, Judgement>;
