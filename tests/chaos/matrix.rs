//! Chooses the plans, runs them in parallel, and reports the outcomes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use sluice_lab::hook::Fault;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::{
    controllers,
    final_state::FinalState,
    fixture::{Fixture, Slot},
    injections::{LONG_OUTAGE, injections},
    interceptor::Call,
    invariants::KNOWN_EXCEPTION,
    plan::{CallName, Injection, Plan},
    run::{Outcome, run},
    scenario::Scenario,
    scenarios,
};

/// How many runs take place in parallel, unless `CHAOS_SLOTS` is set. Runs wait most of the time.
const SLOTS: usize = 32;
/// The same for the sample: its build is not optimised, and other tests run at the same time.
const SAMPLE_SLOTS: usize = 12;
/// One plan in this many is in the sample.
const SAMPLE_RATIO: u64 = 28;
/// The same for the scenarios of stacks, which share most of their calls.
const STACK_SAMPLE_RATIO: u64 = 112;
/// How often a void run is repeated.
const RETRIES: usize = 3;
/// How often the progress is printed.
const PROGRESS: Duration = Duration::from_secs(20);

/// Which plans are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Every plan.
    All,
    /// A fixed sample of a few hundred plans.
    Sample,
    /// The plans whose name contains this text.
    Named(String),
    /// The plans whose name does not contain this text.
    Others(String),
}

/// A scenario without a fault.
struct Baseline {
    scenario: &'static Scenario,
    end: FinalState,
    /// The calls that every run of the scenario makes, with whether each one is a write.
    calls: BTreeMap<CallName, bool>,
}

/// The queue of free slots: to return one, and to take one.
type Slots = (mpsc::Sender<Slot>, Arc<Mutex<mpsc::Receiver<Slot>>>);

/// Runs the chosen plans, prints the report, and returns the number of runs with violations.
pub async fn run_all(choice: Choice) -> usize {
    let begun = Instant::now();
    let fixture = tokio::task::spawn_blocking(|| Fixture::start(|line| println!("chaos: {line}")));
    // The fixture lives until the program ends, and so does the lab.
    let fixture: &'static Fixture = Box::leak(Box::new(fixture.await.unwrap()));
    let count = slot_count(&choice);
    let slots = open_slots(fixture, count).await;
    fixture.wait_for_policies().await.unwrap();
    println!(
        "chaos: the slots are ready ({:.0} s)",
        begun.elapsed().as_secs_f32()
    );

    let mut report = Report::default();
    let chosen: Vec<_> = scenarios::all()
        .filter(|scenario| choice.can_include(scenario.name))
        .collect();
    let baselines = run_baselines(fixture, &slots, &chosen, &mut report).await;
    let mut plans: Vec<Plan> = baselines.iter().flat_map(plans_of).collect();
    let total = plans.len();
    let part = Part::from_env();
    plans.retain(|plan| choice.includes(plan) && part.includes(plan));
    // Some kinds of plans wait longer than others. Mixing them keeps the machine evenly busy.
    plans.sort_by_key(Plan::stable_hash);
    println!(
        "chaos: {} of {total} plans of {} scenarios ({:.0} s)",
        plans.len(),
        baselines.len(),
        begun.elapsed().as_secs_f32()
    );
    let can_retry = choice == Choice::Sample;
    let limits = (&slots, 2 * count);
    run_plans(fixture, limits, &baselines, plans, can_retry, &mut report).await;
    report.print(&baselines, begun.elapsed());
    let panics = controllers::panics();
    if panics > 0 {
        println!("chaos: {panics} controllers panicked; each counts as a violation");
    }
    report.violations + panics
}

fn slot_count(choice: &Choice) -> usize {
    let default = if *choice == Choice::Sample {
        SAMPLE_SLOTS
    } else {
        SLOTS
    };
    let requested = std::env::var("CHAOS_SLOTS").ok();
    requested
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

async fn open_slots(fixture: &'static Fixture, count: usize) -> Slots {
    let (sender, receiver) = mpsc::channel(count);
    let mut opening = JoinSet::new();
    for number in 0..count {
        opening.spawn_local(Slot::open(fixture, number));
    }
    while let Some(slot) = opening.join_next().await {
        sender.send(slot.unwrap()).await.unwrap();
    }
    (sender, Arc::new(Mutex::new(receiver)))
}

/// Runs the scenario as soon as a slot is free, and repeats void runs.
async fn run_in_free_slot(
    fixture: &'static Fixture,
    slots: Slots,
    scenario: &'static Scenario,
    injection: Option<(CallName, Injection)>,
) -> Outcome {
    let slot = slots.1.lock().await.recv().await.unwrap();
    let mut outcome = run(fixture, &slot, scenario, injection.clone()).await;
    for _ in 0..RETRIES {
        let Some(reason) = outcome.void_reason() else {
            break;
        };
        println!("chaos: repeating {}: {reason}", scenario.name);
        outcome = run(fixture, &slot, scenario, injection.clone()).await;
    }
    slots.0.send(slot).await.unwrap();
    outcome
}

/// Runs each scenario twice without a fault. A baseline has the calls that both runs made.
async fn run_baselines(
    fixture: &'static Fixture,
    slots: &Slots,
    chosen: &[&'static Scenario],
    report: &mut Report,
) -> Vec<Baseline> {
    let mut running = JoinSet::new();
    for scenario in chosen {
        let (scenario, slots) = (*scenario, slots.clone());
        running.spawn_local(async move {
            let (first, second) = tokio::join!(
                run_in_free_slot(fixture, slots.clone(), scenario, None),
                run_in_free_slot(fixture, slots.clone(), scenario, None)
            );
            (scenario, first, second)
        });
    }
    let mut baselines = Vec::new();
    while let Some(outcomes) = running.join_next().await {
        let (scenario, first, second) = outcomes.unwrap();
        let name = format!("{}/clean", scenario.name);
        report.judge(&name, &first, None);
        let Ok(expected) = first.end.clone() else {
            continue;
        };
        report.judge(&name, &second, Some(&expected));
        let repeatable = |calls: &[Call]| -> BTreeMap<CallName, bool> {
            let repeatable = calls.iter().filter(|call| call.is_repeatable());
            repeatable
                .map(|call| (call.name.clone(), call.is_write))
                .collect()
        };
        let others = repeatable(&second.calls);
        let mut calls = repeatable(&first.calls);
        calls.retain(|call, _| others.contains_key(call));
        baselines.push(Baseline {
            scenario,
            end: expected,
            calls,
        });
    }
    baselines.sort_by_key(|baseline| baseline.scenario.name);
    baselines
}

/// All plans of a scenario.
fn plans_of(baseline: &Baseline) -> Vec<Plan> {
    let plan = |call: &CallName, injection| Plan {
        scenario: baseline.scenario.name,
        call: call.clone(),
        injection,
    };
    let mut plans = Vec::new();
    let mut services: BTreeMap<&str, Vec<Plan>> = BTreeMap::new();
    for (call, is_write) in &baseline.calls {
        let injections = injections(call, *is_write, baseline.scenario.ending).into_iter();
        plans.extend(injections.map(|injection| plan(call, injection)));
        if call.nth == 1 {
            let long = plan(call, Injection::Outage(Fault::Unavailable, LONG_OUTAGE));
            services.entry(&call.service).or_default().push(long);
        }
    }
    // The hash picks one call of each service, the same one each time.
    let long = services.into_values();
    plans.extend(long.filter_map(|plans| plans.into_iter().min_by_key(Plan::stable_hash)));
    plans
}

/// The part of all plans that this process runs: `CHAOS_PART=2/3`, or several parts, `CHAOS_PART=2-3/3`.
struct Part {
    first: u64,
    last: u64,
    of: u64,
}

impl Part {
    fn from_env() -> Self {
        let whole = Self {
            first: 1,
            last: 1,
            of: 1,
        };
        let Ok(text) = std::env::var("CHAOS_PART") else {
            return whole;
        };
        let number = |text: &str| -> u64 { text.parse().expect("CHAOS_PART contains numbers") };
        let (parts, of) = text
            .split_once('/')
            .expect("CHAOS_PART is like 2/3 or 2-3/3");
        let (first, last) = parts.split_once('-').unwrap_or((parts, parts));
        Self {
            first: number(first),
            last: number(last),
            of: number(of),
        }
    }

    /// Whether a plan is in this part. Parts are consecutive ranges of the order of plans.
    fn includes(&self, plan: &Plan) -> bool {
        let part = plan.stable_hash() / (u64::MAX / self.of) + 1;
        (self.first..=self.last).contains(&part.min(self.of))
    }
}

impl Choice {
    /// Whether the choice can include plans of this scenario.
    fn can_include(&self, scenario: &str) -> bool {
        match self {
            Self::Named(text) => {
                let prefix = text.split('/').next().unwrap_or_default();
                !text.contains('/') || prefix == scenario
            }
            Self::Others(text) => !scenario.contains(text.as_str()),
            _ => true,
        }
    }

    fn includes(&self, plan: &Plan) -> bool {
        match self {
            Self::All => true,
            Self::Sample => {
                let is_of_stack = plan.scenario.starts_with("stack-");
                let ratio = if is_of_stack {
                    STACK_SAMPLE_RATIO
                } else {
                    SAMPLE_RATIO
                };
                plan.stable_hash().is_multiple_of(ratio)
            }
            Self::Named(text) => plan.to_string().contains(text.as_str()),
            Self::Others(text) => !plan.to_string().contains(text.as_str()),
        }
    }
}

/// Runs all plans. With `can_retry`, a plan with a violation runs once more, and the report lists both: on a
/// machine that is busy with other tests, a wait can take too long.
async fn run_plans(
    fixture: &'static Fixture,
    (slots, max_running): (&Slots, usize),
    baselines: &[Baseline],
    plans: Vec<Plan>,
    can_retry: bool,
    report: &mut Report,
) {
    let baseline_of = |plan: &Plan| {
        baselines
            .iter()
            .find(|baseline| baseline.scenario.name == plan.scenario)
    };
    let (begun, total) = (Instant::now(), plans.len());
    let mut last_printed = Instant::now();
    let mut waiting = plans.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < max_running
            && let Some(plan) = waiting.next()
        {
            let Some(baseline) = baseline_of(&plan) else {
                continue;
            };
            let (scenario, slots, end) = (baseline.scenario, slots.clone(), baseline.end.clone());
            running.spawn_local(async move {
                let injection = || Some((plan.call.clone(), plan.injection));
                let outcome = run_in_free_slot(fixture, slots.clone(), scenario, injection()).await;
                let problems = problems_with(&outcome, Some(&end));
                if !can_retry || problems.is_empty() {
                    return (plan, outcome, Vec::new());
                }
                let retried = run_in_free_slot(fixture, slots, scenario, injection()).await;
                (plan, retried, problems)
            });
        }
        let Some(finished) = running.join_next().await else {
            break;
        };
        let (plan, outcome, earlier_problems) = finished.unwrap();
        for line in earlier_problems {
            report.retried.push(format!("{plan}: {line}"));
        }
        report.judge(
            &plan.to_string(),
            &outcome,
            baseline_of(&plan).map(|baseline| &baseline.end),
        );
        report.record(plan, &outcome);
        if last_printed.elapsed() > PROGRESS {
            last_printed = Instant::now();
            println!(
                "chaos: {} of {total} plans done, {} violations ({:.0} s)",
                report.plans,
                report.violations,
                begun.elapsed().as_secs_f32()
            );
        }
    }
}

/// The problems with a run, without known exceptions.
fn problems_with(outcome: &Outcome, expected: Option<&FinalState>) -> Vec<String> {
    let violations = outcome.violations.iter();
    let mut problems: Vec<String> = violations
        .filter(|line| !line.starts_with(KNOWN_EXCEPTION))
        .cloned()
        .collect();
    match (&outcome.end, expected) {
        (Err(problem), _) => problems.push(format!("the run did not complete: {problem}")),
        (Ok(end), Some(expected)) => problems.extend(expected.differences(end)),
        (Ok(_), None) => {}
    }
    problems
}

/// The outcomes of all runs.
#[derive(Default)]
struct Report {
    plans: usize,
    violations: usize,
    /// Plans whose call was not made in their run, so that no fault was injected.
    missed: Vec<String>,
    /// The problems of plans that were run once more.
    retried: Vec<String>,
    /// Known exceptions that occurred, as docs/guarantees.md describes them.
    known: Vec<String>,
    /// By scenario and injection, the calls at which it was injected.
    injected: BTreeMap<&'static str, BTreeMap<String, BTreeSet<CallName>>>,
}

impl Report {
    /// Prints the problems of a run, and counts it as a violation if it has any.
    fn judge(&mut self, name: &str, outcome: &Outcome, expected: Option<&FinalState>) {
        let known = outcome
            .violations
            .iter()
            .filter(|line| line.starts_with(KNOWN_EXCEPTION));
        self.known
            .extend(known.map(|line| format!("{line} ({name})")));
        let problems = problems_with(outcome, expected);
        if problems.is_empty() {
            return;
        }
        self.violations += 1;
        println!("\nVIOLATION CHAOS='{name}'");
        for line in &problems {
            println!("    {line}");
        }
        let log: Vec<&str> = outcome.log.lines().collect();
        for line in &log[log.len().saturating_sub(25)..] {
            println!("  | {line}");
        }
    }

    fn record(&mut self, plan: Plan, outcome: &Outcome) {
        self.plans += 1;
        if outcome.was_injected {
            let injected = self.injected.entry(plan.scenario).or_default();
            injected
                .entry(plan.injection.to_string())
                .or_default()
                .insert(plan.call);
        } else {
            self.missed.push(plan.to_string());
        }
    }

    fn print(&self, baselines: &[Baseline], took: Duration) {
        println!("\nscenario         calls  injected at");
        for baseline in baselines {
            let name = baseline.scenario.name;
            let injected = self.injected.get(name);
            let injected: Vec<String> = injected
                .into_iter()
                .flatten()
                .map(|(injection, calls)| format!("{injection} {}", calls.len()))
                .collect();
            println!(
                "{name:16} {:5}  {}",
                baseline.calls.len(),
                injected.join(", ")
            );
        }
        for missed in &self.missed {
            println!("not injected, because the run did not make the call: {missed}");
        }
        for known in &self.known {
            println!("{known}");
        }
        for retried in &self.retried {
            println!("retried because of {retried}");
        }
        println!(
            "chaos: {} scenarios, {} plans run ({} of them without an injection), {} known exceptions, \
             {} violations, {:.0} s, {} peak memory",
            baselines.len(),
            self.plans,
            self.missed.len(),
            self.known.len(),
            self.violations,
            took.as_secs_f32(),
            peak_memory()
        );
    }
}

/// The peak memory of this program with all its controllers.
fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("an unknown amount").trim().to_owned()
}
