//! The next steps of several components, sorted: their reads, or else their effects, form one wave.

use super::{
    decision::Decision,
    inputs::Next,
    observation::{Effect, Read},
};
use crate::domain::{outcome::Outcome, reason::Reason, workload::protocol::Wait};

/// The next steps of several components. A read or an effect that serves several of them occurs once.
#[derive(Debug, Default)]
pub(super) struct Wave {
    pub reads: Vec<Read>,
    pub effects: Vec<Effect>,
    pub waits: Vec<Wait>,
    /// What can't continue unless something else changes.
    pub stuck: Vec<String>,
    /// The invocations in progress.
    pub running: Vec<String>,
    /// Why checks have no verdict yet.
    pub inconclusive: Vec<String>,
    /// Why the step can't be completed.
    pub failures: Vec<String>,
}

impl FromIterator<Next> for Wave {
    fn from_iter<I: IntoIterator<Item = Next>>(nexts: I) -> Self {
        let mut wave = Self::default();
        for next in nexts {
            match next {
                Next::Read(read) if wave.reads.contains(&read) => {}
                Next::Read(read) => wave.reads.push(read),
                Next::Act(effect) if wave.effects.iter().any(|it| effect.is_shared(it)) => {}
                Next::Act(effect) => wave.effects.push(effect),
                Next::Wait(wait) => wave.waits.push(wait),
                Next::Stuck(why) => wave.stuck.push(why),
                Next::Running(what) => wave.running.push(what),
                Next::Inconclusive(why) => wave.inconclusive.push(why),
                Next::Ready => {}
                Next::Fail(why) => wave.failures.push(why),
            }
        }
        wave
    }
}

impl Wave {
    /// The next calls: the reads, or if there are none the effects, as `carry_out` decides.
    pub fn calls(&mut self, carry_out: impl FnOnce(Vec<Effect>) -> Decision) -> Option<Decision> {
        let reads = std::mem::take(&mut self.reads);
        if !reads.is_empty() {
            return Some(Decision::Observe(reads));
        }
        let effects = std::mem::take(&mut self.effects);
        (!effects.is_empty()).then(|| carry_out(effects))
    }

    /// Everything that it waits for: whatever the cause, the next pass asks again.
    pub fn all_waits(&self) -> Vec<Wait> {
        let brief = self
            .stuck
            .iter()
            .chain(&self.running)
            .chain(&self.inconclusive);
        let brief = brief.map(Wait::brief);
        self.waits.iter().cloned().chain(brief).collect()
    }
}

/// The wait for AWS while no run has begun, which has no deadline; `None` if there is nothing to wait for.
pub(super) fn wait_without_deadline(waits: &[Wait]) -> Option<Outcome> {
    let after = waits.iter().map(|wait| wait.most).min()?;
    Some(Outcome::Waiting {
        reason: Reason::WaitingForAws,
        message: format!("Waiting for {}", awaited(waits)),
        after,
    })
}

/// What the waits are for, to be read after "Waiting for".
pub(super) fn awaited(waits: &[Wait]) -> String {
    let what: Vec<&str> = waits.iter().map(|wait| wait.what.as_str()).collect();
    what.join(" and ")
}
