//! Starting a simulator and moving its world.

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
    model::{Refusal, World},
    requests::RequestLog,
};
use crate::{door::Porter, error::LabError, runtime};

/// How whole archives are handed out.
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

/// What kind of instance to start.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// A relative root such as `/gitlab`; empty for none.
    pub relative_root: String,
    /// The address in links, when it differs from the one that is served; without a slash at the end.
    pub external_url: Option<String>,
    /// As `/version` tells it.
    pub version: String,
    /// How whole archives are handed out at first.
    pub transport: Transport,
    /// The port to serve on; a free one if not said.
    pub port: Option<u16>,
    /// Requests in a minute, as the headers tell; not enforced (add a fault for that).
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

/// What the servers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: Mutex<World>,
    pub(super) faults: Faults,
    pub(super) log: RequestLog,
    pub(super) site: Site,
    pub(super) root: String,
    transport: Mutex<Transport>,
    requests: AtomicU64,
    limit: u64,
    /// The minute that is counted, and the requests in it.
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
        f: impl FnOnce(&mut World, Timestamp) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        f(
            &mut self.world.lock().unwrap_or_else(PoisonError::into_inner),
            Timestamp::now(),
        )
    }
}

/// A running simulator. Clones share it; it ends with the last of them.
///
/// Methods that change or ask its world panic, with the reason, when they are asked for what
/// GitLab would not do or for what is not there: a mistake in the scenario, not a condition.
#[derive(Clone, Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stopped: CancellationToken,
    _stop: Arc<DropGuard>,
}

impl Simulator {
    /// Starts one on 127.0.0.1, with its object storage on another port.
    pub async fn start(options: SimulatorOptions) -> Result<Self, LabError> {
        // Listeners belong to the runtime they were made on, so they are made on the lab's.
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
            world: Mutex::default(),
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

    /// Another address of the same GitLab, where `porter` stands; it is there as long as this is.
    pub async fn open_door(&self, porter: Arc<dyn Porter>) -> Result<String, LabError> {
        let (shared, stopped) = (Arc::clone(&self.shared), self.stopped.clone());
        let opening = runtime::handle().spawn(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let base = format!("http://{}{}", listener.local_addr()?, shared.root);
            let site = Site {
                base: base.clone(),
                ..shared.site.clone()
            };
            server::open(listener, site, porter, shared, stopped);
            Ok(base)
        });
        opening
            .await
            .map_err(|e| LabError::new(format!("opening a door to GitLab panicked: {e}")))?
    }

    /// Where it is, relative root included, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.shared.root)
    }

    /// The root of its REST API.
    pub fn api_url(&self) -> String {
        format!("{}/api/v4", self.url())
    }

    /// Where redirects to archives lead.
    pub fn storage_url(&self) -> &str {
        &self.shared.site.storage
    }

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Hands whole archives out another way from now on.
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

    /// This moment in the record of requests.
    pub fn mark(&self) -> Mark {
        self.shared.log.mark()
    }

    /// The requests since a moment.
    pub fn requests_since(&self, mark: Mark) -> Vec<RequestRecord> {
        self.shared.log.since(mark)
    }

    /// Changes the world in any way the model allows; for what has no method here.
    #[track_caller]
    pub fn change<T>(&self, f: impl FnOnce(&mut World, Timestamp) -> Result<T, Refusal>) -> T {
        self.shared
            .change(f)
            .unwrap_or_else(|refusal| panic!("GitLab simulator: {refusal}"))
    }
}
