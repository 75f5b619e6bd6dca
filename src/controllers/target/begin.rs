//! Runs that have to wait for others before they begin, and let others begin.

use std::sync::Arc;

use super::{admission::Waits, controller::TargetController, delay::SHORT_WAIT};
use crate::{
    api::v1alpha1::{RequestRates, Run, Target, TargetStatus},
    controllers::access::account,
    domain::{
        engine::{self, Step},
        outcome::Outcome,
        reason::Reason,
    },
};

/// How many seconds' worth of Lambda's control-plane calls prepare at a time: enough that the budget is used up
/// while each waits for Lambda to settle.
const AHEAD: usize = 3;

impl TargetController {
    /// How the pass of a run ends that has to wait for others.
    pub(super) async fn waits_to_begin(
        &self,
        target: &Target,
        run: &Run,
        status: &TargetStatus,
    ) -> Option<Outcome> {
        let room = self.room(target);
        let waits = self.context.admissions.ask(room, target, run, status);
        let waits = waits.err()?;
        let outcome = waits.outcome(target);
        if !waits.is_told {
            return Some(outcome);
        }
        let told = self.publish(target, status.clone(), outcome, SHORT_WAIT);
        Some(told.await)
    }

    /// How many prepare at a time where the Target is.
    fn room(&self, target: &Target) -> usize {
        let account = account(&self.context, &target.spec.account).ok();
        let rates = account
            .as_ref()
            .and_then(|account| account.spec.request_rates(&target.spec.region));
        AHEAD.saturating_mul(RequestRates::control_plane(rates) as usize)
    }

    /// A run that prepares no more, or can't for now, makes room for others.
    pub(super) fn let_others_begin(&self, target: &Arc<Target>, outcome: &Outcome) {
        let target = self.newest(target);
        let journal = target.status.as_ref().and_then(|it| it.run.as_ref());
        let is_past = journal
            .zip(target.spec.run.as_ref())
            .is_some_and(|(it, run)| {
                engine::same_run(run, it) && Step::of(it) != Some(Step::Prepare)
            });
        let is_stuck = matches!(outcome, Outcome::Stalled { .. } | Outcome::Transient { .. });
        if is_past || is_stuck {
            self.context.admissions.leave(&target);
        }
    }
}

impl Waits {
    /// As it is told.
    fn outcome(&self, target: &Target) -> Outcome {
        let spec = &target.spec;
        Outcome::Waiting {
            reason: Reason::WaitingForBudget,
            message: format!(
                "Waiting to begin: {} of this namespace go before it in account {}, {}",
                self.before, spec.account_id, spec.region
            ),
            after: self.after,
        }
    }
}
