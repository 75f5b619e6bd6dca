//! Calls that wait for their turn in our own budgets: how urgent they are, and that the wait counts for no
//! deadline.

use std::time::Duration;

use jiff::Timestamp;

use super::{Known, Order, Step, same_run};
use crate::{
    api::v1alpha1::{Run, TargetStatus},
    domain::priority::Priority,
};

/// How urgent the calls are that carry out this order next.
pub fn urgency(order: &Order, run: &Run, status: &TargetStatus) -> Priority {
    match order {
        Order::Restore(_) => Priority::Restore,
        Order::Deliver(_) if run.back => Priority::Restore,
        Order::Deliver(_) => {
            let journal = status.run.as_ref();
            let journal = journal.filter(|journal| same_run(run, journal));
            match journal.and_then(Step::of) {
                Some(Step::Restore) => Priority::Restore,
                Some(Step::Promote | Step::Held) => Priority::Traffic,
                Some(Step::Prepare) => Priority::Preparation,
                Some(Step::Succeeded | Step::Failed | Step::RolledBack | Step::RollbackFailed)
                | None => Priority::Planning,
            }
        }
        Order::Plan(_) => Priority::Planning,
        Order::Prune(_) => Priority::Preparation,
    }
}

/// How urgent the calls are that remove a Target: a run under way is undone first.
pub fn urgency_of_removal(status: &TargetStatus) -> Priority {
    let is_unfinished = status.run.as_ref().is_some_and(|run| !super::ended(run));
    if is_unfinished {
        Priority::Restore
    } else {
        Priority::Preparation
    }
}

impl Known {
    /// Calls waited for this long, until `now`, for their turn in our own budget: nothing could move in that
    /// time, and it counts for no deadline.
    pub fn waited_for_budget(&mut self, waited: Duration, now: Timestamp) {
        for at in [
            &mut self.looked_at,
            &mut self.progressed_at,
            &mut self.waiting_since,
            &mut self.at_work_at,
            &mut self.patience.blocked_since,
        ] {
            let later = at.and_then(|at| at.checked_add(waited).ok());
            *at = later.map(|at| at.min(now)).or(*at);
        }
    }
}
