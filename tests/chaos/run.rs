//! One run of a scenario from beginning to end, and its outcome.

use std::collections::BTreeSet;

use crate::{
    final_state::{FinalState, observe_aws},
    fixture::{Fixture, Slot},
    interceptor::Call,
    invariants::RunObjects,
    plan::{CallName, Injection},
    scenario::{Ending, Scenario},
    team::Team,
    waiting::Problem,
};

/// How many reconciles the controller gets until it must make no more writes.
const ROUNDS: usize = 6;

/// The prefix of problems before the injection is armed.
const NOT_PREPARED: &str = "the run could not be prepared";

/// The outcome of a run.
pub struct Outcome {
    /// The final state, or the problem that kept the run from completing.
    pub end: Result<FinalState, Problem>,
    /// The violated invariants, as text.
    pub violations: Vec<String>,
    /// All calls since the injection was armed.
    pub calls: Vec<Call>,
    /// Whether the injection took place.
    pub was_injected: bool,
    /// Whether the emulator failed in a way that AWS does not.
    pub emulator_failed: bool,
    /// The last log lines of the controllers.
    pub log: String,
}

/// Runs a scenario with this injection, if any.
pub async fn run(
    fixture: &Fixture,
    slot: &Slot,
    scenario: &Scenario,
    injection: Option<(CallName, Injection)>,
) -> Outcome {
    let needs_lease = matches!(injection, Some((_, Injection::Pause)));
    let team = match Team::begin(fixture, slot, needs_lease).await {
        Ok(team) => team,
        Err(problem) => return Outcome::failed(format!("the run could not begin: {problem}")),
    };
    let mut violations = Vec::new();
    let end = run_to_end(&team, scenario, injection, &mut violations).await;
    let calls = slot.interceptor.calls();
    let outcome = Outcome {
        end,
        violations,
        was_injected: slot.interceptor.was_injected(),
        emulator_failed: team.log.contains(EMULATOR_FAILED),
        log: team.log.tail(60),
        calls,
    };
    let functions = function_names(&outcome.calls, &team);
    team.tear_down(&functions).await;
    outcome
}

/// The error of the emulator if its tables change during an invocation.
const EMULATOR_FAILED: &str = "dictionary changed size during iteration";

impl Outcome {
    /// Why the run proves nothing about the controller, if the fixture failed.
    pub fn void_reason(&self) -> Option<&'static str> {
        match &self.end {
            _ if self.emulator_failed => Some("the emulator failed during an invocation"),
            Err(problem) if problem.starts_with(NOT_PREPARED) => Some(NOT_PREPARED),
            _ => None,
        }
    }

    fn failed(problem: Problem) -> Self {
        Self {
            end: Err(problem),
            violations: Vec::new(),
            calls: Vec::new(),
            was_injected: false,
            emulator_failed: false,
            log: String::new(),
        }
    }
}

async fn run_to_end(
    team: &Team<'_>,
    scenario: &Scenario,
    injection: Option<(CallName, Injection)>,
    violations: &mut Vec<String>,
) -> Result<FinalState, Problem> {
    let interceptor = &team.slot.interceptor;
    let prepared = Scenario::carry_out(scenario.prepare, team).await;
    prepared.map_err(|problem| format!("{NOT_PREPARED}: {problem}"))?;
    team.wait_for_broken().await?;
    let known = team.known_functions();
    let before = observe_aws(team, &known).await?;
    let is_deletion = scenario.ending == Ending::Deleted;
    let is_interrupted = matches!(injection, Some((_, Injection::Kill(_) | Injection::Pause)));
    team.arm(injection);
    Scenario::carry_out(scenario.act, team).await?;
    team.resume_paused(violations).await?;
    interceptor.disarm();
    if !is_deletion {
        check_writes_stop(team, violations).await?;
    }
    let calls = interceptor.calls();
    let functions = function_names(&calls, team);
    let objects = RunObjects::read(team, observe_aws(team, &functions).await?).await?;
    violations.extend(objects.stack_violations(team, &before.stacks).await?);
    let before = (scenario.ending == Ending::Restored).then_some(&before);
    let circumstances = (is_deletion, is_interrupted);
    violations.extend(objects.violations(team, &calls, before, circumstances));
    FinalState::read(team, &functions).await
}

/// I8: when asked to reconcile again, the controller writes only that it did.
async fn check_writes_stop(team: &Team<'_>, violations: &mut Vec<String>) -> Result<(), Problem> {
    let mut last = Vec::new();
    for round in 0..ROUNDS {
        let mark = team.slot.interceptor.call_count();
        team.reconcile(&format!("round {round}")).await?;
        let calls = team.slot.interceptor.calls();
        let writes = calls[mark..].iter().filter(|call| call.is_write);
        let unexpected = writes.filter(|call| {
            let name = &call.name;
            let is_reply =
                name.resource == "deployments/checkout/status" && name.service == "kubernetes";
            !is_reply && !name.resource.starts_with("events") && !name.resource.contains("/leases/")
        });
        last = unexpected.map(|call| call.name.to_string()).collect();
        if last.is_empty() {
            return Ok(());
        }
    }
    violations.push(format!("I8: the controller still writes: {last:?}"));
    Ok(())
}

/// The names of all functions that the team built or its controllers called AWS about.
fn function_names(calls: &[Call], team: &Team<'_>) -> Vec<String> {
    let called = calls.iter().filter(|call| call.name.service == "lambda");
    let called = called.map(|call| call.resource.split(':').next().unwrap_or_default());
    let own = called
        .filter(|name| name.starts_with(&team.namespace))
        .map(str::to_owned);
    let all: BTreeSet<String> = own.chain(team.known_functions()).collect();
    all.into_iter().collect()
}
