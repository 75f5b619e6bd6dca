//! Jobs of a pipeline and of the child pipelines that its trigger jobs started, by name.

use super::{
    job::{JobName, newest_job},
    known::Known,
    stand::{self, JobState, Part, parts},
    verdict::{Judged, Judgement, Verdict},
};
use crate::domain::{
    names,
    pipeline::{Bridge, Downstream, Job, Pipeline},
};

pub(super) fn jobs_of(pipeline: i64, known: Known<'_>) -> Judged<&[Job]> {
    let jobs = known.jobs.get(&pipeline).map(Vec::as_slice);
    jobs.ok_or(Judgement::Needs(Verdict::NeedJobs(pipeline)))
}

pub(super) fn bridges_of(pipeline: i64, known: Known<'_>) -> Judged<&[Bridge]> {
    let bridges = known.bridges.get(&pipeline).map(Vec::as_slice);
    bridges.ok_or(Judgement::Needs(Verdict::NeedBridges(pipeline)))
}

/// A job of the pipeline or of one of its child pipelines, with the id and all jobs of that pipeline.
pub(super) fn find_job<'a>(
    pipeline: &Pipeline,
    name: &JobName,
    known: Known<'a>,
) -> Judged<(i64, &'a [Job], &'a Job)> {
    let of = match &name.pipeline {
        None => pipeline.id,
        Some(bridge) => child(pipeline, bridge, bridges_of(pipeline.id, known)?)?,
    };
    let jobs = jobs_of(of, known)?;
    match newest_job(jobs, &name.name) {
        Some(job) => Ok((of, jobs, job)),
        // A child pipeline exists before its jobs.
        None if jobs.is_empty() && of != pipeline.id => Err(Judgement::Waits(format!(
            "pipeline {}: child pipeline {of} has no jobs yet",
            pipeline.id
        ))),
        None => Err(Judgement::Ineligible(no_such_job(
            of,
            "job",
            &name.name,
            &parts(jobs, &[]),
        ))),
    }
}

/// The child pipeline that a trigger job started.
///
/// Sluice takes artifacts only from child pipelines: they run in the same project on the same commit, so
/// the requirements on the ref hold for them too.
fn child(pipeline: &Pipeline, name: &str, bridges: &[Bridge]) -> Judged<i64> {
    let id = pipeline.id;
    let parts = parts(&[], bridges);
    let Some(bridge) = newest_bridge(bridges, name) else {
        return Err(Judgement::Ineligible(no_such_job(
            id,
            "trigger job",
            name,
            &parts,
        )));
    };
    let Some(Downstream {
        id: child,
        sha,
        source,
        ..
    }) = &bridge.downstream
    else {
        return Err(match stand::stand(&Part::from(bridge), true, &parts) {
            JobState::Fine => Judgement::Ineligible(format!(
                "pipeline {id}: the pipeline that trigger job {name} started was deleted, or the \
                 token can't see it"
            )),
            JobState::Bad(why) => {
                Judgement::Ineligible(format!("pipeline {id}: trigger job {name} {why}"))
            }
            JobState::Waits(why) => Judgement::Waits(format!(
                "pipeline {id} waits for trigger job {name} ({}){why}",
                bridge.status
            )),
        });
    };
    if source != "parent_pipeline" || *sha != pipeline.sha {
        return Err(Judgement::Ineligible(format!(
            "pipeline {id}: trigger job {name} started pipeline {child}, which is not a child pipeline: \
             jobs are only taken from those that `trigger: include` starts, in the same project on \
             the same commit"
        )));
    }
    Ok(*child)
}

/// The child pipeline that a trigger job of the pipeline started, if its jobs may be used.
pub fn child_of(pipeline: &Pipeline, name: &str, bridges: &[Bridge]) -> Option<i64> {
    child(pipeline, name, bridges).ok()
}

/// A message that no job has that name, with similar names.
pub(super) fn no_such_job(id: i64, word: &str, name: &str, parts: &[Part<'_>]) -> String {
    let near = names::near(name, parts.iter().map(|part| part.name));
    match near {
        None => format!("pipeline {id} has no {word} {name}"),
        Some(near) => format!(
            "pipeline {id} has no {word} {name}, but {near}: the name has to be exactly as GitLab \
             shows it"
        ),
    }
}

fn newest_bridge<'a>(bridges: &'a [Bridge], name: &str) -> Option<&'a Bridge> {
    (bridges.iter())
        .filter(|bridge| bridge.name == name)
        .max_by_key(|bridge| bridge.id)
}
