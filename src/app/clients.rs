//! Three clients of the API server, for calls, watches and the Lease.

use std::time::Duration;

use axum::http::{HeaderValue, header::USER_AGENT};
use kube::{Client, Config};

use super::error::AppError;

/// Longer than any answer takes; shorter than the limit that the leader election assumes for a call.
const CALL: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// The user agent in audit logs. The API server uses the part before the `/` as the field manager.
const AGENT: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));

/// Clients of the cluster's API server. None of them retries: the caller decides whether and when.
pub struct Clients {
    /// For reads and writes.
    pub calls: Client,
    /// For watches, which are silent for minutes.
    pub watches: Client,
    /// For the Lease: a separate connection that other calls can't block.
    pub leases: Client,
}

impl Clients {
    /// Clients from `KUBECONFIG` or from the pod.
    pub async fn infer() -> Result<Self, AppError> {
        let config = Config::infer()
            .await
            .map_err(|error| AppError::Cluster(Box::new(error)))?;
        Self::of(config, Client::try_from)
    }

    /// Clients of the API server in `config`. `client` creates a client from a configuration.
    pub fn of(
        config: Config,
        client: impl Fn(Config) -> Result<Client, kube::Error>,
    ) -> Result<Self, AppError> {
        let mut patient = config;
        let agent = (USER_AGENT, HeaderValue::from_static(AGENT));
        patient.headers.push(agent);
        patient.default_retry = false;
        patient.connect_timeout = Some(CONNECT);
        let mut brisk = patient.clone();
        brisk.read_timeout = Some(CALL);
        brisk.write_timeout = Some(CALL);
        // Otherwise the timeout would start when a pooled connection became idle.
        brisk.reset_reader_on_write = true;
        let client = |config| client(config).map_err(|error| AppError::Cluster(Box::new(error)));
        Ok(Self {
            watches: client(patient)?,
            calls: client(brisk.clone())?,
            leases: client(brisk)?,
        })
    }
}
