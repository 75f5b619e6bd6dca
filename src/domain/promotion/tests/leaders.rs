//! Every order of events of two leaders, a Release that needs an approval, a crash and a retry.
//!
//! The API server accepts a write only at the version that its writer has read; the reads of a leader may be
//! arbitrarily stale. Crashes are covered: a leader may take no further step between any two of its writes.
//! The Target, the approver and the user who retries are faster or slower than both.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    hash::{Hash, Hasher},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde_json::json;
use stateright::{Checker as _, Model, Property};

use super::*;
use crate::{
    api::v1alpha1::{AccountRequires, Approval, ApprovalStatus, condition::COUNTED},
    domain::gates::{self, Inputs, PolicyForce, Requirements, Subject, Verdict},
};

/// The maximum number of Approvals.
const APPROVALS: usize = 2;

/// The maximum number of failures: one more than there are retries.
const FAILURES: usize = 2;

/// The state in the API server.
#[derive(Clone, Debug)]
struct Record {
    sim: Simulation,
    approvals: Vec<Approval>,
    versions: Versions,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Versions {
    deployment: u64,
    release: u64,
    target: u64,
}

#[derive(Clone, Debug)]
enum Write {
    Outcome(StageOutcome),
    /// The stages. This write also ends a requested retry.
    Status(Vec<StageStatus>),
    Order(String, StageTarget, Run),
    PlanOf(String, StageTarget, ReleaseRef),
    /// The status of a used Approval.
    Answer(String),
}

/// A process that reconciles the Deployment.
#[derive(Clone, Debug)]
struct Leader {
    read: Record,
    todo: VecDeque<Write>,
}

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

/// The gate as the controller evaluates it, with the Approvals that the leader has read.
struct Judge<'a> {
    record: &'a Record,
    requirements: &'a Requirements,
}

impl Gatekeeper for Judge<'_> {
    fn asks(&self, _: &Entry<'_>) -> Asks {
        Asks::Something
    }
    fn ask(&self, ask: &Ask<'_>) -> Evaluated {
        let approvals: Vec<&Approval> = self.record.approvals.iter().collect();
        let evaluation = gates::evaluate(&Inputs {
            subject: Subject {
                release: &ask.entry.release.reference.name,
                release_uid: &ask.entry.release.reference.uid,
                stage: ask.entry.stage,
                stage_digest: ask.digest,
                author: None,
            },
            requirements: self.requirements,
            approvals: &approvals,
            used: &used(&self.record.sim.overview.reported),
            policy: &PolicyForce::Since(Timestamp::MIN),
            manual_jobs: &BTreeMap::new(),
            freeze_periods: Ok(&[]),
            now: NOW,
        });
        let answer = match evaluation.verdict {
            Verdict::Open(by) => Answer::Open(by),
            Verdict::Waiting { .. } => Answer::Waiting {
                reason: Reason::WaitingForApproval,
                message: String::new(),
                manual_jobs: Vec::new(),
                until: None,
            },
            Verdict::Rejected { by, .. } => Answer::Rejected(by),
        };
        answer.into()
    }
}

fn used(stages: &[StageStatus]) -> BTreeSet<String> {
    let passages = stages.iter().filter_map(|stage| stage.passage.as_ref());
    let approvals = passages.flat_map(|passage| &passage.by.approvals);
    approvals.map(|one| one.uid.clone()).collect()
}

fn says_used(approval: &Approval) -> bool {
    gates::approvals::is_used(approval, &BTreeSet::new())
}

impl Leader {
    fn new(record: &Record) -> Self {
        Self {
            read: record.clone(),
            todo: VecDeque::new(),
        }
    }

    /// The writes of the controller, in order.
    fn decide(&mut self, record: &Record, requirements: &Requirements) {
        self.read = record.clone();
        let overview = &self.read.sim.overview;
        let judge = Judge {
            record: &self.read,
            requirements,
        };
        let plan = plan(overview, &judge, NOW);
        let has_decided = plan.has_decided();
        let outcomes = plan.outcomes.into_iter();
        self.todo
            .extend(outcomes.map(|(_, outcome)| Write::Outcome(outcome)));
        if has_decided {
            self.todo.push_back(Write::Status(plan.stages.clone()));
        }
        let orders = plan.runs.into_iter();
        self.todo.extend(
            orders.map(|(stage, stage_target, run)| Write::Order(stage, stage_target, run)),
        );
        let plans = plan.plan_requests.into_iter();
        self.todo
            .extend(plans.map(|(stage, stage_target, of)| Write::PlanOf(stage, stage_target, of)));
        let used = used(&plan.stages);
        let newly_used = (self.read.approvals.iter())
            .filter(|one| used.contains(&one.uid().unwrap_or_default()) && !says_used(one));
        self.todo
            .extend(newly_used.map(|one| Write::Answer(one.name_any())));
        if plan.stages != overview.reported || overview.commands.retry {
            self.todo.push_back(Write::Status(plan.stages));
        }
    }
}

impl Record {
    /// Writes everything that can differ between two records.
    fn describe(&self, text: &mut String) {
        let overview = &self.sim.overview;
        let _ = write!(text, "{:?}{:?}", self.versions, overview.commands.retry);
        let _ = write!(text, "{:?}{:?}", overview.reported, overview.targets);
        let _ = write!(text, "{:?}", overview.releases[0].outcomes);
        for approval in &self.approvals {
            let digest = &approval.spec.stage_digest;
            let _ = write!(text, "{digest}{}", says_used(approval));
        }
    }
}

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

fn apply(record: &mut Record, write: &Write, would_change: &str) {
    let overview = &mut record.sim.overview;
    match write {
        Write::Outcome(outcome) => {
            let outcomes = &mut overview.releases[0].outcomes;
            outcomes.retain(|one| one.stage != outcome.stage);
            outcomes.push(outcome.clone());
            record.versions.release += 1;
        }
        Write::Status(stages) => {
            overview.reported.clone_from(stages);
            overview.commands.retry = false;
            record.versions.deployment += 1;
        }
        Write::Order(stage, stage_target, run) => {
            record.sim.target(stage, stage_target).assigned_run = Some(run.clone());
            record.versions.target += 1;
        }
        Write::PlanOf(stage, stage_target, of) => {
            let plan = Some((of.clone(), would_change.to_owned()));
            record.sim.target(stage, stage_target).plan = plan;
            record.versions.target += 1;
        }
        Write::Answer(name) => {
            let named = |one: &&mut Approval| one.name_any() == *name;
            let approval = record.approvals.iter_mut().find(named);
            let used = Condition {
                type_: COUNTED.to_owned(),
                status: "True".to_owned(),
                reason: "Used".to_owned(),
                message: String::new(),
                observed_generation: None,
                last_transition_time: Time(NOW),
            };
            approval.expect("the Approval exists").status = Some(ApprovalStatus {
                conditions: vec![used],
                ..ApprovalStatus::default()
            });
        }
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
