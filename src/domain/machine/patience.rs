//! How long a run has waited, and for what: what this process remembers for its deadlines.
//!
//! # Guarantees
//! - No deadline counts time in which this process did not look, and none is held up by a wall clock
//!   that steps back.
//! - A deadline of an order counts from what happened to that order, never from what an earlier one left
//!   in the conditions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    asked::CheckKey,
    observation::{Action, Effect, Known, Observation},
};
use crate::{
    api::v1alpha1::TargetStatus,
    domain::{
        failure::{CallError, CallErrorKind},
        function::ProvisionedConcurrency,
    },
};

/// What this process remembers for deadlines and repetitions. Losing it restarts them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patience {
    /// Since when every pass of this order has met an error.
    pub blocked_since: Option<Timestamp>,
    /// When the checks of the stage were last asked.
    pub watched_at: Option<Timestamp>,
    /// Invocations that were under way when they were last asked about.
    pub running: BTreeSet<CheckKey>,
    /// Functions that were updated in this phase of the run, with the RevisionId before.
    updated: BTreeMap<String, String>,
    /// When a version was woken last, by function and number.
    woken: BTreeMap<(String, String), Timestamp>,
}

/// Longer than anything that is under way is left alone (the back-off ends at five minutes).
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(6);

/// How often the checks of the stage are asked while an invocation is under way.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// How long Lambda is given to wake a version before it is invoked again.
const WAKE_INTERVAL: Duration = Duration::from_secs(30);

impl Patience {
    /// The points in time that move with the clock.
    pub(super) fn times(&mut self) -> impl Iterator<Item = &mut Option<Timestamp>> {
        [&mut self.blocked_since, &mut self.watched_at].into_iter()
    }

    /// Whether the stage's checks are due again, in a pass that begins `now`. Where nothing is under way
    /// they are asked once per evaluation.
    pub(super) fn is_watch_due(&self, now: Timestamp) -> bool {
        let late = |at: Timestamp| at > now || passed(at, now) >= WATCH_INTERVAL;
        !self.running.is_empty() && self.watched_at.is_none_or(late)
    }

    /// An update of `$LATEST` was sent, as far as this process knows.
    pub(super) fn note_update(&mut self, function: &str, revision_id: &str) {
        let (function, revision_id) = (function.to_owned(), revision_id.to_owned());
        self.updated.insert(function, revision_id);
    }

    /// The other phase of the run begins: what was sent in this one counts no more.
    pub(super) fn forget_updates(&mut self) {
        self.updated.clear();
    }

    /// Whether `$LATEST`, as it is at that RevisionId, is what an update of this phase came to.
    pub fn has_updated(&self, function: &str, revision_id: &str) -> bool {
        let before = self.updated.get(function);
        before.is_some_and(|before| before != revision_id)
    }

    pub(super) fn note_woken(&mut self, function: &str, version: &str, now: Timestamp) {
        let key = (function.to_owned(), version.to_owned());
        self.woken.insert(key, now);
    }

    /// Whether Lambda was asked to wake the version a short while before `now`.
    pub fn is_waking(&self, function: &str, version: &str, now: Option<Timestamp>) -> bool {
        let key = (function.to_owned(), version.to_owned());
        let woken = self.woken.get(&key).zip(now);
        woken.is_some_and(|(at, now)| *at <= now && passed(*at, now) < WAKE_INTERVAL)
    }
}

impl Known {
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
        ];
        for at in times.into_iter().chain(self.patience.times()) {
            let moved = gap.and_then(|gap| at.as_ref()?.checked_add(gap).ok());
            *at = moved.or(*at);
        }
        // A clock that steps ahead leaves that as it is, and one that steps back holds up nothing.
        self.hold_until = self.hold_until.min(held);
        self.progressed_at.get_or_insert(now);
        self.looked_at = Some(now);
    }

    /// A call may have been sent: an update that fails afterwards is its own.
    pub(super) fn sent(&mut self, effect: &Effect) {
        if let Action::UpdateCode { revision_id, .. }
        | Action::UpdateConfiguration { revision_id, .. } = &effect.action
        {
            self.patience.note_update(&effect.resource, revision_id);
        }
    }

    /// The order can't even begin, which this pass found `now`.
    pub fn block(&mut self, now: Timestamp) {
        self.look(now);
        self.patience.blocked_since.get_or_insert(now);
    }

    /// What was in the way counts no more.
    pub fn unblock(&mut self) {
        self.patience.blocked_since = None;
    }

    /// For how long every pass of this order has met an error.
    pub fn blocked_for(&self, now: Timestamp) -> Duration {
        let since = self.patience.blocked_since;
        since.map_or(Duration::ZERO, |since| passed(since, now))
    }
}

impl Observation {
    /// Takes in how much concurrency is provisioned for the alias of a function.
    pub fn saw_provisioned(&mut self, name: String, found: Option<ProvisionedConcurrency>) {
        if found.as_ref().is_some_and(|it| it.is_allocating) {
            self.known.at_work_at = self.known.looked_at;
        }
        self.provisioned.insert(name, found);
    }

    /// What is remembered when a pass ends.
    pub fn close(mut self) -> Known {
        let blocked = &mut self.known.patience.blocked_since;
        if self.errors.is_empty() {
            *blocked = None;
        } else {
            *blocked = blocked.or(self.known.looked_at);
        }
        self.known
    }

    /// The status was recorded: `before` is what stood there.
    pub fn recorded(&mut self, before: &TargetStatus, after: &TargetStatus) {
        use super::Step;
        let step = |status: &TargetStatus| status.run.as_ref().and_then(Step::of);
        // What goes on after it was held begins with a look of its own.
        self.known.recorded_here = step(before) != Some(Step::Held);
        self.known.hold_until = None;
        if step(after) == Some(Step::Restore) {
            self.turn_back();
        }
    }

    /// For how long nothing has moved while this process looked.
    pub fn waited(&self, status: &TargetStatus, now: Timestamp) -> Duration {
        let recorded = status.run.as_ref().map(|run| run.progressed_at.0);
        // Another clock may have written it.
        let recorded = recorded.filter(|at| *at <= now);
        let moved = self.known.progressed_at.into_iter().chain(recorded).max();
        moved.map_or(Duration::ZERO, |at| passed(at, now))
    }

    /// Takes in that an effect failed: whatever was known of its resource may be stale now.
    pub fn failed(&mut self, effect: Effect, error: CallError) {
        if error.kind == CallErrorKind::Unknown {
            self.known.sent(&effect);
        }
        self.forget(&effect.resource);
        self.known.recorded_here = false;
        self.errors.push((effect.component, error));
    }
}

/// The time between the two; none where the clock stepped back.
pub fn passed(then: Timestamp, now: Timestamp) -> Duration {
    let passed: SignedDuration = now.duration_since(then);
    passed.try_into().unwrap_or_default()
}
