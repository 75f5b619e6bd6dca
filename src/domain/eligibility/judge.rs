//! Whether one pipeline can be released.

use std::collections::BTreeSet;

use super::{
    children::{bridges_of, find_job, jobs_of, no_such_job},
    job::{JobName, missing_archive, newest_job},
    known::Known,
    requirements::Requirements,
    stand::{self, JobState, Part, parts},
    verdict::{Judged, Judgement, Verdict},
};
use crate::domain::pipeline::{Bridge, Job, Pipeline, TestSummary};

impl Requirements {
    /// Judges a pipeline by its jobs; `archives` says whether the archives have to exist.
    pub(super) fn judge(&self, pipeline: &Pipeline, known: Known<'_>, archives: bool) -> Judgement {
        match self.judged(pipeline, known, archives) {
            Ok(()) => Judgement::Good,
            Err(judgement) => judgement,
        }
    }

    fn judged(&self, pipeline: &Pipeline, known: Known<'_>, archives: bool) -> Judged<()> {
        let id = pipeline.id;
        let jobs = jobs_of(id, known)?;
        if jobs.is_empty() && bridges_of(id, known)?.is_empty() {
            let young = ["created", "preparing", "pending"];
            return Err(if young.contains(&pipeline.status.as_str()) {
                Judgement::Waits(format!("pipeline {id} is being created"))
            } else {
                Judgement::Ineligible(format!("pipeline {id} has no jobs"))
            });
        }
        if !known.bridges.contains_key(&id) {
            self.judge_own(pipeline, jobs, None)?;
        }
        self.judge_own(pipeline, jobs, Some(bridges_of(id, known)?))?;
        let needed = || self.artifact_jobs.iter().chain(&self.required_jobs);
        for name in needed().filter(|name| name.pipeline.is_some()) {
            let (child, jobs, job) = find_job(pipeline, name, known)?;
            let parts = parts(jobs, &[]);
            let what = format!("job {} of child pipeline {child}", job.name);
            match stand::stand(&Part::from(job), true, &parts) {
                JobState::Fine => {}
                JobState::Bad(why) => {
                    return Err(Judgement::Ineligible(format!(
                        "pipeline {id}: {what} {why}"
                    )));
                }
                JobState::Waits(why) => {
                    return Err(Judgement::Waits(format!(
                        "pipeline {id} waits for {what} ({}){why}",
                        job.status
                    )));
                }
            }
        }
        if archives {
            for (of, job) in self.artifact_jobs(pipeline, known)? {
                if let Some(gone) = missing_archive(of, job) {
                    return Err(Judgement::ArtifactsGone(gone));
                }
            }
        }
        self.judge_tests(id, known.tests.get(&id))
    }

    /// Judges the pipeline's own jobs, and its trigger jobs if they are known. Without them, the judgement
    /// leaves open what they could change.
    fn judge_own(
        &self,
        pipeline: &Pipeline,
        jobs: &[Job],
        bridges: Option<&[Bridge]>,
    ) -> Judged<()> {
        let id = pipeline.id;
        let parts = parts(jobs, bridges.unwrap_or_default());
        let own = |names: &BTreeSet<JobName>| -> BTreeSet<String> {
            let own = names.iter().filter(|name| name.pipeline.is_none());
            own.map(|name| name.name.clone()).collect()
        };
        let (artifact, required) = (own(&self.artifact_jobs), own(&self.required_jobs));
        if let Some(name) = artifact
            .iter()
            .find(|name| newest_job(jobs, name).is_none())
        {
            return Err(Judgement::Ineligible(no_such_job(id, "job", name, &parts)));
        }
        let exists = |name: &String| parts.iter().any(|part| part.name == name);
        if let Some(name) = required.iter().find(|name| !exists(name)) {
            return Err(match bridges {
                None => Judgement::Needs(Verdict::NeedBridges(id)),
                Some(_) => Judgement::Ineligible(no_such_job(id, "job", name, &parts)),
            });
        }
        let is_needed = |part: &Part<'_>| {
            required.contains(part.name) || !part.is_trigger() && artifact.contains(part.name)
        };
        let stands: Vec<_> = (parts.iter())
            .map(|part| (part, stand::stand(part, is_needed(part), &parts)))
            .collect();
        if let Some((part, what)) = stands.iter().find_map(|(part, stand)| match stand {
            JobState::Bad(what) => Some((part, what)),
            _ => None,
        }) {
            return Err(Judgement::Ineligible(format!(
                "pipeline {id}: {} {} {what}",
                part.word(),
                part.name
            )));
        }
        // Jobs that the Deployment names are the most useful ones in the message.
        let waits = || {
            stands.iter().filter_map(|(part, stand)| match stand {
                JobState::Waits(why) => Some((part, why)),
                _ => None,
            })
        };
        let Some((part, why)) = waits().min_by_key(|(part, _)| (!is_needed(part), part.id)) else {
            return Ok(());
        };
        // All jobs may wait for a trigger job: one that runs, or a blocking manual one.
        if bridges.is_none() && waits().all(|(part, _)| part.status == "created") {
            return Err(Judgement::Needs(Verdict::NeedBridges(id)));
        }
        Err(Judgement::Waits(format!(
            "pipeline {id} waits for {} {} ({}){why}",
            part.word(),
            part.name,
            part.status
        )))
    }

    /// The jobs whose artifacts are delivered, each with its pipeline or child pipeline.
    pub(super) fn artifact_jobs<'a>(
        &self,
        pipeline: &Pipeline,
        known: Known<'a>,
    ) -> Judged<Vec<(i64, &'a Job)>> {
        let names = self.artifact_jobs.iter();
        names
            .map(|name| find_job(pipeline, name, known).map(|(of, _, job)| (of, job)))
            .collect()
    }

    fn judge_tests(&self, id: i64, tests: Option<&TestSummary>) -> Judged<()> {
        let Some(minimum) = self.minimum_tests else {
            return Ok(());
        };
        let tests = tests.ok_or(Judgement::Needs(Verdict::NeedTests(id)))?;
        if tests.failed > 0 {
            return Err(Judgement::Ineligible(format!(
                "pipeline {id}: {} of {} tests failed",
                tests.failed, tests.total
            )));
        }
        if tests.total < minimum {
            return Err(Judgement::Ineligible(format!(
                "pipeline {id}: its report has {} tests, at least {minimum} are required",
                tests.total
            )));
        }
        Ok(())
    }
}
