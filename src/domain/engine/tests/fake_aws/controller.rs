//! The controller: one reconcile, and reconciles until a run has ended.

use std::{fmt::Write as _, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    desired::{desired, owner, run},
    state::FakeAws,
};
use crate::{
    api::v1alpha1::{Goal, Run, RunStatus, TargetStatus},
    domain::{
        desired::Desired,
        engine::{
            Clocks, Decision, Known, Needed, Observation, Step, Task, decide,
            decide_garbage_collection, settled,
        },
        outcome::Outcome,
        reason::Reason,
        workload::lambda::DesiredFunction,
    },
};

impl FakeAws {
    /// Delivers, as the shell does, until the run is over.
    pub fn deliver(&mut self, revision: i64, functions: &[DesiredFunction]) -> Step {
        self.deliver_as(desired(revision, functions.to_vec()))
    }

    /// The same, with all of `Desired`.
    pub fn deliver_as(&mut self, desired: Desired) -> Step {
        let run = run(desired.release.revision, 1, Goal::Deliver);
        self.known = Known::default();
        self.finish(&Task::Deliver(desired), &run)
    }

    pub fn restore(&mut self, revision: i64) -> Step {
        let run = run(revision, 1, Goal::Restore);
        self.known = Known::default();
        self.finish(
            &Task::Restore("another target of the stage failed".into()),
            &run,
        )
    }

    pub fn finish(&mut self, task: &Task, run: &Run) -> Step {
        for _ in 0..1_000 {
            let ask = |status: &TargetStatus, observed: &Observation, now| {
                decide(task, run, status, &owner(), observed, now)
            };
            self.pass(&ask);
            if settled(run, &self.status) {
                return self
                    .status
                    .run
                    .as_ref()
                    .and_then(Step::of)
                    .expect("a run has a step");
            }
        }
        panic!("the run does not end:\n{}", self.log);
    }

    /// Plans, as the shell does, until the plan is recorded or can't be made.
    pub fn plan(&mut self, desired: &Desired) -> Outcome {
        let task = Task::Plan(desired.clone());
        let run = run(desired.release.revision, 1, Goal::Deliver);
        self.known = Known::default();
        for _ in 0..50 {
            let ask = |status: &TargetStatus, observed: &Observation, now| {
                decide(&task, &run, status, &owner(), observed, now)
            };
            match self.pass(&ask) {
                Some(Outcome::Waiting { .. } | Outcome::Transient { .. }) | None => {}
                Some(outcome) => return outcome,
            }
        }
        panic!("the plan is not made:\n{}", self.log);
    }

    /// Collects the garbage, as the shell does.
    pub fn collect(&mut self, needed: &Needed) -> Option<Outcome> {
        self.known = Known::default();
        self.pass(&|status: &TargetStatus, observed: &Observation, _| {
            decide_garbage_collection(status, needed, &owner(), observed)
        })
    }

    /// Runs one reconcile.
    pub fn pass(
        &mut self,
        decide: &dyn Fn(&TargetStatus, &Observation, Timestamp) -> Decision,
    ) -> Option<Outcome> {
        let mut observed = Observation::of(std::mem::take(&mut self.known), self.now);
        let mut calls_left = self.calls_per_pass.unwrap_or(usize::MAX);
        for _ in 0..200 {
            match decide(&self.status, &observed, self.now) {
                Decision::Observe(reads) => {
                    assert!(!reads.is_empty(), "an empty read");
                    self.wait_for_budget(&mut observed);
                    let waiting = reads.len() > calls_left;
                    for read in reads.into_iter().take(calls_left) {
                        calls_left -= 1;
                        self.read(&read, &mut observed);
                    }
                    if waiting {
                        return Some(self.cancel(observed));
                    }
                }
                Decision::Record(status) => {
                    self.check_snapshot(&status);
                    let before = std::mem::replace(&mut self.status, *status);
                    self.records += 1;
                    let Some(run) = self.status.run.as_ref() else {
                        self.say("status");
                        observed.recorded(&before, &self.status);
                        continue;
                    };
                    let mut line = format!("status: {}", run.step);
                    if run.level > 0 {
                        let _ = write!(line, " level {}", run.level);
                    }
                    if let Some(traffic) = &run.traffic
                        && (traffic.weight < 100 || traffic.evaluations > 0)
                    {
                        let _ = write!(line, " {} %", traffic.weight);
                        if traffic.evaluations > 0 {
                            let _ = write!(line, ", watched {}s", traffic.baked_seconds);
                        }
                    }
                    if let Some(message) = &run.message {
                        let _ = write!(line, " ({message})");
                    }
                    let watched = run
                        .traffic
                        .as_ref()
                        .is_some_and(|traffic| traffic.evaluations > 0);
                    let run = if watched {
                        &RunStatus {
                            intents: Vec::new(),
                            ..run.clone()
                        }
                    } else {
                        run
                    };
                    for intent in run.intents.clone() {
                        self.say(format!("  intent {} {}", intent.operation, intent.resource));
                    }
                    self.say(line);
                    observed.recorded(&before, &self.status);
                }
                Decision::Execute(effects) => {
                    self.wait_for_budget(&mut observed);
                    let waiting = effects.len() > calls_left;
                    for effect in effects.into_iter().take(calls_left) {
                        calls_left -= 1;
                        if !self.execute(&effect, &mut observed) {
                            self.say("controller dies");
                            self.known = holding(self.now + SignedDuration::from_secs(2));
                            self.tick(Duration::from_secs(3));
                            return None;
                        }
                    }
                    if waiting {
                        return Some(self.cancel(observed));
                    }
                }
                Decision::Wait(outcome) => {
                    self.known = observed.into_known();
                    let after = match &outcome {
                        Outcome::Waiting { after, .. } => *after,
                        _ => Duration::from_secs(1),
                    };
                    self.tick(after);
                    return Some(outcome);
                }
                Decision::Rest(outcome) => return Some(outcome),
            }
        }
        panic!("a reconcile does not end:\n{}", self.log);
    }

    /// Waits for budget, as the shell does before each wave of calls.
    fn wait_for_budget(&mut self, observed: &mut Observation) {
        let waited = self.wait_for_budget;
        self.now += SignedDuration::try_from(waited).expect("a short duration");
        observed.at(self.now);
        observed.known.clocks.exclude_budget_wait(waited, self.now);
    }

    /// Cancels the calls that still wait for budget, and ends the pass.
    fn cancel(&mut self, observed: Observation) -> Outcome {
        self.known = observed.into_known_interrupted();
        self.tick(Duration::from_secs(1));
        Outcome::Waiting {
            reason: Reason::WaitingForBudget,
            message: String::new(),
            after: Duration::from_secs(1),
        }
    }
}

/// The memory of a new leader, which may change nothing before `until`.
pub fn holding(until: Timestamp) -> Known {
    Known {
        clocks: Clocks {
            hold_until: Some(until),
            ..Clocks::default()
        },
        ..Known::default()
    }
}
