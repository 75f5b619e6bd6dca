//! Every order of events of two leaders, a Release that needs an approval, a crash and a retry.
//!
//! The API server accepts a write only at the version that its writer has read; the reads of a leader may be
//! arbitrarily stale. Crashes are covered: a leader may take no further step between any two of its writes.
//! The Target, the approver and the user who retries are faster or slower than both.

mod leader;
mod record;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hash::{Hash, Hasher},
};

use kube::ResourceExt as _;
use serde_json::json;
use stateright::{Checker as _, Model, Property};

use self::{
    leader::Leader,
    record::{Record, Versions, Write, apply},
};
use super::*;
use crate::{
    api::v1alpha1::{AccountRequires, Approval},
    domain::gates::Requirements,
};

/// The maximum number of Approvals.
const APPROVALS: usize = 2;

/// The maximum number of failures: one more than there are retries.
const FAILURES: usize = 2;

/// An attempt of a Release, as in a run.
type Attempt = (String, i64);

#[derive(Clone, Debug)]
struct State {
    record: Record,
    leaders: Vec<Leader>,
    /// The digest that a Target would report for its plan.
    would_change: &'static str,
    failures_left: usize,
    retries_left: usize,
    /// The Approvals with which each attempt began.
    begun: BTreeMap<Attempt, BTreeSet<String>>,
    /// Violated guarantees.
    violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A leader reads everything and decides, or its next write arrives.
    Step(usize),
    /// The Target ends its run.
    End(Step),
    /// A user approves the waiting plan.
    Approve,
    /// A user retries.
    Retry,
    /// The plan of the Target changes.
    Change,
    /// A second leader starts.
    TakeOver,
}

/// Delivers r1 to a stage whose Account requires one approval.
struct Leaders;

impl State {
    fn text(&self) -> String {
        let mut text = String::new();
        self.record.describe(&mut text);
        for leader in &self.leaders {
            let _ = write!(text, "{:?}", leader.todo);
            // A leader with nothing to write reads again.
            if !leader.todo.is_empty() {
                leader.read.describe(&mut text);
            }
        }
        let _ = write!(text, "{}{}", self.would_change, self.failures_left);
        let _ = write!(text, "{}{:?}", self.retries_left, self.begun);
        let _ = write!(text, "{:?}", self.violations);
        text
    }

    fn step(&mut self, index: usize, requirements: &Requirements) {
        let leader = &mut self.leaders[index];
        let Some(write) = leader.todo.pop_front() else {
            leader.decide(&self.record, requirements);
            return;
        };
        if self.write(index, &write) {
            let leader = &mut self.leaders[index];
            apply(&mut leader.read, &write, self.would_change);
        } else {
            // A conflict ends the reconcile; the next one reads again.
            self.leaders[index].todo.clear();
        }
    }

    /// Applies a write. Returns whether the API server accepts it.
    fn write(&mut self, index: usize, write: &Write) -> bool {
        let (read, now) = (self.leaders[index].read.versions, self.record.versions);
        let is_current = match write {
            Write::Outcome(_) => read.release == now.release,
            Write::Status(_) => read.deployment == now.deployment,
            Write::Order(..) | Write::PlanOf(..) => read.target == now.target,
            Write::Answer(_) => true,
        };
        if !is_current {
            return false;
        }
        if let Write::Order(_, _, run) = write {
            self.begin(run);
        }
        apply(&mut self.record, write, self.would_change);
        true
    }

    /// A run is assigned: it must have passed the gate, with Approvals of its own.
    fn begin(&mut self, run: &Run) {
        if run.goal != Goal::Deliver {
            return;
        }
        let stages = &self.record.sim.overview.reported;
        let passage = stages.iter().find_map(|stage| stage.passage.as_ref());
        let Some(passage) = passage else {
            self.violations.push(format!("{run:?} did not pass"));
            return;
        };
        let own = (&passage.release, passage.attempt) == (&run.release, run.attempt);
        let digest = run.plan_digest.clone().unwrap_or_default();
        let approved = stage_digest(&[(stage_target("prod"), digest)]);
        if !own || passage.digest != approved {
            let violation = format!("{run:?} began with {passage:?}");
            self.violations.push(violation);
        }
        for of in &passage.by.approvals {
            let fits = |one: &&Approval| {
                one.uid().as_ref() == Some(&of.uid)
                    && one.spec.stage_digest == approved
                    && one.spec.release_ref.uid == run.release.uid
            };
            if !self.record.approvals.iter().any(|one| fits(&one)) {
                self.violations.push(format!("{run:?} began with {of:?}"));
            }
        }
        let by = passage.by.approvals.iter().map(|one| one.uid.clone());
        self.begun
            .entry((run.release.uid.clone(), run.attempt))
            .or_default()
            .extend(by);
    }

    fn waiting(&self) -> Option<(i64, String)> {
        let stages = &self.record.sim.overview.reported;
        let waiting = stages.iter().find_map(|stage| stage.waiting.as_ref())?;
        Some((waiting.attempt, waiting.digest.clone()?))
    }

    fn approve(&mut self) {
        let number = self.record.approvals.len() + 1;
        let (_, digest) = self.waiting().expect("a waiting Release");
        let approval = json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Approval",
            "metadata": {"name": format!("a{number}"), "uid": format!("a{number}")},
            "spec": {
                "releaseRef": {"name": "r1", "uid": "uid-1"},
                "stage": "prod",
                "stageDigest": digest,
                "decision": "Approve",
                "approver": {"username": "bea"},
            },
        });
        let approval = serde_json::from_value(approval).expect("an Approval");
        self.record.approvals.push(approval);
    }

    /// The run of the Target, if it has not ended.
    fn active_run(&self) -> Option<&Run> {
        let target = self.record.sim.overview.targets.first()?;
        let assigned = target.assigned_run.as_ref()?;
        let ended = target.run.as_ref().is_some_and(|run| {
            (&run.release, run.attempt) == (&assigned.release, assigned.attempt)
        });
        (!ended).then_some(assigned)
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

fn requirements() -> Requirements {
    let one = json!({"approval": {"kubernetes": {"users": ["bea"]}}});
    let requires: AccountRequires = serde_json::from_value(one).expect("valid requirements");
    Requirements::of(None, [("prod", &requires)]).expect("a valid gate")
}

impl Model for Leaders {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let mut sim = Simulation::new();
        sim.overview.stages = vec!["prod".into()];
        sim.release(1);
        sim.overview.releases[0].stages = vec![stage("prod", &["prod"])];
        sim.target("prod", &stage_target("prod"));
        let record = Record {
            sim,
            approvals: Vec::new(),
            versions: Versions::default(),
        };
        vec![State {
            leaders: vec![Leader::new(&record)],
            record,
            would_change: "aa",
            failures_left: FAILURES,
            retries_left: 1,
            begun: BTreeMap::new(),
            violations: Vec::new(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        actions.extend((0..state.leaders.len()).map(Event::Step));
        if state.active_run().is_some() {
            actions.push(Event::End(Step::Succeeded));
            if state.failures_left > 0 {
                actions.push(Event::End(Step::RolledBack));
            }
        }
        if state.waiting().is_some() && state.record.approvals.len() < APPROVALS {
            actions.push(Event::Approve);
        }
        if state.failures_left < FAILURES && state.retries_left > 0 {
            actions.push(Event::Retry);
        }
        if state.would_change == "aa" && state.waiting().is_some() {
            actions.push(Event::Change);
        }
        if state.leaders.len() == 1 {
            actions.push(Event::TakeOver);
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        match event {
            Event::Step(leader) => state.step(leader, &requirements()),
            Event::End(step) => {
                state.failures_left -= usize::from(step == Step::RolledBack);
                state.record.sim.report("prod", "prod", step, None);
                state.record.versions.target += 1;
            }
            Event::Approve => state.approve(),
            Event::Retry => {
                state.retries_left -= 1;
                state.record.sim.overview.commands.retry = true;
                state.record.versions.deployment += 1;
            }
            Event::Change => {
                state.would_change = "bb";
                let target = state.record.sim.target("prod", &stage_target("prod"));
                if let Some((_, digest)) = &mut target.plan {
                    "bb".clone_into(digest);
                }
                state.record.versions.target += 1;
            }
            Event::TakeOver => state.leaders.push(Leader::new(&state.record)),
        }
        Some(state).filter(|state| state != last)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I4: an Approval is used once", |_: &Self, state: &State| {
                let all: Vec<_> = state.begun.values().flatten().collect();
                let different: BTreeSet<_> = all.iter().collect();
                all.len() == different.len()
            }),
            Property::always("nothing begins unapproved", |_: &Self, state: &State| {
                state.violations.is_empty() && state.begun.values().all(|by| !by.is_empty())
            }),
            Property::always(
                "one retry is one more attempt",
                |_: &Self, state: &State| {
                    let waits_for_third = state.waiting().is_some_and(|(attempt, _)| attempt > 2);
                    !waits_for_third && state.begun.keys().all(|(_, attempt)| *attempt <= 2)
                },
            ),
            Property::sometimes("another attempt begins", |_: &Self, state: &State| {
                state.begun.len() == 2
            }),
            Property::sometimes(
                "the second attempt needs approval",
                |_: &Self, state: &State| {
                    state.waiting().is_some_and(|(attempt, _)| attempt == 2)
                        && state.record.approvals.len() == 1
                },
            ),
            Property::sometimes("the Release is delivered", |_: &Self, state: &State| {
                let stages = &state.record.sim.overview.reported;
                stages.iter().any(|stage| stage.live_revision == Some(1))
            }),
        ]
    }
}

#[test]
fn two_leaders_one_approval_and_a_crash() {
    let checker = Leaders.checker().spawn_bfs().join();
    println!(
        "{} states of two leaders with an approval",
        checker.unique_state_count()
    );
    checker.assert_properties();
    assert!(checker.is_done(), "every state was checked");
}
