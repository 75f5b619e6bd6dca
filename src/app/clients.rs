//! Three ways to the API server, because three things are expected of it.

use std::time::Duration;

use axum::http::{HeaderValue, header::USER_AGENT};
use kube::{Client, Config};

use super::error::AppError;

/// Longer than any answer takes; shorter than what the leader election counts on for any call.
const CALL: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// What audit logs show. The API server takes what stands before the `/` for the manager of the fields
/// that are written.
const CALLED: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));

/// Clients of the cluster's API server, none of which retries by itself: whoever calls knows best
/// whether and when.
pub struct Clients {
    /// For reads and writes.
    pub calls: Client,
    /// For watches, which are silent for minutes.
    pub watches: Client,
    /// For the Lease: a connection of its own, so that nothing else is in the way.
    pub leases: Client,
}

impl Clients {
    /// From `KUBECONFIG` or from the pod.
    pub async fn infer() -> Result<Self, AppError> {
        let config = Config::infer()
            .await
            .map_err(|error| AppError::Cluster(Box::new(error)))?;
        Self::of(config, Client::try_from)
    }

    /// Of the API server that `config` names. `client` makes a client with the settings it is given.
    pub fn of(
        config: Config,
        client: impl Fn(Config) -> Result<Client, kube::Error>,
    ) -> Result<Self, AppError> {
        let mut patient = config;
        let called = (USER_AGENT, HeaderValue::from_static(CALLED));
        patient.headers.push(called);
        patient.default_retry = false;
        patient.connect_timeout = Some(CONNECT);
        let mut brisk = patient.clone();
        brisk.read_timeout = Some(CALL);
        brisk.write_timeout = Some(CALL);
        // Else it would count from when a pooled connection fell idle.
        brisk.reset_reader_on_write = true;
        let client = |config| client(config).map_err(|error| AppError::Cluster(Box::new(error)));
        Ok(Self {
            watches: client(patient)?,
            calls: client(brisk.clone())?,
            leases: client(brisk)?,
        })
    }
}
