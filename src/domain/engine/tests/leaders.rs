//! Every sequence of events of two leaders, one Release and a crash.
//!
//! The second leader may take over at any moment, even while calls of the first one, which may have crashed,
//! are on their way: those arrive at any later moment, or never. No leader waits for the other, as if the
//! clocks had jumped: the properties rest on conditional writes alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hash::{Hash, Hasher},
};

use stateright::{Checker as _, Model, Property};

use super::{super::*, fake_aws::*};

/// A process that carries out the run.
#[derive(Clone, Debug)]
struct Leader {
    is_alive: bool,
    /// A leader that has lost the Lease begins no call.
    is_fenced: bool,
    /// The Target as it was read, and its resourceVersion.
    read: (TargetStatus, u64),
    observed: Observation,
    is_done: bool,
}

/// A call on its way to AWS.
#[derive(Clone, Debug)]
struct Call {
    leader: usize,
    effect: Effect,
}

#[derive(Clone, Debug)]
struct State {
    aws: FakeAws,
    version: u64,
    leaders: Vec<Leader>,
    calls: Vec<Call>,
    /// The last writer of each resource.
    last_writer: BTreeMap<String, usize>,
    overtaken: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A leader continues until it waits for a call.
    Step(usize),
    /// A call arrives.
    Arrive(usize),
    /// The first leader crashes.
    Crash,
    /// The second one takes over.
    TakeOver,
}

/// When the check of v2 fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    Never,
    BeforeTraffic,
    /// Only through the alias, so that traffic has to be restored too.
    AfterTraffic,
}

/// Delivers v2 where v1 serves.
struct Leaders(Bad);

impl State {
    fn text(&self) -> String {
        let mut text = String::new();
        let FakeAws {
            functions,
            status,
            snapshots,
            revisions,
            ..
        } = &self.aws;
        let _ = write!(text, "{functions:?}{status:?}{snapshots:?}{revisions}");
        let _ = write!(text, "{:?}{:?}", self.leaders, self.calls);
        let _ = write!(text, "{:?}{:?}", self.last_writer, self.overtaken);
        text
    }

    fn start(&mut self) {
        self.leaders.push(Leader {
            is_alive: true,
            is_fenced: false,
            read: (self.aws.status.clone(), self.version),
            observed: Observation::default(),
            is_done: false,
        });
    }

    /// Begins another pass, with a fresh read of the Target.
    fn begin_again(&mut self, leader: usize) {
        let read = (self.aws.status.clone(), self.version);
        let now = self.aws.now;
        let leader = &mut self.leaders[leader];
        let known = std::mem::take(&mut leader.observed).into_known();
        leader.observed = Observation::of(known, now);
        leader.read = read;
    }

    fn step(&mut self, index: usize, task: &Task, run: &Run) {
        let leader = &self.leaders[index];
        let (status, version) = leader.read.clone();
        let decision = if settled(run, &status) {
            Decision::Rest(outcome(&status))
        } else {
            decide(task, run, &status, &owner(), &leader.observed, self.aws.now)
        };
        match decision {
            Decision::Observe(reads) => {
                for read in reads {
                    let observed = &mut self.leaders[index].observed;
                    self.aws.read(&read, observed);
                }
            }
            Decision::Record(_) if version != self.version => self.begin_again(index),
            Decision::Record(next) => {
                self.version += 1;
                self.aws.status = (*next).clone();
                let leader = &mut self.leaders[index];
                leader.read = (*next, self.version);
                leader.observed.recorded(&status, &leader.read.0);
            }
            Decision::Execute(_) if leader.is_fenced => self.leaders[index].is_done = true,
            Decision::Execute(effects) => {
                let calls = effects.into_iter();
                self.calls.extend(calls.map(|effect| Call {
                    leader: index,
                    effect,
                }));
            }
            Decision::Wait(_) => self.begin_again(index),
            Decision::Rest(_) => self.leaders[index].is_done = true,
        }
    }

    fn arrive(&mut self, index: usize) {
        let Call { leader, effect } = self.calls.remove(index);
        let resource = resource_of(&effect);
        let before = self.aws.functions.clone();
        let sender = &self.leaders[leader];
        let restoring = run_step(&sender.read.0) == Some(Step::Restore);
        let reply = self.aws.perform(&effect, &sender.observed);
        // AWS settles at once: other tests cover the waiting.
        self.aws.settle();
        let changed = !same(&before, &self.aws.functions);
        if changed {
            let last = self.last_writer.insert(resource.clone(), leader);
            if last > Some(leader) {
                self.overtaken.insert(resource);
            }
        }
        let now = self.aws.now;
        let sender = &mut self.leaders[leader];
        if sender.is_alive {
            match reply {
                Ok(reply) => sender.observed.note(&effect, reply, restoring, now),
                Err(error) => sender.observed.failed(effect, error),
            }
        }
    }
}

/// The resource with a revision of its own: a function, or its alias.
fn resource_of(effect: &Effect) -> String {
    let alias = effect.operation().ends_with("Alias");
    format!("{}{}", effect.resource, if alias { ":live" } else { "" })
}

/// Whether both are equal, apart from revisions.
fn same(one: &BTreeMap<String, Deployed>, other: &BTreeMap<String, Deployed>) -> bool {
    let plain = |functions: &BTreeMap<String, Deployed>| {
        let mut functions = functions.clone();
        for deployed in functions.values_mut() {
            deployed.latest.revision_id.clear();
            deployed.settles_in = 0;
            if let Some(alias) = &mut deployed.alias {
                alias.revision_id.clear();
            }
        }
        functions
    };
    plain(one) == plain(other)
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

impl Leaders {
    fn task() -> (Task, Run) {
        let wanted = desired(2, vec![want("api", "v2", 128)]);
        (Task::Deliver(wanted), run(2, 1, Goal::Deliver))
    }
}

impl Model for Leaders {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let mut aws = FakeAws::new();
        aws.deliver(1, &[want("api", "v1", 128)]);
        if self.0 != Bad::Never {
            aws.bad.push(code("v2"));
        }
        aws.bad_once_served = self.0 == Bad::AfterTraffic;
        aws.known = Known::default();
        let mut state = State {
            aws,
            version: 0,
            leaders: Vec::new(),
            calls: Vec::new(),
            last_writer: BTreeMap::new(),
            overtaken: BTreeSet::new(),
        };
        state.start();
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        for (index, leader) in state.leaders.iter().enumerate() {
            let waits = state.calls.iter().any(|call| call.leader == index);
            if leader.is_alive && !leader.is_done && !waits {
                actions.push(Event::Step(index));
            }
        }
        actions.extend((0..state.calls.len()).map(Event::Arrive));
        if state.leaders[0].is_alive {
            actions.push(Event::Crash);
        }
        if state.leaders.len() == 1 {
            actions.push(Event::TakeOver);
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        let (task, run) = Self::task();
        match event {
            Event::Step(leader) => state.step(leader, &task, &run),
            Event::Arrive(call) => state.arrive(call),
            Event::Crash => state.leaders[0].is_alive = false,
            Event::TakeOver => {
                state.leaders[0].is_fenced = true;
                state.start();
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "I1: a Release's code is published once",
                |_: &Self, state: &State| {
                    let versions = state.aws.functions["checkout-api"].versions.values();
                    versions
                        .filter(|version| version.code_sha256 == code("v2"))
                        .count()
                        <= 1
                },
            ),
            Property::always("I7: no late write lands", |_: &Self, state: &State| {
                state.overtaken.is_empty()
            }),
            Property::always(
                "a run ends in one of two states",
                |model: &Self, state: &State| {
                    let done = |leader: &Leader| leader.is_done && !leader.is_fenced;
                    if !state.leaders.iter().any(done) || !state.calls.is_empty() {
                        return true;
                    }
                    let deployed = &state.aws.functions["checkout-api"];
                    let serving = deployed.alias.as_ref().map(|alias| alias.version.as_str());
                    let (version, latest) = match model.0 {
                        Bad::Never => ("2", "v2"),
                        Bad::BeforeTraffic | Bad::AfterTraffic => ("1", "v1"),
                    };
                    serving == Some(version) && deployed.latest.code_sha256 == code(latest)
                },
            ),
            Property::sometimes("a late call arrives", |_: &Self, state: &State| {
                let done = state.leaders.get(1).is_some_and(|leader| leader.is_done);
                done && state.calls.iter().any(|call| call.leader == 0)
            }),
        ]
    }
}

#[test]
fn two_leaders_and_a_crash_keep_the_invariants() {
    for bad in [Bad::Never, Bad::BeforeTraffic, Bad::AfterTraffic] {
        let checker = Leaders(bad).checker().spawn_bfs().join();
        let states = checker.unique_state_count();
        println!("{states} states of two leaders with one release, bad: {bad:?}");
        checker.assert_properties();
        assert!(checker.is_done(), "the checker visited all states");
    }
}
