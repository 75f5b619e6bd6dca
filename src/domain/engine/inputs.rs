//! The inputs of a decision.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    clocks::passed,
    observation::{Effect, Observation, Read},
    step::Step,
};
use crate::{
    api::v1alpha1::{ComponentStatus, Goal, Run, RunStatus, TargetStatus},
    domain::{
        ownership::Owner,
        workload::{
            component::DesiredComponent,
            context::{ComponentNext, Context},
            protocol,
        },
    },
};

/// What comes next for one component, or for the run as a whole.
pub(super) type Next = protocol::Next<Read, Effect>;

/// What comes next for a component, in the engine's types.
pub(super) fn next(next: ComponentNext) -> Next {
    next.map(Read::Component, Effect::from)
}

/// The inputs of a decision.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub run: &'a Run,
    pub status: &'a TargetStatus,
    pub owner: &'a Owner,
    pub observed: &'a Observation,
    pub now: Timestamp,
}

impl<'a> Inputs<'a> {
    /// The journal of this run. Another attempt of a restore continues the former one, as does an attempt
    /// that resumes a held run.
    pub fn journal(&self) -> Option<&'a RunStatus> {
        let journal = self.status.run.as_ref()?;
        let same_release = journal.release.uid == self.run.release.uid;
        let same_attempt = journal.attempt == self.run.attempt;
        let resumable = self.run.goal == Goal::Restore || Step::of(journal) == Some(Step::Held);
        let resumed = resumable && self.run.attempt > journal.attempt;
        (same_release && (same_attempt || resumed)).then_some(journal)
    }

    /// The inputs of decisions about the components of a level.
    pub fn context(&self, level: usize) -> Context<'a> {
        let known = &self.observed.known;
        Context {
            owner: self.owner,
            run: self.run,
            status: self.status,
            observed: &self.observed.components,
            snapshot: known.snapshot.as_ref().map(|(_, snapshot)| snapshot),
            checks: &known.checks,
            pass: self.observed.pass(),
            level,
        }
    }

    /// Whether the run skips alarms and metrics: an alarm may be the very reason for a rollback, or be red
    /// because of the drift that is being corrected.
    pub fn skips_metric_checks(&self) -> bool {
        self.run.rollback || self.run.correction > 0
    }

    /// For how long the run has not progressed while this process made passes and AWS was not at work.
    pub fn stuck(&self, journal: &RunStatus) -> Duration {
        self.observed.known.clocks.stuck(journal, self.now)
    }

    pub fn since(&self, then: Timestamp) -> Duration {
        passed(then, self.now)
    }
}

/// The status of a component in a run.
pub(super) fn component<'a>(
    run: &'a RunStatus,
    want: &DesiredComponent,
) -> Option<&'a ComponentStatus> {
    run.components.iter().find(|one| one.name == want.name)
}

/// The same, mutable.
pub(super) fn component_mut<'a>(
    run: &'a mut RunStatus,
    want: &DesiredComponent,
) -> Option<&'a mut ComponentStatus> {
    run.components.iter_mut().find(|one| one.name == want.name)
}

/// The level that a run is at.
pub(super) fn level(journal: &RunStatus) -> usize {
    usize::try_from(journal.level).unwrap_or_default()
}
