//! Prepare: the changes that users do not see, and what a failure leads to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    decision::Decision,
    inputs::{Inputs, Next, component, level, next},
    observation::Read,
    poll::{Poll, paused},
    step::Step,
};
use crate::{
    api::v1alpha1::{Intent, OnFailure, RunStatus, TrafficStatus},
    domain::{desired::Desired, outcome::shorten, workload::component::DesiredComponent},
};

impl Inputs<'_> {
    /// Makes the changes that users do not see.
    pub fn prepare(&self, desired: &Desired, journal: &RunStatus) -> Decision {
        if self.observed.known.snapshot.is_none() {
            return self.load_snapshot(desired.progress_deadline, journal);
        }
        let level = level(journal);
        if let Some(output) = desired
            .level(level)
            .find_map(DesiredComponent::needs_output)
        {
            let why = format!("$({output}) is not known, although its component serves");
            return self.failed(desired, journal, &why);
        }
        let deadline = desired.progress_deadline;
        // What the plan left open, because outputs of earlier levels were unknown, is computed now. What was
        // planned stays as it is.
        let is_open = |want: &DesiredComponent| {
            want.level == level && component(journal, want).is_some_and(|it| it.deferred)
        };
        let open = desired.components.iter().filter(|want| is_open(want));
        let reads = open.flat_map(|want| want.first_reads(false, self.context(level)));
        let reads = reads.map(|read| Next::Read(Read::Component(read)));
        let mut poll = self.poll(reads, deadline, journal);
        if matches!(poll, Poll::Ready) {
            poll = match self.proposals(desired, is_open) {
                Ok(nexts) => self.poll(nexts.into_iter(), deadline, journal),
                Err(record) => return record,
            };
        }
        if matches!(poll, Poll::Ready) {
            let context = self.context(level);
            let nexts = desired.level(level);
            let nexts = nexts.map(|want| next(want.prepare(&desired.release, context)));
            poll = self.poll(nexts, deadline, journal);
        }
        match poll {
            Poll::Decided(decision) => decision,
            Poll::Failed(why) => self.failed(desired, journal, &why),
            Poll::Ready if self.run.paused => paused(journal),
            Poll::Ready => self.begin_traffic(desired, journal, level),
        }
    }

    /// The intents of Prepare on a level.
    pub fn preparations(&self, desired: &Desired, level: usize) -> Vec<Intent> {
        let context = self.context(level);
        desired
            .level(level)
            .flat_map(|want| want.intents(&desired.release, context))
            .collect()
    }

    /// Handles a failure: restores the snapshot, or holds the run until a person decides.
    pub fn failed(&self, desired: &Desired, journal: &RunStatus, why: &str) -> Decision {
        if desired.on_failure == OnFailure::Automatic {
            return self.begin_restore(journal, why);
        }
        let mut status = self.status.clone();
        status.run = Some(RunStatus {
            step: Step::Held.as_str().to_owned(),
            held_at: Some(journal.step.clone()),
            message: Some(shorten(why, 4096)),
            progressed_at: Time(self.now),
            ..journal.clone()
        });
        status.versions = self.versions_so_far(journal);
        Decision::Record(Box::new(status))
    }

    /// Resumes a held run at its step, with fresh observations: neither its baked time nor the verdicts of
    /// its alarms count any more. A promotion skips alarms from here on, as they may be why it was held.
    pub fn resume_held(&self, journal: &RunStatus) -> Decision {
        let Some(step) = journal.held_at.clone() else {
            return self.begin_restore(
                journal,
                "the journal does not say at which step the run was held",
            );
        };
        let mut status = self.status.clone();
        status.run = Some(RunStatus {
            step,
            held_at: None,
            message: None,
            attempt: self.run.attempt,
            metric_checks_skipped: journal.metric_checks_skipped || self.run.immediate,
            traffic: journal.traffic.as_ref().map(TrafficStatus::anew),
            started_at: Time(self.now),
            progressed_at: Time(self.now),
            ..journal.clone()
        });
        Decision::Record(Box::new(status))
    }
}
