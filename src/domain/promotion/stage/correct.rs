//! Corrections: the live Release is delivered again when AWS has drifted from it.
//!
//! A correction is a run like any other, with a snapshot before and a restore if it fails. It moves all
//! traffic at once: the Release was already watched when it was first delivered, and alarms may be red
//! because of the drift.
//!
//! # Guarantees
//! - A stage is corrected only if one Release serves on all its targets and no other run is in progress.
//! - Accounts are asked before a correction, as before any delivery. A live Release needs no new approval,
//!   but an Account that no longer accepts it is not changed.
//! - If drift recurs soon after a correction, the next correction waits longer each time. A failed correction
//!   is not repeated by itself: the stage has failed, as after any other run.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    next::view,
    view::{Current, StageView},
};
use crate::domain::{
    gates::entry::Way,
    promotion::{
        gate::{Asks, Entry, Gatekeeper},
        overview::Overview,
        state::State,
    },
};

/// The pause after the first correction in a row.
const FIRST: Duration = Duration::from_mins(5);
/// The longest pause.
const LONGEST: Duration = Duration::from_hours(6);
/// Drift that appears this long after a correction starts a new row.
const CALM: Duration = Duration::from_hours(1);

impl Current {
    /// Marks the failure of a correction as such.
    pub(super) fn as_correction(&self, why: String) -> String {
        if self.correction == 0 {
            return why;
        }
        format!("the drift could not be corrected: {why}")
    }
}

impl StageView<'_> {
    /// Starts a correction if one is due.
    pub(super) fn correct(&mut self, overview: &Overview, gates: &dyn Gatekeeper, now: Timestamp) {
        if !overview.correct || overview.paused || self.state != State::Succeeded {
            return;
        }
        let Some(current) = &self.current else {
            return;
        };
        let targets = current
            .stage_targets
            .iter()
            .filter_map(|stage_target| self.target(stage_target));
        let drifted = targets.clone().filter_map(|target| target.drift.as_ref());
        let Some(since) = drifted.filter_map(|drift| drift.correctable_since).max() else {
            return;
        };
        let serving = view(overview, &current.release);
        let Some(serving) = serving.filter(|it| it.stages.iter().any(|it| it.name == self.name))
        else {
            return;
        };
        let entry = Entry {
            stage: self.name,
            release: serving,
            way: Way::Correction,
        };
        if let Asks::Refused(refusal) = gates.asks(&entry) {
            self.correction_refused = Some(refusal.message);
            return;
        }
        let ends = targets.filter_map(|target| target.run.as_ref()?.finished_at.as_ref());
        // A time in the future, from a wrong clock, delays nothing.
        let ended = ends.map(|at| at.0.min(now)).max().unwrap_or(now);
        let pause = pause_after(current.correction);
        let due = ended.saturating_add(signed(pause)).unwrap_or(now);
        if now < due {
            self.correction_at = Some(due);
            return;
        }
        let is_new = since.duration_since(ended) > signed(CALM.max(pause * 2));
        let Some(current) = &mut self.current else {
            return;
        };
        current.correction = if is_new { 1 } else { current.correction + 1 };
        current.attempt += 1;
        current.sequence += 1;
        current.immediate = true;
        // The approved plan was that of the first delivery; the correction has another one.
        current.plans.clear();
        current.stage_digest = None;
        self.state = State::Progressing;
        self.message = None;
    }

    /// The number of corrections in a row in this stage.
    pub(in crate::domain::promotion) fn corrections(&self) -> i64 {
        self.current
            .as_ref()
            .map_or(0, |current| current.correction)
    }
}

/// How long to wait after this many corrections in a row.
fn pause_after(corrections: i64) -> Duration {
    let Ok(before) = u32::try_from(corrections - 1) else {
        return Duration::ZERO;
    };
    FIRST.saturating_mul(1 << before.min(10)).min(LONGEST)
}

fn signed(duration: Duration) -> SignedDuration {
    duration.try_into().unwrap_or(SignedDuration::MAX)
}
