//! Corrections: what serves is delivered once more where somebody changed it in AWS.
//!
//! It is an order like any other, with a snapshot before and a rollback if it fails, and it moves at
//! once: what it brings back was watched when it was delivered first, and alarms may be red because of
//! what it corrects.
//!
//! # Guarantees
//! - Only what serves on all places of the stage is delivered once more, and only while nothing else
//!   moves there.
//! - It asks the gate as everything that is delivered does: nobody has to approve once more what serves,
//!   but an Account that no longer takes it is not written.
//! - What differs again as soon as it was corrected is left for longer each time. A correction that
//!   fails is not repeated by itself: the stage has failed then, like after any other order.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    next::view,
    view::{Current, StageView},
};
use crate::domain::{
    gates::entry::Way,
    rollout::{
        gate::{Asks, Entry, Gatekeeper},
        overview::Overview,
        state::State,
    },
};

/// After the first correction in a row.
const FIRST: Duration = Duration::from_mins(5);
/// After many.
const LONGEST: Duration = Duration::from_hours(6);
/// What stayed as it was for this long after a correction is changed anew.
const CALM: Duration = Duration::from_hours(1);

impl Current {
    /// A failure of a correction is told as such.
    pub(super) fn as_correction(&self, why: String) -> String {
        if self.correction == 0 {
            return why;
        }
        format!("the drift could not be corrected: {why}")
    }
}

impl StageView<'_> {
    /// Orders what serves once more, where it is due.
    pub(super) fn correct(&mut self, overview: &Overview, gates: &dyn Gatekeeper, now: Timestamp) {
        if !overview.correct || overview.paused || self.state != State::Succeeded {
            return;
        }
        let Some(current) = &self.current else {
            return;
        };
        let targets = current.places.iter().filter_map(|place| self.target(place));
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
        // A clock that is ahead, or was, holds up nothing.
        let ended = ends.map(|at| at.0.min(now)).max().unwrap_or(now);
        let pause = pause_after(current.correction);
        let due = ended.saturating_add(signed(pause)).unwrap_or(now);
        if now < due {
            self.correction_at = Some(due);
            return;
        }
        let anew = since.duration_since(ended) > signed(CALM.max(pause * 2));
        let Some(current) = &mut self.current else {
            return;
        };
        current.correction = if anew { 1 } else { current.correction + 1 };
        current.attempt += 1;
        current.sequence += 1;
        current.immediate = true;
        // What was approved is the Release; what it changes now is another plan.
        current.plans.clear();
        current.stage_digest = None;
        self.state = State::Progressing;
        self.message = None;
    }

    /// How often in a row what serves here was delivered once more.
    pub(in crate::domain::rollout) fn corrections(&self) -> i64 {
        self.current
            .as_ref()
            .map_or(0, |current| current.correction)
    }
}

/// How long what was corrected so often in a row is left alone.
fn pause_after(corrections: i64) -> Duration {
    let Ok(before) = u32::try_from(corrections - 1) else {
        return Duration::ZERO;
    };
    FIRST.saturating_mul(1 << before.min(10)).min(LONGEST)
}

fn signed(duration: Duration) -> SignedDuration {
    duration.try_into().unwrap_or(SignedDuration::MAX)
}
