//! Why the process can't start or go on.

use std::{io, net::SocketAddr};

use crate::{leader::Lost, ports::CallError};

/// Why the process can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The port is taken or not allowed.
    #[error("can't listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No way to the cluster.
    #[error(
        "no way to a cluster's API server: {0}; run in a pod with a ServiceAccount, or set KUBECONFIG"
    )]
    Cluster(Box<dyn std::error::Error + Send + Sync>),
    /// The client for AWS can't be made.
    #[error(transparent)]
    Adapters(#[from] CallError),
    /// Signals can't be heard.
    #[error("can't listen for signals: {0}")]
    Signals(io::Error),
    /// The Lease is no longer ours.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A part of the process ended that never should.
    #[error("{0} ended by itself: please report this")]
    Ended(&'static str),
}
