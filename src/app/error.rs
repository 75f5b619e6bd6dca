//! Why the process can't start or continue.

use std::{io, net::SocketAddr};

use crate::{leader::Lost, ports::CallError};

/// Why the process can't start or continue.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The port is in use or not allowed.
    #[error("can't listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// No client of the API server can be created.
    #[error(
        "can't find a cluster's API server: {0}; run in a pod with a ServiceAccount, or set KUBECONFIG"
    )]
    Cluster(Box<dyn std::error::Error + Send + Sync>),
    /// An adapter can't be created.
    #[error(transparent)]
    Adapters(#[from] CallError),
    /// The process can't receive signals.
    #[error("can't listen for signals: {0}")]
    Signals(io::Error),
    /// The process lost the Lease.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A part of the process ended that must never end.
    #[error("{0} ended unexpectedly: please report this")]
    Ended(&'static str),
}
