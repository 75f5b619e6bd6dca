//! Waits for the account's budgets: reported if they are long, and ended early if other work comes up.
//!
//! # Guarantees
//! - Calls wait for as long as it takes. A wait is neither an error nor a failure, and no deadline runs.
//! - New work is not held up: waiting calls leave the queue, sent calls finish, and the pass ends.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use jiff::Timestamp;
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use tokio::time::{Instant, timeout};

use super::{controller::TargetController, delay::SHORT_WAIT};
use crate::{
    api::v1alpha1::{Target, TargetStatus, condition::RECONCILING},
    domain::{
        engine::{self, Observation},
        outcome::{self, Outcome},
        priority::Priority,
        reason::Reason,
    },
    ports::turn::{QueuePosition, Turn},
};

/// How often a waiting pass checks for other work.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// When the remaining wait is reported again; this interval doubles each time.
const REPORT_AGAIN: Duration = Duration::from_mins(1);

/// The urgency of the calls of a pass, and whether the Target reports their wait.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    urgency: &'a (dyn Fn(&TargetStatus) -> Priority + Sync),
    is_reported: bool,
}

impl<'a> Pace<'a> {
    /// A run or plan waits for these calls.
    pub fn in_foreground(urgency: &'a (dyn Fn(&TargetStatus) -> Priority + Sync)) -> Self {
        Self {
            urgency,
            is_reported: true,
        }
    }

    /// No run waits for these calls.
    pub fn in_background() -> Self {
        Self {
            urgency: &|_| Priority::Background,
            is_reported: false,
        }
    }

    /// The turn of the next calls.
    pub fn turn(self, target: &Target, status: &TargetStatus) -> Turn {
        let namespace = target.namespace().unwrap_or_default();
        let began = status.run.as_ref().filter(|run| !engine::ended(run));
        let since = began.map_or_else(Timestamp::now, |run| run.started_at.0);
        Turn::new(
            (self.urgency)(status),
            &namespace,
            &target.spec.deployment,
            since,
        )
    }
}

impl TargetController {
    /// Makes the calls of `wave` in this turn.
    pub(super) async fn in_turn(
        &self,
        target: &mut Target,
        turn: &Turn,
        pace: Pace<'_>,
        wave: impl Future<Output = ()>,
    ) {
        let mut wave = pin!(turn.scope(wave));
        let mut reported: Option<Instant> = None;
        let mut again_after = REPORT_AGAIN;
        while timeout(POLL_INTERVAL, &mut wave).await.is_err() {
            if self.is_outdated(target) {
                turn.call_off();
            }
            let waits = turn.queue_position().filter(|(_, since)| {
                let again = reported.is_none_or(|at| at.elapsed() >= again_after);
                pace.is_reported && again && since.elapsed() >= SHORT_WAIT
            });
            let Some((waits_at, _)) = waits else {
                continue;
            };
            if reported.replace(Instant::now()).is_some() {
                again_after *= 2;
            }
            let status = target.status.clone().unwrap_or_default();
            // The calls continue meanwhile.
            let is_over = {
                let publishing = pin!(self.publish(target, status, waiting(&waits_at), SHORT_WAIT));
                match select(&mut wave, publishing).await {
                    Either::Left(((), publishing)) => {
                        publishing.await;
                        true
                    }
                    Either::Right(_) => false,
                }
            };
            *target = (*self.newest(&Arc::new(target.clone()))).clone();
            if is_over {
                return;
            }
        }
    }

    /// Whether this state of the Target is outdated, or the process must stop.
    pub(super) fn is_outdated(&self, target: &Target) -> bool {
        if self.context.stopping.is_cancelled() || !self.context.fence.may_write() {
            return true;
        }
        let cached = self
            .context
            .stores
            .targets
            .get(&ObjectRef::from_obj(target));
        cached.is_some_and(|now| {
            now.metadata.generation > target.metadata.generation
                || now.metadata.deletion_timestamp != target.metadata.deletion_timestamp
                || now.annotations() != target.annotations()
        })
    }
}

/// The outcome of the pass if the calls of this turn were called off. Their wait counts for no deadline.
pub fn ended(turn: &Turn, observed: &mut Observation) -> Option<Outcome> {
    let waited = turn.waited();
    observed
        .known
        .clocks
        .exclude_budget_wait(waited, Timestamp::now());
    turn.is_called_off().then(|| Outcome::Waiting {
        reason: Reason::WaitingForBudget,
        message: "Cancelled calls that waited for the account's budget; the next pass repeats them"
            .to_owned(),
        after: POLL_INTERVAL,
    })
}

/// Whether a pass ended because its calls were called off.
pub fn was_called_off(outcome: &Outcome) -> bool {
    outcome.reason() == Reason::WaitingForBudget
}

/// Whether the status reports that calls wait.
pub fn is_reported(status: &TargetStatus) -> bool {
    let moving = outcome::find(&status.conditions, RECONCILING);
    moving.is_some_and(|moving| moving.reason == Reason::WaitingForBudget.as_str())
}

fn waiting(queue_position: &QueuePosition) -> Outcome {
    let left = queue_position
        .ready_at
        .saturating_duration_since(Instant::now());
    let seconds = left.as_secs().max(1);
    let about = if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m", seconds.div_ceil(60))
    };
    Outcome::Waiting {
        reason: Reason::WaitingForBudget,
        message: format!(
            "Waiting for the budget of {}: {} calls ahead, about {about}",
            queue_position.budget, queue_position.before
        ),
        after: SHORT_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_message_names_budget_and_time() {
        let message = |seconds| {
            let queue_position = QueuePosition {
                budget: "Lambda control plane calls in account 111111111111, eu-west-1".into(),
                before: 412,
                ready_at: Instant::now() + Duration::from_secs(seconds) + POLL_INTERVAL / 2,
            };
            waiting(&queue_position).message().to_owned()
        };
        assert_eq!(
            message(40),
            "Waiting for the budget of Lambda control plane calls in account 111111111111, eu-west-1: 412 calls ahead, about 40s"
        );
        assert!(message(61).ends_with("about 2m"));
        let mut status = TargetStatus::default();
        assert!(!is_reported(&status));
        let queue_position = QueuePosition {
            budget: "calls".into(),
            before: 0,
            ready_at: Instant::now(),
        };
        waiting(&queue_position).write_conditions(
            &mut status.conditions,
            None,
            Timestamp::UNIX_EPOCH,
        );
        assert!(is_reported(&status));
    }
}
