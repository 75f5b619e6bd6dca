//! What fails for one Target, Release or Approval of a Deployment: noted, so that the others go on.

use super::failure::Failure;
use crate::{
    controllers::{api_failure::api_failure, runtime::Ended},
    domain::outcome::Outcome,
};

/// The failures of one reconcile, of each kind the first.
#[derive(Default)]
pub struct Problems {
    outcome: Option<Outcome>,
    api: Option<kube::Error>,
}

impl Problems {
    /// Notes a failure; whether there was none.
    pub fn note<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(Failure::Outcome(outcome)) => {
                // What only a person can help with says more than what passes.
                let better = matches!(outcome, Outcome::Stalled { .. })
                    && !matches!(self.outcome, Some(Outcome::Stalled { .. }));
                if self.outcome.is_none() || better {
                    self.outcome = Some(outcome);
                }
            }
            Err(Failure::Api(error)) => {
                self.api.get_or_insert(error);
            }
        }
        None
    }

    /// How the delivery stands, together with what failed.
    pub fn told(&self, delivery: Outcome) -> Outcome {
        match (delivery, &self.outcome) {
            (delivery, None) => delivery,
            (Outcome::Stalled { reason, message }, Some(problem)) => {
                let message = format!("{message}; besides: {}", problem.message());
                Outcome::Stalled { reason, message }
            }
            (_, Some(problem)) => problem.clone(),
        }
    }

    /// How the reconcile ends: a write that failed is tried again soon.
    pub fn ended(self, ended: Ended) -> Ended {
        match self.api {
            Some(error) => api_failure(error).into(),
            None => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reason::Reason;

    fn waiting() -> Outcome {
        Outcome::Waiting {
            reason: Reason::TargetTaken,
            message: "soon".into(),
            after: std::time::Duration::from_secs(1),
        }
    }

    #[test]
    fn a_stalled_problem_is_told_before_one_that_passes() {
        let mut problems = Problems::default();
        assert_eq!(problems.note(Ok(1)), Some(1));
        let _: Option<()> = problems.note(Err(waiting().into()));
        let missing = Outcome::stalled(Reason::AccountNotFound, "no Account prod");
        let _: Option<()> = problems.note(Err(missing.clone().into()));
        let _: Option<()> = problems.note(Err(waiting().into()));
        assert_eq!(problems.told(Outcome::done(Reason::Idle, "")), missing);
        let held = problems.told(Outcome::stalled(Reason::Held, "dev: r2 is held"));
        assert_eq!(held.reason(), Reason::Held);
        assert_eq!(held.message(), "dev: r2 is held; besides: no Account prod");
    }
}
