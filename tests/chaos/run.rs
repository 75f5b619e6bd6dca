//! One run from beginning to end, and what is found wrong with it.

use std::collections::BTreeSet;

use crate::{
    end::{End, standing},
    gate::Made,
    ground::{Ground, Slot},
    invariants::Left,
    plan::{Blow, CallName},
    play::{Play, Wrong},
    scenarios::Scenario,
};

/// How often a controller is asked to look again until it finds nothing more to write.
const ROUNDS: usize = 6;

/// How the words begin for a run in which nothing was to go wrong yet.
const NOT_PREPARED: &str = "it could not be prepared";

/// What came of a run.
pub struct Ran {
    /// What stands at its end; or what kept it from coming to one.
    pub end: Result<End, Wrong>,
    /// Invariants that do not hold.
    pub violations: Vec<String>,
    /// Every call of it.
    pub made: Vec<Made>,
    /// Whether what was to go wrong did.
    pub was_hit: bool,
    /// Whether the emulator failed in a way that AWS does not.
    pub emulator_faltered: bool,
    /// What the controllers said last.
    pub log: String,
}

/// Runs a scenario, in which that goes wrong.
pub async fn run(
    ground: &Ground,
    slot: &Slot,
    scenario: &dyn Scenario,
    blow: Option<(CallName, Blow)>,
) -> Ran {
    let paused = matches!(blow, Some((_, Blow::Pause)));
    let play = match Play::begin(ground, slot, paused).await {
        Ok(play) => play,
        Err(wrong) => return Ran::broken(format!("it could not begin: {wrong}")),
    };
    let mut violations = Vec::new();
    let end = come_to_an_end(&play, scenario, blow, &mut violations).await;
    let made = slot.gate.made();
    let ran = Ran {
        end,
        violations,
        was_hit: slot.gate.was_hit(),
        emulator_faltered: play.log.has(EMULATOR_FALTERED),
        log: play.log.tail(60),
        made,
    };
    let functions = functions(&ran.made, &play);
    play.end(&functions).await;
    ran
}

/// What the emulator makes of an invocation while something else changes: it walks its own tables.
const EMULATOR_FALTERED: &str = "dictionary changed size during iteration";

impl Ran {
    /// Why the run says nothing about the controller, if so: the ground under it gave way.
    pub fn says_nothing(&self) -> Option<&'static str> {
        match &self.end {
            _ if self.emulator_faltered => Some("the emulator faltered in an invocation"),
            Err(wrong) if wrong.starts_with(NOT_PREPARED) => Some("it could not be prepared"),
            _ => None,
        }
    }

    fn broken(wrong: Wrong) -> Self {
        Self {
            end: Err(wrong),
            violations: Vec::new(),
            made: Vec::new(),
            was_hit: false,
            emulator_faltered: false,
            log: String::new(),
        }
    }
}

async fn come_to_an_end(
    play: &Play<'_>,
    scenario: &dyn Scenario,
    blow: Option<(CallName, Blow)>,
    violations: &mut Vec<String>,
) -> Result<End, Wrong> {
    let gate = &play.slot.gate;
    let prepared = scenario.prepare(play).await;
    prepared.map_err(|wrong| format!("{NOT_PREPARED}: {wrong}"))?;
    play.broken_is_told().await?;
    let known = play.known_functions();
    let before = standing(play, &known).await?;
    let interrupted = matches!(blow, Some((_, Blow::Kill(_) | Blow::Pause)));
    play.arm(blow);
    scenario.act(play).await?;
    play.let_the_late_one_go(violations).await?;
    gate.disarm();
    if !scenario.is_removal() {
        rest(play, violations).await?;
    }
    let made = gate.made();
    let functions = functions(&made, play);
    let left = Left::of(play, standing(play, &functions).await?).await?;
    let before = scenario.goes_back().then_some(&before);
    let how = (scenario.is_removal(), interrupted);
    violations.extend(left.violations(play, &made, before, how));
    End::of(play, &functions).await
}

/// I8: asked again and again, the controller finds nothing more to write but that it was asked.
async fn rest(play: &Play<'_>, violations: &mut Vec<String>) -> Result<(), Wrong> {
    let mut last = Vec::new();
    for round in 0..ROUNDS {
        let mark = play.slot.gate.mark();
        play.poke(&format!("look again {round}")).await?;
        let made = play.slot.gate.made();
        let since = made[mark..].iter().filter(|call| call.is_write);
        let unasked = since.filter(|call| {
            let name = &call.name;
            let answer =
                name.resource == "deployments/checkout/status" && name.service == "kubernetes";
            !answer && !name.resource.starts_with("events") && !name.resource.contains("/leases/")
        });
        last = unasked.map(|call| call.name.to_string()).collect();
        if last.is_empty() {
            return Ok(());
        }
    }
    violations.push(format!("I8: it goes on writing: {last:?}"));
    Ok(())
}

/// Every function that was spoken of.
fn functions(made: &[Made], play: &Play<'_>) -> Vec<String> {
    let called = made.iter().filter(|call| call.name.service == "lambda");
    let called = called.map(|call| call.resource.split(':').next().unwrap_or_default());
    let own = called
        .filter(|name| name.starts_with(&play.team))
        .map(str::to_owned);
    let all: BTreeSet<String> = own.chain(play.known_functions()).collect();
    all.into_iter().collect()
}
