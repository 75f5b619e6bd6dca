//! Which runs there are, and what came of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use sluice_lab::door::{Fault, Point};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::{
    end::End,
    gate::Made,
    ground::{Ground, Slot},
    invariants::KNOWN,
    plan::{Blow, CallName, Plan},
    run::{Ran, run},
    scenarios::{self, Scenario},
};

/// How many runs take place side by side, unless `CHAOS_SLOTS` says otherwise: they wait most of the time.
const SLOTS: usize = 32;
/// The same where the program is not optimised, beside a machine's other tests.
const FEW_SLOTS: usize = 12;
/// One plan in so many is in the sample.
const SAMPLE: u64 = 28;
/// How long an outage lasts, in seconds.
const OUTAGE: u64 = 3;
/// How long one of each service in each scenario lasts: longer than any call, and any wait between two.
const LONG_OUTAGE: u64 = 40;
/// How often a run that says nothing is made once more.
const AGAIN: usize = 3;
/// How often it is said how far things are.
const PROGRESS: Duration = Duration::from_secs(20);

/// Which plans are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Every one.
    All,
    /// The same few hundred each time.
    Sample,
    /// Those with this in their name.
    Named(String),
}

/// A scenario as it should go.
struct Clean {
    scenario: &'static dyn Scenario,
    end: End,
    /// Calls that every run of it makes, with whether they could change something.
    calls: BTreeMap<CallName, bool>,
}

type Slots = (mpsc::Sender<Slot>, Arc<Mutex<mpsc::Receiver<Slot>>>);

/// Runs what is chosen, and says what came of it: how many violations there were.
pub async fn run_all(choice: Choice) -> usize {
    let begun = Instant::now();
    let ground = tokio::task::spawn_blocking(|| Ground::start(|line| println!("chaos: {line}")));
    // Until the end of the program: what it holds ends with that.
    let ground: &'static Ground = Box::leak(Box::new(ground.await.unwrap()));
    let count = slots_of(&choice);
    let slots = open_slots(ground, count).await;
    ground.is_vouched_for().await.unwrap();
    println!(
        "chaos: the places are ready ({:.0} s)",
        begun.elapsed().as_secs_f32()
    );

    let mut report = Report::default();
    let chosen: Vec<_> = scenarios::all()
        .into_iter()
        .filter(|one| choice.may_have(one.name()))
        .collect();
    let clean = as_they_should_go(ground, &slots, &chosen, &mut report).await;
    let plans: Vec<Plan> = clean.iter().flat_map(plans_of).collect();
    let of_each = plans.len();
    let part = Part::chosen();
    let mut plans: Vec<Plan> = plans.into_iter().filter(|plan| choice.has(plan)).collect();
    plans.retain(|plan| part.has(plan));
    // Some kinds of plans wait longer than others: mixed, they keep the machine evenly busy.
    plans.sort_by_key(Plan::lot);
    println!(
        "chaos: {} of {of_each} plans of {} scenarios ({:.0} s)",
        plans.len(),
        clean.len(),
        begun.elapsed().as_secs_f32()
    );
    let patient = choice == Choice::Sample;
    let ways = (&slots, 2 * count);
    carry_out(ground, ways, &clean, plans, patient, &mut report).await;
    report.print(&clean, begun.elapsed());
    report.violations
}

fn slots_of(choice: &Choice) -> usize {
    let usual = if *choice == Choice::Sample {
        FEW_SLOTS
    } else {
        SLOTS
    };
    let said = std::env::var("CHAOS_SLOTS").ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

async fn open_slots(ground: &'static Ground, count: usize) -> Slots {
    let (free, taken) = mpsc::channel(count);
    let mut opening = JoinSet::new();
    for number in 0..count {
        opening.spawn_local(Slot::open(ground, number));
    }
    while let Some(slot) = opening.join_next().await {
        free.send(slot.unwrap()).await.unwrap();
    }
    (free, Arc::new(Mutex::new(taken)))
}

/// Runs it as soon as there is a place.
async fn run_in(
    ground: &'static Ground,
    slots: Slots,
    scenario: &'static dyn Scenario,
    blow: Option<(CallName, Blow)>,
) -> Ran {
    let slot = slots.1.lock().await.recv().await.unwrap();
    let mut ran = run(ground, &slot, scenario, blow.clone()).await;
    for _ in 0..AGAIN {
        let Some(why) = ran.says_nothing() else { break };
        println!("chaos: once more, because {why}: {}", scenario.name());
        ran = run(ground, &slot, scenario, blow.clone()).await;
    }
    slots.0.send(slot).await.unwrap();
    ran
}

async fn as_they_should_go(
    ground: &'static Ground,
    slots: &Slots,
    chosen: &[&'static dyn Scenario],
    report: &mut Report,
) -> Vec<Clean> {
    let mut running = JoinSet::new();
    for scenario in chosen {
        let (scenario, slots) = (*scenario, slots.clone());
        running.spawn_local(async move {
            let (one, other) = tokio::join!(
                run_in(ground, slots.clone(), scenario, None),
                run_in(ground, slots.clone(), scenario, None)
            );
            (scenario, one, other)
        });
    }
    let mut clean = Vec::new();
    while let Some(ran) = running.join_next().await {
        let (scenario, one, other) = ran.unwrap();
        let name = format!("{}/clean", scenario.name());
        report.judge(&name, &one, None);
        let Ok(end) = one.end.clone() else { continue };
        report.judge(&name, &other, Some(&end));
        let steady = |made: &[Made]| -> BTreeMap<CallName, bool> {
            let steady = made.iter().filter(|call| call.is_steady());
            steady
                .map(|call| (call.name.clone(), call.is_write))
                .collect()
        };
        let others = steady(&other.made);
        let mut calls = steady(&one.made);
        calls.retain(|call, _| others.contains_key(call));
        clean.push(Clean {
            scenario,
            end,
            calls,
        });
    }
    clean.sort_by_key(|one| one.scenario.name());
    clean
}

fn plans_of(clean: &Clean) -> Vec<Plan> {
    let plan = |call: &CallName, blow| Plan {
        scenario: clean.scenario.name(),
        call: call.clone(),
        blow,
    };
    let mut plans = Vec::new();
    let mut services: BTreeMap<&str, Vec<Plan>> = BTreeMap::new();
    for (call, is_write) in &clean.calls {
        // What was put back has the ETag that it had: a late call's condition holds once more. Such calls
        // are kept apart by their timeouts (docs/guarantees.md), which a pause does not know.
        let is_of_site = call.service == "s3" && call.resource.contains("-site-");
        let comes_back = is_of_site && clean.scenario.goes_back();
        let blows = blows(call, *is_write).into_iter();
        let blows = blows.filter(|blow| !(comes_back && *blow == Blow::Pause));
        plans.extend(blows.map(|blow| plan(call, blow)));
        if call.nth == 1 {
            let long = plan(call, Blow::Outage(Fault::Unavailable, LONG_OUTAGE));
            services.entry(&call.service).or_default().push(long);
        }
    }
    // One for each service, somewhere in the middle, and at the same call each time.
    let long = services.into_values();
    plans.extend(long.filter_map(|plans| plans.into_iter().min_by_key(Plan::lot)));
    plans
}

/// All that can happen at a call.
fn blows(call: &CallName, is_write: bool) -> Vec<Blow> {
    let points = [Point::Before, Point::Done, Point::Answered];
    let mut blows: Vec<Blow> = points.into_iter().map(Blow::Kill).collect();
    let service = call.service.as_str();
    blows.push(Blow::Once(Fault::Throttled));
    blows.extend([Fault::Unavailable, Fault::Unsent].map(Blow::Once));
    if service != "gitlab" {
        blows.push(Blow::Once(Fault::ReplyLost));
    }
    if service == "lambda" && call.operation.starts_with("Get") {
        blows.push(Blow::Once(Fault::Stale));
    }
    if is_write {
        blows.push(Blow::Pause);
    }
    // A function that does not answer in time has failed its check: it leads to another end, as it should.
    if is_write && call.operation != "Invoke" {
        blows.push(Blow::Once(Fault::Silent));
    }
    if service == "lambda" || service == "s3" {
        blows.push(Blow::Expire);
    }
    if call.nth == 1 {
        blows.push(Blow::Outage(Fault::Unavailable, OUTAGE));
    }
    blows
}

/// The part of all plans that is run here: `CHAOS_PART=2/3`, or several of them, `CHAOS_PART=2-3/3`.
struct Part {
    first: u64,
    last: u64,
    of: u64,
}

impl Part {
    fn chosen() -> Self {
        let whole = Self {
            first: 1,
            last: 1,
            of: 1,
        };
        let Ok(text) = std::env::var("CHAOS_PART") else {
            return whole;
        };
        let number = |text: &str| -> u64 { text.parse().expect("a number in CHAOS_PART") };
        let (which, of) = text.split_once('/').expect("CHAOS_PART is 2/3 or 2-3/3");
        let (first, last) = which.split_once('-').unwrap_or((which, which));
        Self {
            first: number(first),
            last: number(last),
            of: number(of),
        }
    }

    /// Parts are stretches of the order in which plans are run.
    fn has(&self, plan: &Plan) -> bool {
        let at = plan.lot() / (u64::MAX / self.of) + 1;
        (self.first..=self.last).contains(&at.min(self.of))
    }
}

impl Choice {
    /// Whether it may have plans of this scenario.
    fn may_have(&self, scenario: &str) -> bool {
        match self {
            Self::Named(word) => {
                let of = word.split('/').next().unwrap_or_default();
                !word.contains('/') || of == scenario
            }
            _ => true,
        }
    }

    fn has(&self, plan: &Plan) -> bool {
        match self {
            Self::All => true,
            Self::Sample => plan.lot().is_multiple_of(SAMPLE),
            Self::Named(word) => plan.to_string().contains(word.as_str()),
        }
    }
}

/// Runs them all. Where that is `patient`, a plan with a violation is run once more, and both are told: a
/// machine that is busy with other tests can make a wait too long.
async fn carry_out(
    ground: &'static Ground,
    (slots, most): (&Slots, usize),
    clean: &[Clean],
    plans: Vec<Plan>,
    patient: bool,
    report: &mut Report,
) {
    let of = |plan: &Plan| {
        clean
            .iter()
            .find(|one| one.scenario.name() == plan.scenario)
    };
    let (begun, total) = (Instant::now(), plans.len());
    let mut said = Instant::now();
    let mut waiting = plans.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < most
            && let Some(plan) = waiting.next()
        {
            let Some(clean) = of(&plan) else { continue };
            let (scenario, slots, end) = (clean.scenario, slots.clone(), clean.end.clone());
            running.spawn_local(async move {
                let blow = || Some((plan.call.clone(), plan.blow));
                let ran = run_in(ground, slots.clone(), scenario, blow()).await;
                let wrong = wrong_with(&ran, Some(&end));
                if !patient || wrong.is_empty() {
                    return (plan, ran, Vec::new());
                }
                let again = run_in(ground, slots, scenario, blow()).await;
                (plan, again, wrong)
            });
        }
        let Some(ran) = running.join_next().await else {
            break;
        };
        let (plan, ran, before) = ran.unwrap();
        for line in before {
            report.unsteady.push(format!("{plan}: {line}"));
        }
        report.judge(&plan.to_string(), &ran, of(&plan).map(|clean| &clean.end));
        report.note(plan, &ran);
        if said.elapsed() > PROGRESS {
            said = Instant::now();
            println!(
                "chaos: {} of {total} plans, {} violations ({:.0} s)",
                report.plans,
                report.violations,
                begun.elapsed().as_secs_f32()
            );
        }
    }
}

/// What is wrong with a run, besides what is known.
fn wrong_with(ran: &Ran, expected: Option<&End>) -> Vec<String> {
    let violations = ran.violations.iter();
    let mut wrong: Vec<String> = violations
        .filter(|line| !line.starts_with(KNOWN))
        .cloned()
        .collect();
    match (&ran.end, expected) {
        (Err(why), _) => wrong.push(format!("it did not come to its end: {why}")),
        (Ok(end), Some(expected)) => wrong.extend(expected.differences(end)),
        (Ok(_), None) => {}
    }
    wrong
}

/// What came of all runs.
#[derive(Default)]
struct Report {
    plans: usize,
    violations: usize,
    /// The call was not made in that run, so that nothing went wrong.
    missed: Vec<String>,
    /// What was wrong with runs that were made once more.
    unsteady: Vec<String>,
    /// What docs/guarantees.md says may happen, and did.
    known: Vec<String>,
    struck: BTreeMap<&'static str, BTreeMap<String, BTreeSet<CallName>>>,
}

impl Report {
    /// Says what is wrong with a run.
    fn judge(&mut self, name: &str, ran: &Ran, expected: Option<&End>) {
        let known = ran.violations.iter().filter(|line| line.starts_with(KNOWN));
        self.known
            .extend(known.map(|line| format!("{line} ({name})")));
        let wrong = wrong_with(ran, expected);
        if wrong.is_empty() {
            return;
        }
        self.violations += 1;
        println!("\nVIOLATION CHAOS='{name}'");
        for line in &wrong {
            println!("    {line}");
        }
        let tail: Vec<&str> = ran.log.lines().collect();
        for line in &tail[tail.len().saturating_sub(25)..] {
            println!("  | {line}");
        }
    }

    fn note(&mut self, plan: Plan, ran: &Ran) {
        self.plans += 1;
        if ran.was_hit {
            let of = self.struck.entry(plan.scenario).or_default();
            of.entry(plan.blow.to_string())
                .or_default()
                .insert(plan.call);
        } else {
            self.missed.push(plan.to_string());
        }
    }

    fn print(&self, clean: &[Clean], took: Duration) {
        println!("\nscenario         calls  struck at");
        for one in clean {
            let name = one.scenario.name();
            let struck = self.struck.get(name);
            let struck: Vec<String> = struck
                .into_iter()
                .flatten()
                .map(|(blow, calls)| format!("{blow} {}", calls.len()))
                .collect();
            println!("{name:16} {:5}  {}", one.calls.len(), struck.join(", "));
        }
        for missed in &self.missed {
            println!("not made in its run, so that nothing went wrong: {missed}");
        }
        for known in &self.known {
            println!("{known}");
        }
        for unsteady in &self.unsteady {
            println!("run once more, because of {unsteady}");
        }
        println!(
            "chaos: {} scenarios, {} plans run ({} of them without effect), {} known exceptions, {} violations, \
             {:.0} s, {} of memory",
            clean.len(),
            self.plans,
            self.missed.len(),
            self.known.len(),
            self.violations,
            took.as_secs_f32(),
            peak()
        );
    }
}

/// The most memory that this program ever had, all controllers in it.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("an unknown amount").trim().to_owned()
}
