//! Restore: brings back the snapshot of a run, and records the result.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    decision::Decision,
    inputs::{Inputs, next},
    poll::{Poll, may_pass, wait_for},
    step::Step,
    wave::Wave,
};
use crate::{
    api::v1alpha1::{ComponentStatus, Intent, RunStatus},
    domain::{
        failure::CallError,
        outcome::{Outcome, shorten},
        reason::Reason,
        workload::{
            change::told,
            snapshot::{ComponentSnapshot, Snapshot},
        },
    },
};

/// How long a Restore may go without progress. The Release, which may be gone, has no say in it.
pub const DEFAULT_DEADLINE: Duration = Duration::from_mins(10);

/// How many results the status lists.
const LISTED: usize = 100;

/// How often Sluice retries what Lambda can't provide now.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Why a component can't be restored.
struct Problem {
    why: String,
    /// How to wait for it, if it may pass.
    wait: Option<Outcome>,
}

impl Problem {
    fn may_pass(why: String) -> Self {
        let wait = Outcome::Waiting {
            reason: Reason::WaitingForAws,
            message: format!("Waiting for AWS to allow the restore: {why}"),
            after: RETRY_INTERVAL,
        };
        Self {
            why,
            wait: Some(wait),
        }
    }
}

impl Inputs<'_> {
    /// Restores the snapshot, and verifies the result. A component that can't be restored holds up no other:
    /// it fails the run once all others are restored, or the deadline is over.
    pub fn restore(&self, journal: &RunStatus) -> Decision {
        let deadline = DEFAULT_DEADLINE;
        let Some((_, snapshot)) = &self.observed.known.snapshot else {
            return self.load_snapshot(deadline, journal);
        };
        let context = self.context(0);
        let mut problems = self.failed_calls(deadline);
        let levels = snapshot.components.iter().map(|then| then.level);
        for level in (0..=levels.max().unwrap_or_default()).rev() {
            let of_level = snapshot.components.iter().rev();
            let of_level = of_level.filter(|then| then.level == level);
            let mut wave: Wave = of_level
                .filter(|then| self.may_continue(then, snapshot))
                .map(|then| next(then.restore(journal, context)))
                .collect();
            let stuck = std::mem::take(&mut wave.stuck).into_iter();
            problems.extend(stuck.map(Problem::may_pass));
            let failures = std::mem::take(&mut wave.failures).into_iter();
            problems.extend(failures.map(|why| Problem { why, wait: None }));
            if let Some(calls) = wave.calls(|effects| self.act(effects)) {
                return calls;
            }
            let waits = wave.all_waits();
            if !waits.is_empty() {
                match self.wait_for_aws(&waits, deadline, journal) {
                    Poll::Decided(decision) => return decision,
                    Poll::Failed(why) => problems.push(Problem { why, wait: None }),
                    Poll::Ready => {}
                }
            }
        }
        let late = self.stuck(journal) > deadline;
        if let Some(wait) = problems.iter().find_map(|problem| problem.wait.clone())
            && !late
        {
            return Decision::Wait(wait);
        }
        let reasons: Vec<String> = problems.into_iter().map(|problem| problem.why).collect();
        match reasons.as_slice() {
            [] => self.record_restored(journal, snapshot),
            reasons => self.record_not_restored(journal, snapshot, &reasons.join("; ")),
        }
    }

    /// The failed calls of this pass.
    fn failed_calls(&self, deadline: Duration) -> Vec<Problem> {
        let problem = |(component, error): &(String, CallError)| {
            let why = format!("component {component}: {error}");
            if !may_pass(error) {
                return Problem { why, wait: None };
            }
            Problem {
                why: format!("no progress for {}s; {why}", deadline.as_secs()),
                wait: Some(wait_for(error)),
            }
        };
        self.observed.errors.iter().map(problem).collect()
    }

    /// Whether this pass may work on the component: not if one of its calls has failed, or one that belongs
    /// to no known component.
    fn may_continue(&self, then: &ComponentSnapshot, snapshot: &Snapshot) -> bool {
        let failed = self.observed.errors.iter().map(|(component, _)| component);
        !failed.into_iter().any(|component| {
            *component == then.component || snapshot.component(component).is_none()
        })
    }

    /// Ends the run as restored, and lists what was restored.
    fn record_restored(&self, journal: &RunStatus, snapshot: &Snapshot) -> Decision {
        let of_component = |then: &ComponentSnapshot| then.restored(&self.observed.components);
        let restored = snapshot.components.iter().flat_map(of_component);
        let journal = RunStatus {
            restored: restored.take(LISTED).collect(),
            ..journal.clone()
        };
        self.end(&journal, Step::RolledBack, None)
    }

    /// Ends the run as not restored, and lists the remaining differences, as far as they were observed.
    fn record_not_restored(&self, journal: &RunStatus, snapshot: &Snapshot, why: &str) -> Decision {
        let remaining = |then: &ComponentSnapshot| {
            then.not_restored(journal, self.owner, &self.observed.components)
        };
        let mut differences: Vec<_> = snapshot.components.iter().flat_map(remaining).collect();
        let why = match told(&differences, LISTED).as_str() {
            "" => why.to_owned(),
            list => format!("{why}. Not restored: {list}"),
        };
        differences.truncate(LISTED);
        let journal = RunStatus {
            differences,
            ..journal.clone()
        };
        self.end(&journal, Step::RollbackFailed, Some(&why))
    }

    /// Begins the restore.
    pub fn begin_restore(&self, journal: &RunStatus, why: &str) -> Decision {
        let mut status = self.status.clone();
        let mut run = journal.clone();
        if run.snapshot.is_none() {
            // A run that changed nothing has nothing to restore.
            return self.end(journal, Step::RolledBack, Some(why));
        }
        Step::Restore.as_str().clone_into(&mut run.step);
        run.held_at = None;
        run.differences.clear();
        run.attempt = self.run.attempt.max(run.attempt);
        run.progressed_at = Time(self.now);
        run.finished_at = None;
        if run.message.is_none() {
            run.message = Some(shorten(why, 4096));
        }
        let restoring = |component: &ComponentStatus| Intent {
            component: component.name.clone(),
            operation: "Restore".to_owned(),
            resource: component.resource.clone(),
            result: run
                .snapshot
                .as_ref()
                .map(|snapshot| snapshot.sha256.clone()),
        };
        run.intents = run.components.iter().rev().map(restoring).collect();
        status.versions = self.versions_so_far(journal);
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    /// Records another attempt of a restore that already is complete.
    pub fn record_attempt(&self, journal: &RunStatus) -> Decision {
        let mut status = self.status.clone();
        status.run = Some(RunStatus {
            attempt: self.run.attempt,
            ..journal.clone()
        });
        Decision::Record(Box::new(status))
    }
}
