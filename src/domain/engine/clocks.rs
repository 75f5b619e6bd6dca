//! What deadlines and repetitions of a run count from.
//!
//! # Guarantees
//! - No deadline counts time in which this process did not look, or in which AWS was at work, and none is held
//!   up by a wall clock that steps back.
//! - A deadline of an order counts from what happened to that order, never from what an earlier one left
//!   in the conditions.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::v1alpha1::RunStatus,
    domain::{check::Checks, failure::CallError},
};

/// Longer than anything that is under way is left alone (the back-off ends at five minutes).
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(6);

/// How often the checks of the stage are asked while an invocation is under way.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// What deadlines and repetitions of a run count from, as this process remembers. Losing it restarts them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clocks {
    /// When this process last looked.
    pub looked_at: Option<Timestamp>,
    /// When something last moved, or this process first looked, if that is later than what the status
    /// says.
    pub progressed_at: Option<Timestamp>,
    /// When AWS was last observed at work: that counts for no deadline.
    pub at_work_at: Option<Timestamp>,
    /// Since when a check that is needed before the run has no verdict.
    pub waiting_since: Option<Timestamp>,
    /// Since when every pass of this order has met an error.
    pub blocked_since: Option<Timestamp>,
    /// When the checks of the stage were last asked.
    pub watched_at: Option<Timestamp>,
    /// After taking over a run: no change before this, and only after another read, because a
    /// predecessor's last call may still be on its way.
    pub hold_until: Option<Timestamp>,
}

impl Clocks {
    /// Somebody looks. No deadline runs while nobody does, because then nothing could move: neither an
    /// absence of this process nor a step of the clock ends a run.
    pub(super) fn look(&mut self, now: Timestamp) {
        let gap = self.looked_at.map(|then| now.duration_since(then));
        let gap = gap.filter(|gap| gap.is_negative() || *gap > LONGEST_PAUSE);
        let held = self.hold_until;
        let times = [
            &mut self.progressed_at,
            &mut self.waiting_since,
            &mut self.at_work_at,
            &mut self.hold_until,
            &mut self.blocked_since,
            &mut self.watched_at,
        ];
        for at in times {
            let moved = gap.and_then(|gap| at.as_ref()?.checked_add(gap).ok());
            *at = moved.or(*at);
        }
        // A clock that steps ahead leaves that as it is, and one that steps back holds up nothing.
        self.hold_until = self.hold_until.min(held);
        self.progressed_at.get_or_insert(now);
        self.looked_at = Some(now);
    }

    /// The order can't even begin, which this pass found `now`.
    pub fn block(&mut self, now: Timestamp) {
        self.look(now);
        self.blocked_since.get_or_insert(now);
    }

    /// What was in the way counts no more.
    pub fn unblock(&mut self) {
        self.blocked_since = None;
    }

    /// For how long every pass of this order has met an error.
    pub fn blocked_for(&self, now: Timestamp) -> Duration {
        let since = self.blocked_since;
        since.map_or(Duration::ZERO, |since| passed(since, now))
    }

    /// Calls waited for this long, until `now`, for their turn in our own budget: nothing could move in that
    /// time, and it counts for no deadline.
    pub fn waited_for_budget(&mut self, waited: Duration, now: Timestamp) {
        for at in [
            &mut self.looked_at,
            &mut self.progressed_at,
            &mut self.waiting_since,
            &mut self.at_work_at,
            &mut self.blocked_since,
        ] {
            let later = at.and_then(|at| at.checked_add(waited).ok());
            *at = later.map(|at| at.min(now)).or(*at);
        }
    }

    /// Whether the stage's checks are due again, in a pass that begins `now`. Where nothing is under way
    /// they are asked once per evaluation.
    pub(super) fn is_watch_due(&self, now: Timestamp, checks: &Checks) -> bool {
        let late = |at: Timestamp| at > now || passed(at, now) >= WATCH_INTERVAL;
        !checks.running.is_empty() && self.watched_at.is_none_or(late)
    }

    /// A pass is over: whether it met an error is remembered.
    pub(super) fn note_errors(&mut self, errors: &[(String, CallError)]) {
        self.blocked_since = if errors.is_empty() {
            None
        } else {
            self.blocked_since.or(self.looked_at)
        };
    }

    /// For how long nothing has moved while this process looked. What another clock wrote into the journal
    /// counts unless it lies ahead.
    pub fn waited(&self, journal: Option<&RunStatus>, now: Timestamp) -> Duration {
        let recorded = journal.map(|run| run.progressed_at.0);
        let recorded = recorded.filter(|at| *at <= now);
        let moved = self.progressed_at.into_iter().chain(recorded).max();
        moved.map_or(Duration::ZERO, |at| passed(at, now))
    }

    /// The same, without the time in which AWS was at work.
    pub(super) fn stuck(&self, journal: &RunStatus, now: Timestamp) -> Duration {
        let at_work = self.at_work_at;
        let at_work = at_work.map_or(Duration::MAX, |at| passed(at, now));
        self.waited(Some(journal), now).min(at_work)
    }
}

/// The time between the two; none where the clock stepped back.
pub fn passed(then: Timestamp, now: Timestamp) -> Duration {
    let passed: SignedDuration = now.duration_since(then);
    passed.try_into().unwrap_or_default()
}
