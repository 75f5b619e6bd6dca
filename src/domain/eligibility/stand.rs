//! Whether one job or trigger job blocks its pipeline.

use std::borrow::Cow;

use crate::domain::pipeline::{Bridge, Downstream, Job};

/// A job or a trigger job.
pub struct Part<'a> {
    pub id: i64,
    pub name: &'a str,
    stage: &'a str,
    pub status: &'a str,
    allow_failure: bool,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Job,
    Trigger(Option<&'a Downstream>),
}

impl Part<'_> {
    /// GitLab's term for it.
    pub fn word(&self) -> &'static str {
        match self.kind {
            Kind::Job => "job",
            Kind::Trigger(_) => "trigger job",
        }
    }

    pub fn is_trigger(&self) -> bool {
        matches!(self.kind, Kind::Trigger(_))
    }
}

impl<'a> From<&'a Job> for Part<'a> {
    fn from(job: &'a Job) -> Self {
        Self {
            id: job.id,
            name: &job.name,
            stage: &job.stage,
            status: &job.status,
            allow_failure: job.allow_failure,
            kind: Kind::Job,
        }
    }
}

impl<'a> From<&'a Bridge> for Part<'a> {
    fn from(bridge: &'a Bridge) -> Self {
        Self {
            id: bridge.id,
            name: &bridge.name,
            stage: &bridge.stage,
            status: &bridge.status,
            allow_failure: bridge.allow_failure,
            kind: Kind::Trigger(bridge.downstream.as_ref()),
        }
    }
}

/// All jobs and trigger jobs.
pub fn parts<'a>(jobs: &'a [Job], bridges: &'a [Bridge]) -> Vec<Part<'a>> {
    let jobs = jobs.iter().map(Part::from);
    jobs.chain(bridges.iter().map(Part::from)).collect()
}

/// Whether a job blocks its pipeline.
pub enum JobState {
    Fine,
    /// The job will still change; text to add to the message.
    Waits(String),
    /// The job ended in a state that blocks the pipeline; a description of it.
    Bad(Cow<'static, str>),
}

/// Whether `part` blocks its pipeline, which has all these `parts`.
pub fn stand(part: &Part<'_>, needed: bool, parts: &[Part<'_>]) -> JobState {
    let bad = |what: &'static str| match part.kind {
        Kind::Trigger(Some(downstream)) => JobState::Bad(Cow::Owned(format!(
            "{what}: its downstream pipeline {} is {}",
            downstream.id, downstream.status
        ))),
        Kind::Job | Kind::Trigger(None) => JobState::Bad(Cow::Borrowed(what)),
    };
    match part.status {
        "skipped" if needed => bad("was skipped"),
        "failed" if needed || !part.allow_failure => bad("failed"),
        "canceled" if needed || !part.allow_failure => bad("was canceled"),
        // With `strategy: mirror`, the trigger job is `manual` if a manual job blocks its pipeline.
        "manual" if let Kind::Trigger(Some(downstream)) = part.kind => {
            JobState::Waits(downstream_waits(downstream))
        }
        "manual" if needed => JobState::Waits(": start it in GitLab".to_owned()),
        // A manual job is optional, or a gate: Sluice does not wait for the jobs after it.
        "success" | "skipped" | "failed" | "canceled" | "manual" => JobState::Fine,
        "created" => match gate_before(part, parts) {
            Some(gate) if needed => JobState::Waits(format!(
                ", which comes after the manual job {gate}: start that job in GitLab"
            )),
            Some(_) => JobState::Fine,
            None => JobState::Waits(String::new()),
        },
        // An unknown status does not count as final.
        _ => JobState::Waits(match part.kind {
            Kind::Trigger(Some(downstream)) => downstream_waits(downstream),
            Kind::Job | Kind::Trigger(None) => String::new(),
        }),
    }
}

fn downstream_waits(downstream: &Downstream) -> String {
    let Downstream { id, status, .. } = downstream;
    if status == "manual" {
        // With `strategy: depend`, the trigger job is `running` meanwhile.
        format!(
            ": its downstream pipeline {id} waits for a manual job: start that job in \
             GitLab"
        )
    } else {
        format!(": its downstream pipeline {id} is {status}")
    }
}

/// The blocking manual job that this job waits for: of the same stage, in which `needs` may order the two, or
/// of an earlier one.
///
/// A gate with `needs: []` is manual while earlier stages still run; their jobs don't wait for it.
fn gate_before<'a>(part: &Part<'_>, parts: &[Part<'a>]) -> Option<&'a str> {
    let start_of = |stage: &str| {
        (parts.iter())
            .filter(|part| part.stage == stage)
            .map(|part| part.id)
            .min()
    };
    let position = start_of(part.stage);
    (parts.iter())
        .filter(|gate| gate.status == "manual" && !gate.allow_failure)
        .filter(|gate| !matches!(gate.kind, Kind::Trigger(Some(_))))
        .find(|gate| start_of(gate.stage) <= position)
        .map(|gate| gate.name)
}
