//! Starts a simulator and changes its state.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Faults, Mark, Origin, RequestRecord,
    http::{Site, server},
    model::{InstanceState, Refusal},
    requests::RequestLog,
};
use crate::{error::LabError, hook::RequestHook, runtime};

/// How whole archives are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// From GitLab's own disk.
    #[default]
    Disk,
    /// By a redirect to the object storage, another origin.
    Redirect,
    /// From the object storage, through GitLab.
    Proxied,
}

/// Options of a simulated instance.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// A relative root such as `/gitlab`; empty for none.
    pub relative_root: String,
    /// The address in links, if it differs from the address that is served; without a trailing slash.
    pub external_url: Option<String>,
    /// The version that `/version` reports.
    pub version: String,
    /// How whole archives are served at first.
    pub transport: Transport,
    /// The port to serve on; by default a free one.
    pub port: Option<u16>,
    /// Requests per minute in the rate limit headers; not enforced (add a fault for that).
    pub requests_per_minute: u64,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            relative_root: String::new(),
            external_url: None,
            version: "19.1.2-ee".to_owned(),
            transport: Transport::Disk,
            port: None,
            requests_per_minute: 2000,
        }
    }
}

/// The state that the servers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<InstanceState>,
    pub(super) faults: Faults,
    pub(super) log: RequestLog,
    pub(super) site: Site,
    pub(super) root: String,
    transport: Mutex<Transport>,
    requests: AtomicU64,
    limit: u64,
    /// The current minute, and the requests in it.
    minute: Mutex<(i64, u64)>,
}

/// The state of the HTTP throttle.
pub(super) struct Limit {
    pub(super) per_minute: u64,
    pub(super) observed: u64,
    /// When the minute ends, in seconds since 1970.
    pub(super) reset: i64,
}

impl Limit {
    pub(super) fn remaining(&self) -> u64 {
        self.per_minute.saturating_sub(self.observed)
    }
}

impl Shared {
    pub(super) fn transport(&self) -> Transport {
        *self
            .transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn count_request(&self) -> Limit {
        let minute = Timestamp::now().as_second().div_euclid(60);
        let mut counted = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        counted.1 += 1;
        Limit {
            per_minute: self.limit,
            observed: counted.1,
            reset: (minute + 1) * 60,
        }
    }

    pub(super) fn change<T>(
        &self,
        f: impl FnOnce(&mut InstanceState, Timestamp) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        f(
            &mut self.state.lock().unwrap_or_else(PoisonError::into_inner),
            Timestamp::now(),
        )
    }
}

/// A running simulator. Clones share it; it stops with the last clone.
///
/// Methods that change or read its state panic with the reason when GitLab would refuse the change or the
/// object does not exist: that is a mistake in the test.
#[derive(Clone, Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stopped: CancellationToken,
    _stop: Arc<DropGuard>,
}

impl Simulator {
    /// Starts a simulator on 127.0.0.1, with its object storage on another port.
    pub async fn start(options: SimulatorOptions) -> Result<Self, LabError> {
        // A listener belongs to the runtime that creates it, so the lab's runtime does.
        let started = runtime::handle().spawn(Self::start_here(options)).await;
        started.map_err(|error| {
            LabError::new(format!(
                "the GitLab simulator panicked while starting: {error}"
            ))
        })?
    }

    async fn start_here(options: SimulatorOptions) -> Result<Self, LabError> {
        let listen = async |port: u16| {
            let bound = TcpListener::bind(("127.0.0.1", port)).await;
            bound.map_err(|error| {
                LabError::new(format!(
                    "GitLab simulator: cannot listen on 127.0.0.1:{port}: {error}"
                ))
            })
        };
        let api = listen(options.port.unwrap_or(0)).await?;
        let storage = listen(0).await?;
        let address = api.local_addr()?;
        let root = options.relative_root.trim_end_matches('/').to_owned();
        let base = options
            .external_url
            .unwrap_or_else(|| format!("http://{address}{root}"));
        let site = Site {
            base,
            storage: format!("http://{}", storage.local_addr()?),
            version: options.version,
        };
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            faults: Faults::default(),
            log: RequestLog::default(),
            site,
            root,
            transport: Mutex::new(options.transport),
            requests: AtomicU64::new(1),
            limit: options.requests_per_minute,
            minute: Mutex::new((0, 0)),
        });
        let stopped = CancellationToken::new();
        server::spawn(api, Origin::GitLab, Arc::clone(&shared), stopped.clone());
        server::spawn(
            storage,
            Origin::Storage,
            Arc::clone(&shared),
            stopped.clone(),
        );
        Ok(Self {
            shared,
            address,
            stopped: stopped.clone(),
            _stop: Arc::new(stopped.drop_guard()),
        })
    }

    /// Opens another address of this GitLab, with `hook` on its requests, until the simulator stops.
    pub async fn open_hooked_endpoint(
        &self,
        hook: Arc<dyn RequestHook>,
    ) -> Result<String, LabError> {
        let (shared, stopped) = (Arc::clone(&self.shared), self.stopped.clone());
        let opening = runtime::handle().spawn(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let base = format!("http://{}{}", listener.local_addr()?, shared.root);
            let site = Site {
                base: base.clone(),
                ..shared.site.clone()
            };
            server::open(listener, site, hook, shared, stopped);
            Ok(base)
        });
        opening.await.map_err(|e| {
            LabError::new(format!("opening a hooked endpoint of GitLab panicked: {e}"))
        })?
    }

    /// The address with the relative root, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.shared.root)
    }

    /// The address of the REST API.
    pub fn api_url(&self) -> String {
        format!("{}/api/v4", self.url())
    }

    /// The address of the object storage, the target of redirects to archives.
    pub fn storage_url(&self) -> &str {
        &self.shared.site.storage
    }

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Changes how whole archives are served from now on.
    pub fn set_transport(&self, transport: Transport) {
        *self
            .shared
            .transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = transport;
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log.all()
    }

    /// The current position in the record of requests.
    pub fn mark(&self) -> Mark {
        self.shared.log.mark()
    }

    /// The requests since `mark`.
    pub fn requests_since(&self, mark: Mark) -> Vec<RequestRecord> {
        self.shared.log.since(mark)
    }

    /// Changes the state in any way that the model allows, for changes without a method of their own.
    #[track_caller]
    pub fn change<T>(
        &self,
        f: impl FnOnce(&mut InstanceState, Timestamp) -> Result<T, Refusal>,
    ) -> T {
        self.shared
            .change(f)
            .unwrap_or_else(|refusal| panic!("GitLab simulator: {refusal}"))
    }
}
