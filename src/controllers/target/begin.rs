//! The admission of a Target's run: waits before it begins, and makes room once it has prepared.

use std::sync::Arc;

use super::{admission::MustWait, controller::TargetController, delay::SHORT_WAIT};
use crate::{
    api::v1alpha1::{RequestRates, Run, Target, TargetStatus},
    controllers::access::account,
    domain::{
        engine::{self, Step},
        outcome::Outcome,
        reason::Reason,
    },
};

/// How many seconds' worth of Lambda control-plane calls may prepare at a time: enough to use up the budget
/// while each run waits for Lambda to settle.
const AHEAD: usize = 3;

impl TargetController {
    /// The outcome of the pass, if the run must wait for others.
    pub(super) async fn admission_wait(
        &self,
        target: &Target,
        run: &Run,
        status: &TargetStatus,
    ) -> Option<Outcome> {
        let limit = self.limit(target);
        let waits = self.context.admissions.ask(limit, target, run, status);
        let waits = waits.err()?;
        let outcome = waits.outcome(target);
        if !waits.is_reported {
            return Some(outcome);
        }
        let published = self.publish(target, status.clone(), outcome, SHORT_WAIT);
        Some(published.await)
    }

    /// How many runs may prepare at a time in the Target's account and region.
    fn limit(&self, target: &Target) -> usize {
        let account = account(&self.context, &target.spec.account).ok();
        let rates = account
            .as_ref()
            .and_then(|account| account.spec.request_rates(&target.spec.region));
        AHEAD.saturating_mul(RequestRates::control_plane(rates) as usize)
    }

    /// Lets other runs begin once this one no longer prepares, or can't for now.
    pub(super) fn let_others_begin(&self, target: &Arc<Target>, outcome: &Outcome) {
        let target = self.newest(target);
        let journal = target.status.as_ref().and_then(|it| it.run.as_ref());
        let is_past = journal
            .zip(target.spec.run.as_ref())
            .is_some_and(|(it, run)| {
                engine::is_same_run(run, it) && Step::of(it) != Some(Step::Prepare)
            });
        let is_stuck = matches!(outcome, Outcome::Stalled { .. } | Outcome::Transient { .. });
        if is_past || is_stuck {
            self.context.admissions.leave(&target);
        }
    }
}

impl MustWait {
    /// The outcome that reports the wait.
    fn outcome(&self, target: &Target) -> Outcome {
        let spec = &target.spec;
        Outcome::Waiting {
            reason: Reason::WaitingForBudget,
            message: format!(
                "Waiting to begin: {} runs of this namespace are ahead in account {}, {}",
                self.before, spec.account_id, spec.region
            ),
            after: self.after,
        }
    }
}
