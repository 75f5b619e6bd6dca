//! Which pipeline to release: the newest eligible one, judged by its jobs.
//!
//! A pipeline's own status is not enough. A manual job that blocks keeps it from ever being
//! `success`, playing an optional one makes it `running` again, and statuses reported from outside
//! count in it. So the jobs are asked for, one pipeline at a time ([`Verdict::NeedJobs`]), newest
//! first, until one is found.
//!
//! Guarantees: a pipeline at or below the last one released is never chosen. While the newest
//! pipeline still runs, an older one may be chosen if it is above that.
//!
//! Relies on: the ids of jobs that were not retried grow in the order of their stages, because GitLab
//! inserts a pipeline's jobs stage by stage. A job after a blocking manual one is known by that.

use std::collections::{BTreeMap, BTreeSet};

use super::pipeline::{Job, Pipeline, TestSummary};
use crate::api::v1alpha1::DeploymentSpec;

#[cfg(test)]
mod tests;

/// How many pipelines that were passed over a message names.
const NOTES: usize = 3;

/// What a pipeline must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The branch, tag or pattern, for messages.
    pub git_ref: String,
    /// Jobs whose artifacts are delivered.
    pub artifact_jobs: BTreeSet<String>,
    /// Further jobs that must have succeeded.
    pub required_jobs: BTreeSet<String>,
    /// How many tests must be reported at least, none of them failed.
    pub minimum_tests: Option<i64>,
}

/// What is known about the pipelines so far.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Of the ref, in any order.
    pub pipelines: &'a [Pipeline],
    /// Jobs by pipeline, without retried ones.
    pub jobs: &'a BTreeMap<i64, Vec<Job>>,
    /// Test reports by pipeline.
    pub tests: &'a BTreeMap<i64, TestSummary>,
}

/// Which pipeline to release, or what is missing to say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ask GitLab for the jobs of this pipeline, then ask again.
    NeedJobs(i64),
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
    /// There is nothing to release.
    Nothing {
        /// For people: why.
        message: String,
    },
}

/// What a pipeline's jobs say about it.
enum Judgement {
    Good,
    Waits(String),
    /// It can't be released as it is.
    Unfit(String),
    ArtifactsGone(String),
    NeedTests,
}

impl Requirements {
    /// Those of a Deployment.
    pub fn of(spec: &DeploymentSpec) -> Self {
        let pipeline = spec.source.pipeline.clone().unwrap_or_default();
        Self {
            git_ref: spec.source.git_ref.clone(),
            artifact_jobs: (spec.artifacts.iter())
                .map(|artifact| artifact.job.name.clone())
                .collect(),
            required_jobs: pipeline.required_jobs.into_iter().collect(),
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
        let Some(newest) = pipelines.first().map(|pipeline| pipeline.id) else {
            return Verdict::Nothing {
                message: format!("there is no pipeline of {} yet", self.git_ref),
            };
        };

        let mut waiting: Option<(i64, String)> = None;
        let mut notes = Vec::new();
        for pipeline in pipelines {
            let id = pipeline.id;
            if released.is_some_and(|released| id <= released) {
                break;
            }
            let Some(jobs) = known.jobs.get(&id) else {
                return Verdict::NeedJobs(id);
            };
            match self.judge(pipeline, jobs, known.tests.get(&id)) {
                Judgement::Good => {
                    return Verdict::Eligible {
                        pipeline: id,
                        note: join(&notes),
                    };
                }
                Judgement::NeedTests => return Verdict::NeedTests(id),
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
                    break;
                }
            }
        }
        match (waiting, join(&notes)) {
            (Some((pipeline, message)), notes) => Verdict::Waiting {
                pipeline,
                message: notes.unwrap_or(message),
            },
            (None, Some(notes)) => Verdict::Nothing {
                message: format!(
                    "no new pipeline of {} can be released: {notes}",
                    self.git_ref
                ),
            },
            (None, None) => Verdict::Nothing {
                message: format!(
                    "pipeline {newest} is the newest of {}; up to {} all was released",
                    self.git_ref,
                    released.unwrap_or(newest)
                ),
            },
        }
    }

    fn judge(&self, pipeline: &Pipeline, jobs: &[Job], tests: Option<&TestSummary>) -> Judgement {
        let id = pipeline.id;
        if jobs.is_empty() {
            return if ["created", "preparing", "pending"].contains(&pipeline.status.as_str()) {
                Judgement::Waits(format!("pipeline {id} is being created"))
            } else {
                Judgement::Unfit(format!("pipeline {id} has no jobs"))
            };
        }
        let needed = || self.artifact_jobs.iter().chain(&self.required_jobs);
        if let Some(missing) = needed().find(|name| newest_job(jobs, name).is_none()) {
            return Judgement::Unfit(format!("pipeline {id} has no job {missing}"));
        }
        let is_needed = |job: &Job| {
            self.artifact_jobs.contains(&job.name) || self.required_jobs.contains(&job.name)
        };
        let stands: Vec<_> = (jobs.iter())
            .map(|job| (job, stand(job, is_needed(job), jobs)))
            .collect();
        if let Some((job, what)) = stands.iter().find_map(|(job, stand)| match stand {
            Stand::Bad(what) => Some((job, what)),
            _ => None,
        }) {
            return Judgement::Unfit(format!("pipeline {id}: job {} {what}", job.name));
        }
        // The jobs that are asked for by name are what people look for in the message.
        let waits = (stands.iter())
            .filter_map(|(job, stand)| match stand {
                Stand::Waits(why) => Some((job, why)),
                _ => None,
            })
            .min_by_key(|(job, _)| (!is_needed(job), job.id));
        if let Some((job, why)) = waits {
            return Judgement::Waits(format!(
                "pipeline {id} waits for job {} ({}){why}",
                job.name, job.status
            ));
        }
        for name in &self.artifact_jobs {
            if let Some(gone) =
                newest_job(jobs, name).and_then(|job| missing_archive(pipeline.id, job))
            {
                return Judgement::ArtifactsGone(gone);
            }
        }
        self.judge_tests(id, tests)
    }

    fn judge_tests(&self, id: i64, tests: Option<&TestSummary>) -> Judgement {
        let Some(minimum) = self.minimum_tests else {
            return Judgement::Good;
        };
        let Some(tests) = tests else {
            return Judgement::NeedTests;
        };
        if tests.failed > 0 {
            return Judgement::Unfit(format!(
                "pipeline {id}: {} of {} tests failed",
                tests.failed, tests.total
            ));
        }
        if tests.total < minimum {
            return Judgement::Unfit(format!(
                "pipeline {id}: its report has {} tests, at least {minimum} are required",
                tests.total
            ));
        }
        Judgement::Good
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

/// How a job stands in the way of its pipeline.
enum Stand {
    Fine,
    /// It will still change; what to add to the message.
    Waits(String),
    /// It ended in a way that does not do; in words.
    Bad(&'static str),
}

fn stand(job: &Job, needed: bool, jobs: &[Job]) -> Stand {
    match job.status.as_str() {
        "skipped" if needed => Stand::Bad("was skipped"),
        "failed" if needed || !job.allow_failure => Stand::Bad("failed"),
        "canceled" if needed || !job.allow_failure => Stand::Bad("was canceled"),
        "manual" if needed => Stand::Waits(": somebody has to start it in GitLab".to_owned()),
        // A manual job is optional, or a gate: what comes after it is not ours to wait for.
        "success" | "skipped" | "failed" | "canceled" | "manual" => Stand::Fine,
        "created" => match gate_before(job, jobs) {
            Some(gate) if needed => Stand::Waits(format!(
                ", which comes after the manual job {gate}: somebody has to start that in GitLab"
            )),
            Some(_) => Stand::Fine,
            None => Stand::Waits(String::new()),
        },
        // Words that are not known yet are taken as not the end.
        _ => Stand::Waits(String::new()),
    }
}

/// The blocking manual job that this one waits behind: of the same stage, where `needs` may order
/// the two, or of an earlier one.
///
/// A gate with `needs: []` is manual while the stages before it still run; jobs of those are not
/// behind it.
fn gate_before<'a>(job: &Job, jobs: &'a [Job]) -> Option<&'a str> {
    let start_of = |stage: &str| {
        (jobs.iter())
            .filter(|job| job.stage == stage)
            .map(|job| job.id)
            .min()
    };
    let position = start_of(&job.stage);
    (jobs.iter())
        .filter(|gate| gate.status == "manual" && !gate.allow_failure)
        .find(|gate| start_of(&gate.stage) <= position)
        .map(|gate| gate.name.as_str())
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
