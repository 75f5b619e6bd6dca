//! The errors of a reconcile.

use crate::{controllers::api_failure::api_failure, domain::outcome::Outcome};

/// An error of a reconcile.
pub enum Failure {
    Api(kube::Error),
    Outcome(Outcome),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl From<Outcome> for Failure {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(outcome)
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Outcome(outcome) => outcome,
            Failure::Api(error) => api_failure(error),
        }
    }
}
