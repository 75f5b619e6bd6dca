//! The times from which deadlines and retries of a run count.
//!
//! # Guarantees
//! - No deadline counts time in which this process made no pass, or in which AWS was at work, and a wall
//!   clock that steps back delays none.
//! - A deadline of a run counts from events of that run, never from conditions that an earlier run left.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::v1alpha1::RunStatus,
    domain::{check::Checks, failure::CallError},
};

/// Longer than any pause between two passes of a run (the back-off ends at five minutes).
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(6);

/// How often Sluice evaluates the stage's checks while an invocation is under way.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// The times from which deadlines and retries of a run count, in memory only. Losing them restarts both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clocks {
    /// When this process last observed the Target.
    pub last_observed_at: Option<Timestamp>,
    /// When the run last progressed, or this process first observed it, if that is later than what the
    /// status says.
    pub progressed_at: Option<Timestamp>,
    /// When AWS was last observed at work, which counts towards no deadline.
    pub at_work_at: Option<Timestamp>,
    /// Since when a check that is needed before the run is inconclusive.
    pub waiting_since: Option<Timestamp>,
    /// Since when every pass of this run has met an error.
    pub blocked_since: Option<Timestamp>,
    /// When the stage's checks were last evaluated.
    pub watched_at: Option<Timestamp>,
    /// After a change of leader: the run changes nothing before this time, and only after another read,
    /// because the former leader's last call may still be on its way.
    pub hold_until: Option<Timestamp>,
}

impl Clocks {
    /// Begins a pass. A longer pause between passes counts towards no deadline, because nothing could
    /// progress in it: neither downtime of this process nor a clock step ends a run.
    pub(super) fn begin_pass(&mut self, now: Timestamp) {
        let gap = self.last_observed_at.map(|then| now.duration_since(then));
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
        // A clock that steps ahead leaves it as it is, and one that steps back does not extend the wait.
        self.hold_until = self.hold_until.min(held);
        self.progressed_at.get_or_insert(now);
        self.last_observed_at = Some(now);
    }

    /// Notes at `now` that the run can't begin.
    pub fn block(&mut self, now: Timestamp) {
        self.begin_pass(now);
        self.blocked_since.get_or_insert(now);
    }

    /// Notes that nothing keeps the run from beginning any more.
    pub fn unblock(&mut self) {
        self.blocked_since = None;
    }

    /// For how long every pass of this run has met an error.
    pub fn blocked_for(&self, now: Timestamp) -> Duration {
        let since = self.blocked_since;
        since.map_or(Duration::ZERO, |since| passed(since, now))
    }

    /// Excludes from all deadlines the time that calls `waited` for budget, until `now`: nothing could
    /// progress in it.
    pub fn exclude_budget_wait(&mut self, waited: Duration, now: Timestamp) {
        for at in [
            &mut self.last_observed_at,
            &mut self.progressed_at,
            &mut self.waiting_since,
            &mut self.at_work_at,
            &mut self.blocked_since,
        ] {
            let later = at.and_then(|at| at.checked_add(waited).ok());
            *at = later.map(|at| at.min(now)).or(*at);
        }
    }

    /// Whether the stage's checks are due again, in a pass that begins at `now`. While no invocation is
    /// under way, each evaluation runs them once.
    pub(super) fn is_watch_due(&self, now: Timestamp, checks: &Checks) -> bool {
        let late = |at: Timestamp| at > now || passed(at, now) >= WATCH_INTERVAL;
        !checks.running.is_empty() && self.watched_at.is_none_or(late)
    }

    /// Ends a pass: remembers whether it met an error.
    pub(super) fn record_errors(&mut self, errors: &[(String, CallError)]) {
        self.blocked_since = if errors.is_empty() {
            None
        } else {
            self.blocked_since.or(self.last_observed_at)
        };
    }

    /// For how long the run has not progressed while this process made passes. A time that another clock
    /// wrote to the journal counts unless it lies ahead.
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

/// The time from `then` to `now`; zero if the clock stepped back.
pub fn passed(then: Timestamp, now: Timestamp) -> Duration {
    let passed: SignedDuration = now.duration_since(then);
    passed.try_into().unwrap_or_default()
}
