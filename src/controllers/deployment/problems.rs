//! Collects the failures of single Targets, Releases and Approvals, so that the others continue.

use super::failure::Failure;
use crate::{
    controllers::{api_failure::api_failure, runtime::Ended},
    domain::outcome::Outcome,
};

/// The first failure of each kind in one reconcile; a stalled one replaces one that passes.
#[derive(Default)]
pub struct Problems {
    outcome: Option<Outcome>,
    api: Option<kube::Error>,
}

impl Problems {
    /// Returns the value, or notes the failure and returns `None`.
    pub fn note<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(Failure::Outcome(outcome)) => {
                // A failure that needs a person is more important than one that passes by itself.
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

    /// The outcome of the delivery, combined with the noted failure.
    pub fn combine(&self, delivery: Outcome) -> Outcome {
        match (delivery, &self.outcome) {
            (delivery, None) => delivery,
            (Outcome::Stalled { reason, message }, Some(problem)) => {
                let message = format!("{message}; also: {}", problem.message());
                Outcome::Stalled { reason, message }
            }
            (_, Some(problem)) => problem.clone(),
        }
    }

    /// The ending of the reconcile: a failed write is retried soon.
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
    fn stalled_problem_takes_precedence_over_a_passing_one() {
        let mut problems = Problems::default();
        assert_eq!(problems.note(Ok(1)), Some(1));
        let _: Option<()> = problems.note(Err(waiting().into()));
        let missing = Outcome::stalled(Reason::AccountNotFound, "no Account prod");
        let _: Option<()> = problems.note(Err(missing.clone().into()));
        let _: Option<()> = problems.note(Err(waiting().into()));
        assert_eq!(problems.combine(Outcome::done(Reason::Idle, "")), missing);
        let held = problems.combine(Outcome::stalled(Reason::Held, "dev: r2 is held"));
        assert_eq!(held.reason(), Reason::Held);
        assert_eq!(held.message(), "dev: r2 is held; also: no Account prod");
    }
}
