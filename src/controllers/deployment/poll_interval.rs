//! How long it is between two polls of GitLab for one Deployment.

use std::time::Duration;

use crate::{api::v1alpha1::Deployment, domain::duration::duration};

/// The poll interval of the source: `spec.source.interval`.
pub fn poll_interval(deployment: &Deployment) -> Duration {
    duration(&deployment.spec.source.interval).unwrap_or(Duration::from_mins(1))
}

/// Adds a jitter of five percent, so that Deployments created together do not poll together forever.
pub fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.95 + fastrand::f64() / 10.0)
}
