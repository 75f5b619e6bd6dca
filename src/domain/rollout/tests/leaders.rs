//! Every order of events of two leaders, a Release that somebody has to approve, a crash and another try.
//!
//! The API server holds what is on record and takes a write only by the version that its writer has read;
//! what a leader has read may be as old as it likes. That it dies is in here as well: it takes no step any
//! more, between any two of its writes. The Target, who approves and who asks for another try are quicker
//! or slower than both.

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

/// Somebody says yes no more often than this.
const APPROVALS: usize = 2;

/// It fails no more often than this: once more than somebody asks for another try.
const FAILURES: usize = 2;

/// What the API server holds.
#[derive(Clone, Debug)]
struct Record {
    story: Play,
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
    /// The stages; with it the retry that was asked for is handled.
    Status(Vec<StageStatus>),
    Order(String, StageTarget, Run),
    PlanOf(String, StageTarget, ReleaseRef),
    /// That an Approval was used.
    Answer(String),
}

/// A process that reconciles the Deployment.
#[derive(Clone, Debug)]
struct Leader {
    read: Record,
    todo: VecDeque<Write>,
}

/// One try of a Release, as an order has it.
type Try = (String, i64);

#[derive(Clone, Debug)]
struct State {
    record: Record,
    leaders: Vec<Leader>,
    /// What a Target would answer when it is asked for its plan.
    would_change: &'static str,
    failures_left: usize,
    retries_left: usize,
    /// With which Approvals each try was begun.
    begun: BTreeMap<Try, BTreeSet<String>>,
    /// What must not be, and was.
    wrong: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A leader reads everything and decides, or its next write arrives.
    Step(usize),
    /// The Target ends what it was ordered.
    End(Step),
    /// Somebody says yes to what waits.
    Approve,
    /// Somebody asks for another try.
    Retry,
    /// What the Target would change is something else now.
    Change,
    TakeOver,
}

/// Delivers r1 to a stage whose Account asks for one approval.
struct Leaders;

/// The gate as the controller judges it: Approvals as the leader has read them.
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
            used: &used(&self.record.story.overview.reported),
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

    /// The controller's writes, in its order.
    fn decide(&mut self, record: &Record, requirements: &Requirements) {
        self.read = record.clone();
        let overview = &self.read.story.overview;
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
        self.todo
            .extend(orders.map(|(stage, place, run)| Write::Order(stage, place, run)));
        let plans = plan.plan_requests.into_iter();
        self.todo
            .extend(plans.map(|(stage, place, of)| Write::PlanOf(stage, place, of)));
        let used = used(&plan.stages);
        let news = (self.read.approvals.iter())
            .filter(|one| used.contains(&one.uid().unwrap_or_default()) && !says_used(one));
        self.todo
            .extend(news.map(|one| Write::Answer(one.name_any())));
        if plan.stages != overview.reported || overview.commands.retry {
            self.todo.push_back(Write::Status(plan.stages));
        }
    }
}

impl Record {
    /// What can differ between two of them.
    fn tell(&self, text: &mut String) {
        let overview = &self.story.overview;
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
        self.record.tell(&mut text);
        for leader in &self.leaders {
            let _ = write!(text, "{:?}", leader.todo);
            // One that has nothing to write reads anew.
            if !leader.todo.is_empty() {
                leader.read.tell(&mut text);
            }
        }
        let _ = write!(text, "{}{}", self.would_change, self.failures_left);
        let _ = write!(
            text,
            "{}{:?}{:?}",
            self.retries_left, self.begun, self.wrong
        );
        text
    }

    fn step(&mut self, index: usize, requirements: &Requirements) {
        let leader = &mut self.leaders[index];
        let Some(write) = leader.todo.pop_front() else {
            leader.decide(&self.record, requirements);
            return;
        };
        if self.land(index, &write) {
            let leader = &mut self.leaders[index];
            apply(&mut leader.read, &write, self.would_change);
        } else {
            // A conflict ends the reconcile; the next one reads anew.
            self.leaders[index].todo.clear();
        }
    }

    /// Whether the API server took it.
    fn land(&mut self, index: usize, write: &Write) -> bool {
        let (read, now) = (self.leaders[index].read.versions, self.record.versions);
        let fits = match write {
            Write::Outcome(_) => read.release == now.release,
            Write::Status(_) => read.deployment == now.deployment,
            Write::Order(..) | Write::PlanOf(..) => read.target == now.target,
            Write::Answer(_) => true,
        };
        if !fits {
            return false;
        }
        if let Write::Order(_, _, run) = write {
            self.begin(run);
        }
        apply(&mut self.record, write, self.would_change);
        true
    }

    /// An order lands: it must have passed, with Approvals of its own.
    fn begin(&mut self, run: &Run) {
        if run.goal != Goal::Deliver {
            return;
        }
        let stages = &self.record.story.overview.reported;
        let passage = stages.iter().find_map(|stage| stage.passage.as_ref());
        let Some(passage) = passage else {
            self.wrong.push(format!("{run:?} did not pass"));
            return;
        };
        let own = (&passage.release, passage.attempt) == (&run.release, run.attempt);
        let digest = run.plan_digest.clone().unwrap_or_default();
        let approved = stage_digest(&[(place("prod"), digest)]);
        if !own || passage.digest != approved {
            let wrong = format!("{run:?} began with what let {passage:?} pass");
            self.wrong.push(wrong);
        }
        for of in &passage.by.approvals {
            let fits = |one: &&Approval| {
                one.uid().as_ref() == Some(&of.uid)
                    && one.spec.stage_digest == approved
                    && one.spec.release_ref.uid == run.release.uid
            };
            if !self.record.approvals.iter().any(|one| fits(&one)) {
                self.wrong.push(format!("{run:?} began with {of:?}"));
            }
        }
        let by = passage.by.approvals.iter().map(|one| one.uid.clone());
        self.begun
            .entry((run.release.uid.clone(), run.attempt))
            .or_default()
            .extend(by);
    }

    fn waiting(&self) -> Option<(i64, String)> {
        let stages = &self.record.story.overview.reported;
        let waiting = stages.iter().find_map(|stage| stage.waiting.as_ref())?;
        Some((waiting.attempt, waiting.digest.clone()?))
    }

    fn approve(&mut self) {
        let number = self.record.approvals.len() + 1;
        let (_, digest) = self.waiting().expect("something waits");
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

    /// What it was ordered and has not ended.
    fn ordered(&self) -> Option<&Run> {
        let target = self.record.story.overview.targets.first()?;
        let order = target.order.as_ref()?;
        let ended = target
            .run
            .as_ref()
            .is_some_and(|run| (&run.release, run.attempt) == (&order.release, order.attempt));
        (!ended).then_some(order)
    }
}

fn apply(record: &mut Record, write: &Write, would_change: &str) {
    let overview = &mut record.story.overview;
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
        Write::Order(stage, place, run) => {
            record.story.target(stage, place).order = Some(run.clone());
            record.versions.target += 1;
        }
        Write::PlanOf(stage, place, of) => {
            let plan = Some((of.clone(), would_change.to_owned()));
            record.story.target(stage, place).plan = plan;
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
            approval.expect("it is there").status = Some(ApprovalStatus {
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
    let requires: AccountRequires = serde_json::from_value(one).expect("what an Account requires");
    Requirements::of(None, [("prod", &requires)]).expect("a valid gate")
}

impl Model for Leaders {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let mut story = Play::new();
        story.overview.stages = vec!["prod".into()];
        story.release(1);
        story.overview.releases[0].stages = vec![stage("prod", &["prod"])];
        story.target("prod", &place("prod"));
        let record = Record {
            story,
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
            wrong: Vec::new(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        actions.extend((0..state.leaders.len()).map(Event::Step));
        if state.ordered().is_some() {
            actions.push(Event::End(Step::Succeeded));
            if state.failures_left > 0 {
                actions.push(Event::End(Step::RolledBack));
            }
        }
        if state.waiting().is_some() && state.record.approvals.len() < APPROVALS {
            actions.push(Event::Approve);
        }
        let failed = state.failures_left < FAILURES;
        if failed && state.retries_left > 0 {
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
                state.record.story.report("prod", "prod", step, None);
                state.record.versions.target += 1;
            }
            Event::Approve => state.approve(),
            Event::Retry => {
                state.retries_left -= 1;
                state.record.story.overview.commands.retry = true;
                state.record.versions.deployment += 1;
            }
            Event::Change => {
                state.would_change = "bb";
                let target = state.record.story.target("prod", &place("prod"));
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
                state.wrong.is_empty() && state.begun.values().all(|by| !by.is_empty())
            }),
            Property::always("one retry is one more try", |_: &Self, state: &State| {
                let waits_for_third = state.waiting().is_some_and(|(attempt, _)| attempt > 2);
                !waits_for_third && state.begun.keys().all(|(_, attempt)| *attempt <= 2)
            }),
            Property::sometimes("another try begins", |_: &Self, state: &State| {
                state.begun.len() == 2
            }),
            Property::sometimes(
                "it is not let in by the first one's",
                |_: &Self, state: &State| {
                    state.waiting().is_some_and(|(attempt, _)| attempt == 2)
                        && state.record.approvals.len() == 1
                },
            ),
            Property::sometimes("it is delivered", |_: &Self, state: &State| {
                let stages = &state.record.story.overview.reported;
                stages.iter().any(|stage| stage.live_revision == Some(1))
            }),
        ]
    }
}

#[test]
fn two_leaders_one_approval_and_a_crash() {
    let checker = Leaders.checker().spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{states} states of two leaders with an approval");
    checker.assert_properties();
    assert!(checker.is_done(), "all of them were looked at");
}
