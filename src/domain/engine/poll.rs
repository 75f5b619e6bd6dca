//! One pass over the components of a level: it reads, executes or waits for all of them in parallel.

use std::time::Duration;

use super::{
    clocks::WATCH_INTERVAL,
    decision::Decision,
    inputs::{Inputs, Next},
    observation::{Effect, Read},
    step::Step,
    wave::{Wave, awaited},
};
use crate::{
    api::v1alpha1::{RunStatus, annotation},
    domain::{
        failure::{CallError, CallErrorKind},
        outcome::Outcome,
        reason::Reason,
        workload::protocol::Wait,
    },
};

/// The result of asking every component for its next step.
pub(super) enum Poll {
    Decided(Decision),
    Failed(String),
    Ready,
}

impl Inputs<'_> {
    /// Combines the next steps of all components; their effects form one wave.
    pub fn poll(
        &self,
        next: impl Iterator<Item = Next>,
        deadline: Duration,
        journal: &RunStatus,
    ) -> Poll {
        if let Some((component, error)) = self
            .observed
            .errors
            .iter()
            .find(|(_, error)| !may_pass(error))
        {
            return Poll::Failed(format!("component {component}: {error}"));
        }
        if let Some((component, error)) = self.observed.errors.first() {
            if self.stuck(journal) > deadline {
                return Poll::Failed(format!(
                    "no progress for {}s; component {component}: {error}",
                    deadline.as_secs()
                ));
            }
            return Poll::Decided(Decision::Wait(self.wait_on(error)));
        }
        let mut wave: Wave = next.collect();
        if !wave.failures.is_empty() {
            return Poll::Failed(wave.failures.swap_remove(0));
        }
        if let Some(calls) = wave.calls(|effects| self.act(effects)) {
            return Poll::Decided(calls);
        }
        let waits: Vec<Wait> = (wave.waits.into_iter())
            .chain(wave.stuck.into_iter().map(Wait::brief))
            .collect();
        if !waits.is_empty() {
            return self.wait_for_aws(&waits, deadline, journal);
        }
        if !wave.running.is_empty() {
            return Poll::Decided(Decision::Wait(wait_for_invocations(&wave.running)));
        }
        match wave.inconclusive.as_slice() {
            [] => Poll::Ready,
            whys => self.inconclusive(&whys.join(" and "), deadline, journal),
        }
    }

    /// Executes the effects; after a change of leader only once everything was observed twice.
    pub fn act(&self, acts: Vec<Effect>) -> Decision {
        match self
            .observed
            .known
            .clocks
            .hold_until
            .filter(|until| *until > self.now)
        {
            Some(until) => Decision::Wait(Outcome::Waiting {
                reason: Reason::LeaderChanged,
                message: "Reading AWS twice after a change of leader, before the run continues"
                    .to_owned(),
                after: until
                    .duration_since(self.now)
                    .try_into()
                    .unwrap_or_default(),
            }),
            None => Decision::Execute(acts),
        }
    }

    /// Waits for AWS, until the deadline.
    pub fn wait_for_aws(&self, waits: &[Wait], deadline: Duration, journal: &RunStatus) -> Poll {
        let what = awaited(waits);
        if self.stuck(journal) > deadline {
            let seconds = deadline.as_secs();
            return Poll::Failed(format!("no progress for {seconds}s: waiting for {what}"));
        }
        let moved = self.observed.known.clocks.progressed_at;
        let waited = moved.map_or(Duration::ZERO, |at| self.since(at));
        let after = waits.iter().map(|wait| wait.after(waited)).min();
        Poll::Decided(Decision::Wait(Outcome::Waiting {
            reason: Reason::WaitingForAws,
            message: format!("Waiting for {what}"),
            after: after.unwrap_or_default(),
        }))
    }

    /// Waits for an error to pass; only briefly if other calls of the same pass have succeeded, because the
    /// failed one is then likely to succeed next time.
    fn wait_on(&self, error: &CallError) -> Outcome {
        let clocks = &self.observed.known.clocks;
        match wait_for(error) {
            Outcome::Transient {
                reason,
                message,
                after,
            } if clocks.progressed_at > clocks.last_observed_at => Outcome::Waiting {
                reason,
                message,
                after: after.unwrap_or(CONFIRM_AFTER),
            },
            outcome => outcome,
        }
    }

    /// Waits for checks that are inconclusive when their verdict is needed, and fails at the deadline.
    pub fn inconclusive(&self, why: &str, deadline: Duration, journal: &RunStatus) -> Poll {
        if self.stuck(journal) > deadline {
            return Poll::Failed(format!("{why}: still inconclusive at progressDeadline"));
        }
        Poll::Decided(Decision::Wait(Outcome::Waiting {
            reason: Reason::WaitingForChecks,
            message: why.to_owned(),
            after: INCONCLUSIVE,
        }))
    }

    pub fn load_snapshot(&self, deadline: Duration, journal: &RunStatus) -> Decision {
        match self.poll(
            std::iter::once(Next::Read(Read::Snapshot)),
            deadline,
            journal,
        ) {
            Poll::Decided(decision) => decision,
            Poll::Failed(why) => self.end(journal, Step::RollbackFailed, Some(&why)),
            Poll::Ready => Decision::Observe(vec![Read::Snapshot]),
        }
    }
}

/// Waits for invocations. Each is bounded by its check's own timeout, and wakes the Target when it ends.
pub(super) fn wait_for_invocations(what: &[String]) -> Outcome {
    Outcome::Waiting {
        reason: Reason::WaitingForChecks,
        message: format!("Waiting for the answer to {}", what.join(" and ")),
        after: WATCH_INTERVAL,
    }
}

/// Waits for an error to pass. The run is half done, so that Sluice soon retries even errors that it leaves
/// to a person elsewhere.
pub(super) fn wait_for(error: &CallError) -> Outcome {
    match Outcome::from(error.clone()) {
        Outcome::Stalled { reason, message } if may_pass(error) => Outcome::Transient {
            reason,
            message,
            after: None,
        },
        outcome => outcome,
    }
}

/// Whether waiting may help. Credentials that expire during a run are renewed.
pub(super) fn may_pass(error: &CallError) -> bool {
    error.is_transient()
        || matches!(
            error.kind,
            CallErrorKind::Unauthenticated | CallErrorKind::AlreadyExists
        )
}

/// Waits because the run is paused.
pub(super) fn paused(journal: &RunStatus) -> Decision {
    let share = match &journal.traffic {
        Some(traffic) => format!("with {} % of the traffic", traffic.weight),
        None => "before any traffic has moved".to_owned(),
    };
    Decision::Wait(Outcome::Waiting {
        reason: Reason::Paused,
        message: format!(
            "r{} is paused {share}: set {} to continue, or {} to restore the former state",
            journal.release.revision,
            annotation::RESUME,
            annotation::ABORT
        ),
        after: PAUSED,
    })
}

/// How often a paused run is evaluated: its checks go on.
const PAUSED: Duration = Duration::from_secs(10);

/// When an inconclusive check is evaluated again.
pub(super) const INCONCLUSIVE: Duration = Duration::from_secs(5);

/// When a resource that was not found is read again to confirm its absence.
pub(super) const CONFIRM_AFTER: Duration = Duration::from_secs(1);
