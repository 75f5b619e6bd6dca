//! Which pipeline to release: the newest eligible one, judged by its jobs and trigger jobs.
//!
//! A pipeline's own status is not enough. A manual job that blocks keeps it from ever being
//! `success`, playing an optional one makes it `running` again, and statuses reported from outside
//! count in it. So the jobs are asked for, one pipeline at a time ([`Verdict::NeedJobs`]), newest
//! first, until one is found. Trigger jobs are listed apart: they are asked for only where the jobs
//! leave the verdict open to them ([`Verdict::NeedBridges`]), and so are older pipelines
//! ([`Verdict::NeedPipelines`]).
//!
//! Guarantees: a pipeline at or below the last one released is never chosen by
//! [`Requirements::next`]. While the newest pipeline still runs, an older one may be chosen if it is
//! above that. What comes of a child pipeline comes of the commit that its parent runs on.
//!
//! Relies on: the ids of jobs that were not retried grow in the order of their stages, because GitLab
//! inserts a pipeline's jobs stage by stage. A job after a blocking manual one is known by that.

use std::collections::{BTreeMap, BTreeSet};

pub use self::children::child_of;
use super::pipeline::{Bridge, Job, Pipeline, TestSummary};
use crate::api::v1alpha1::{DeploymentSpec, JobArtifact};

mod children;
mod judge;
mod stand;
#[cfg(test)]
mod tests;

/// How many pipelines that were passed over a message names.
const NOTES: usize = 3;
/// How many pipelines above the last one released are judged at most: each costs a request or two.
const JUDGED: usize = 100;

/// A job by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobName {
    /// The trigger job whose child pipeline has it; `None` where the pipeline itself has it.
    pub pipeline: Option<String>,
    /// The job.
    pub name: String,
}

impl From<&str> for JobName {
    fn from(name: &str) -> Self {
        Self {
            pipeline: None,
            name: name.to_owned(),
        }
    }
}

impl From<&JobArtifact> for JobName {
    fn from(job: &JobArtifact) -> Self {
        Self {
            pipeline: job.pipeline.clone(),
            name: job.name.clone(),
        }
    }
}

/// What a pipeline must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The branch, tag or pattern, for messages.
    pub git_ref: String,
    /// Jobs whose artifacts are delivered.
    pub artifact_jobs: BTreeSet<JobName>,
    /// Further jobs, or trigger jobs, that must have succeeded.
    pub required_jobs: BTreeSet<JobName>,
    /// How many tests must be reported at least, none of them failed.
    pub minimum_tests: Option<i64>,
}

/// How far the list of pipelines goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// To the oldest.
    All,
    /// There are older ones to be had.
    More,
    /// There are older ones, and no more of them are asked for after so many.
    Enough(usize),
}

/// What is known about the pipelines so far.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Of the ref, in any order.
    pub pipelines: &'a [Pipeline],
    /// Whether these are all.
    pub listed: Listed,
    /// Jobs by pipeline or child pipeline, without retried ones.
    pub jobs: &'a BTreeMap<i64, Vec<Job>>,
    /// Trigger jobs by pipeline, without retried ones.
    pub bridges: &'a BTreeMap<i64, Vec<Bridge>>,
    /// Test reports by pipeline.
    pub tests: &'a BTreeMap<i64, TestSummary>,
}

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
enum Judgement {
    Good,
    /// This has to be known first.
    Needs(Verdict),
    Waits(String),
    /// It can't be released as it is.
    Unfit(String),
    ArtifactsGone(String),
}

/// What keeps a pipeline from being good, for `?`.
type Judged<T> = Result<T, Judgement>;

impl Requirements {
    /// Those of a Deployment.
    pub fn of(spec: &DeploymentSpec) -> Self {
        let pipeline = spec.source.pipeline.clone().unwrap_or_default();
        let own = pipeline.required_jobs.iter().map(|name| name[..].into());
        let of_children = pipeline.required_child_jobs.into_iter().map(|job| JobName {
            pipeline: Some(job.pipeline),
            name: job.name,
        });
        Self {
            git_ref: spec.source.git_ref.clone(),
            artifact_jobs: (spec.artifacts.iter())
                .map(|artifact| JobName::from(&artifact.job))
                .collect(),
            required_jobs: own.chain(of_children).collect(),
            minimum_tests: pipeline.minimum_tests,
        }
    }

    /// Finds the newest eligible pipeline above `released`, the highest one released so far.
    pub fn next(&self, known: Known<'_>, released: Option<i64>) -> Verdict {
        // Those made by commit statuses from outside have no jobs of their own.
        let mut pipelines: Vec<_> = (known.pipelines.iter())
            .filter(|pipeline| pipeline.source != "external")
            .collect();
        pipelines.sort_by_key(|pipeline| std::cmp::Reverse(pipeline.id));
        pipelines.dedup_by_key(|pipeline| pipeline.id);
        let newest = pipelines.first().map(|pipeline| pipeline.id);

        let mut waiting: Option<(i64, String)> = None;
        let mut notes = Vec::new();
        let mut listed = known.listed;
        for (judged, pipeline) in pipelines.into_iter().enumerate() {
            let id = pipeline.id;
            if released.is_some_and(|released| id <= released) {
                listed = Listed::All;
                break;
            }
            if judged == JUDGED {
                listed = Listed::Enough(JUDGED);
                break;
            }
            match self.judge(pipeline, known, true) {
                Judgement::Good => {
                    return Verdict::Eligible {
                        pipeline: id,
                        note: join(&notes),
                    };
                }
                Judgement::Needs(verdict) => return verdict,
                Judgement::Waits(message) => {
                    notes.push(message.clone());
                    waiting.get_or_insert((id, message));
                }
                Judgement::Unfit(message) => notes.push(message),
                Judgement::ArtifactsGone(message) => {
                    notes.push(message);
                    // A newer one that is under way will do without these artifacts; an older one
                    // would be a surprise.
                    if waiting.is_none() {
                        return Verdict::Problem {
                            pipeline: id,
                            message: join(&notes).unwrap_or_default(),
                        };
                    }
                    listed = Listed::All;
                    break;
                }
            }
        }
        if listed == Listed::More {
            return Verdict::NeedPipelines;
        }
        let among = match listed {
            Listed::Enough(count) => format!(" among the newest {count}"),
            Listed::All | Listed::More => String::new(),
        };
        match (waiting, join(&notes), newest) {
            (Some((pipeline, message)), notes, _) => Verdict::Waiting {
                pipeline,
                message: notes.unwrap_or(message),
            },
            (None, Some(notes), _) => Verdict::Nothing {
                message: format!(
                    "no new pipeline of {}{among} can be released: {notes}",
                    self.git_ref
                ),
            },
            (None, None, Some(newest)) => Verdict::Released {
                message: format!(
                    "pipeline {newest} is the newest of {}; up to {} all was released",
                    self.git_ref,
                    released.unwrap_or(newest)
                ),
            },
            (None, None, None) => Verdict::Nothing {
                message: format!("there is no pipeline of {}{among} yet", self.git_ref),
            },
        }
    }

    /// Whether the pipeline that was released last can be fetched from again, because its jobs were
    /// run anew: [`Verdict::Eligible`], what to ask first, or `None`.
    ///
    /// `seen` are the jobs that its artifacts were taken from when it was asked for last: while they
    /// are the same, nothing else of it matters any more. What it delivered is kept, so that
    /// artifacts that are gone are only noted.
    pub fn again(&self, known: Known<'_>, released: i64, seen: &BTreeSet<i64>) -> Option<Verdict> {
        let mut listed = known.pipelines.iter();
        let pipeline = listed.find(|pipeline| pipeline.id == released)?;
        let jobs = match self.artifact_jobs(pipeline, known) {
            Ok(jobs) => jobs,
            Err(Judgement::Needs(verdict)) => return Some(verdict),
            Err(_) => return None,
        };
        let ids: BTreeSet<i64> = jobs.iter().map(|(_, job)| job.id).collect();
        if ids != *seen {
            match self.judge(pipeline, known, false) {
                Judgement::Good => {}
                Judgement::Needs(verdict) => return Some(verdict),
                Judgement::Waits(_) | Judgement::Unfit(_) | Judgement::ArtifactsGone(_) => {
                    return None;
                }
            }
        }
        let mut jobs = jobs.into_iter();
        Some(Verdict::Eligible {
            pipeline: released,
            note: jobs.find_map(|(of, job)| missing_archive(of, job)),
        })
    }
}

/// The newest job of that name.
pub fn newest_job<'a>(jobs: &'a [Job], name: &str) -> Option<&'a Job> {
    (jobs.iter())
        .filter(|job| job.name == name)
        .max_by_key(|job| job.id)
}

/// Why there is nothing to download from this job, with the way out; `None` where an archive is
/// listed.
///
/// GitLab leaves `artifacts_file` out once the archive has expired, but serves it on as long as it
/// has not been cleaned up, or for good where the project keeps the latest artifacts. Only an
/// archive that is not listed at all is gone for certain.
pub fn missing_archive(pipeline_id: i64, job: &Job) -> Option<String> {
    if job.archive_kept || job.archive_size.is_some() {
        return None;
    }
    let name = &job.name;
    let why = match job.archive_expires_at {
        Some(when) => format!("the artifacts of job {name} expired on {when} or were erased"),
        None => format!("job {name} has no artifacts, or they were erased"),
    };
    Some(format!(
        "pipeline {pipeline_id}: {why}. Run the job again (Retry on its page, or a new pipeline); \
         if it never had any, give it artifacts:paths in .gitlab-ci.yml"
    ))
}

/// The newest few, as one line.
fn join(notes: &[String]) -> Option<String> {
    if notes.is_empty() {
        return None;
    }
    let mut text = notes[..notes.len().min(NOTES)].join("; ");
    if notes.len() > NOTES {
        text.push_str("; and more");
    }
    Some(text)
}
