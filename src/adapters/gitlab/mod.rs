//! GitLab over its REST API.
//!
//! Guarantees
//! - A token goes only to its connection's own address, and into no error, log or cache key. Only a Secret
//!   that is marked as a GitLab token is read as one.
//! - Requests and redirects of downloads go only to public and allowed addresses.
//! - Each connection has one client with one cache, shared by all its readers. A new token, a new CA bundle
//!   or a changed spec makes a new client. Each host has one budget of requests.
//! - A repeated read of something unchanged costs a 304.
//! - The number of clients and connections, and the size of their caches, are bounded, whatever tenants write
//!   into their GitLabConnections.
//!
//! The adapter does not retry requests: a failed reconcile is requeued with backoff, which does not multiply
//! the load on a GitLab that is already slow.
//!
//! Relies on: rustls' process-wide crypto provider, installed at start.

mod address;
mod answer;
mod budget;
mod cache;
mod client;
mod download;
mod errors;
mod http;
mod pools;
mod secrets;
mod wire;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use ipnet::IpNet;
use kube::ResourceExt as _;
use tokio::time::Instant;
use url::Url;

use self::{
    address::Address,
    answer::Reader,
    budget::Hosts,
    cache::{Caches, ClientCache},
    http::{Http, Setup},
    pools::{Pool, Pools},
    secrets::ReadSecrets,
};
pub use self::{
    budget::{DEFAULT_PER_MINUTE, Rates},
    client::Client,
};
use crate::{
    adapters::reach::{Reach, SystemNames},
    api::v1alpha1::{GitLabConnection, annotation},
    domain::digest::Sha256,
    metrics::Metrics,
    ports::{
        CallError, CallErrorKind,
        gitlab::{GitLab, GitLabs},
        secrets::Secrets,
    },
};

/// How long a token is used before its Secret is read again. The Secret is read at once after GitLab refused
/// the token, and when the connection's annotation `sluice.dev/reconcile` changes.
const TOKEN_AGE: Duration = Duration::from_secs(30);
/// Clients that were not used for this long are dropped. Every connection is reconciled every ten minutes.
const UNUSED: Duration = Duration::from_mins(30);
/// The most clients. The least recently used ones are dropped first, and made again on demand.
const MAX_CLIENTS: usize = 1024;

/// The environment variables that name proxies.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// One shared client for each [`GitLabConnection`].
pub struct GitLabClients {
    secrets: Arc<dyn Secrets>,
    metrics: Arc<Metrics>,
    reach: Reach,
    hosts: Hosts,
    reader: Reader,
    caches: Arc<Caches>,
    pools: Pools,
    /// By namespace and name.
    clients: Mutex<HashMap<(String, String), Entry>>,
}

struct Entry {
    made_from: MadeFrom,
    /// The value of the annotation `sluice.dev/reconcile` when the Secret was read.
    command: Option<String>,
    read_at: Instant,
    used_at: Instant,
    pool: Arc<Pool>,
    client: Arc<Client>,
}

/// The inputs of a client.
#[derive(Clone, PartialEq, Eq)]
struct MadeFrom {
    uid: Option<String>,
    generation: Option<i64>,
    token: Sha256,
    ca_bundle: Option<Sha256>,
}

impl GitLabClients {
    /// Clients read their tokens from `secrets`, may reach public addresses and the `allowed`
    /// networks, and count requests in `metrics`.
    pub fn new(
        secrets: Arc<dyn Secrets>,
        metrics: Arc<Metrics>,
        allowed: Vec<IpNet>,
        rates: Rates,
    ) -> Self {
        let names = Arc::new(SystemNames);
        Self {
            secrets,
            metrics,
            reach: Reach::with_trusted_names(proxies(), allowed, "gitlab.allowedNetworks", names),
            hosts: Hosts::new(rates),
            reader: Reader::default(),
            caches: Arc::default(),
            pools: Pools::default(),
            clients: Mutex::default(),
        }
    }

    /// The existing client, if there is no reason to read the Secret again.
    fn current(
        &self,
        key: &(String, String),
        connection: &GitLabConnection,
    ) -> Option<Arc<Client>> {
        let mut clients = lock(&self.clients);
        let entry = clients.get_mut(key)?;
        let same = entry.made_from.uid == connection.metadata.uid
            && entry.made_from.generation == connection.metadata.generation
            && entry.command.as_ref() == connection.annotations().get(annotation::RECONCILE)
            && entry.read_at.elapsed() < TOKEN_AGE
            && !entry.client.is_token_refused();
        entry.used_at = Instant::now();
        same.then(|| Arc::clone(&entry.client))
    }

    /// Drops unused clients, and the least recently used ones above the limits.
    fn evict(&self, clients: &mut HashMap<(String, String), Entry>) {
        clients.retain(|_, entry| entry.used_at.elapsed() < UNUSED);
        while clients.len() > MAX_CLIENTS || self.pools.has_too_many() {
            let oldest = clients.iter().min_by_key(|(_, entry)| entry.used_at);
            let Some((key, trusts)) = oldest.map(|(key, entry)| (key.clone(), entry.pool.trusts()))
            else {
                return;
            };
            clients.remove(&key);
            if self.pools.has_too_many() {
                // A pool is freed only with all clients that use it.
                clients.retain(|_, entry| entry.pool.trusts() != trusts);
            }
        }
    }
}

#[async_trait]
impl GitLabs for GitLabClients {
    async fn client(&self, connection: &GitLabConnection) -> Result<Arc<dyn GitLab>, CallError> {
        let namespace = connection.metadata.namespace.clone().unwrap_or_default();
        let name = connection.metadata.name.clone().unwrap_or_default();
        let resource = format!("GitLabConnection {namespace}/{name}");
        let key = (namespace, name);
        if let Some(client) = self.current(&key, connection) {
            return Ok(client);
        }

        let invalid = |message: String| {
            CallError::new(
                "connect to GitLab",
                resource.as_str(),
                CallErrorKind::Invalid,
                message,
            )
        };
        let spec = &connection.spec;
        let address =
            Address::parse(&spec.url).map_err(|problem| invalid(format!("spec.url: {problem}")))?;
        self.reach
            .check(&address.of(""))
            .map_err(|refused| invalid(format!("spec.url: {refused}")))?;
        let mut secrets = ReadSecrets::new(self.secrets.as_ref(), &key.0);
        let token = secrets.token(&spec.token_secret_ref).await?;
        let bundle = match &spec.ca_bundle_ref {
            Some(reference) => Some(secrets.bundle(reference).await?),
            None => None,
        };

        let made_from = MadeFrom {
            uid: connection.metadata.uid.clone(),
            generation: connection.metadata.generation,
            token: token.digest,
            ca_bundle: bundle.as_ref().map(|bundle| bundle.digest),
        };
        let pool = self
            .pools
            .get(&self.reach, bundle.as_ref())
            .map_err(|error| invalid(format!("spec.caBundleRef: {}", errors::causes(&error))))?;
        let now = Instant::now();
        let command = connection.annotations().get(annotation::RECONCILE).cloned();
        let mut clients = lock(&self.clients);
        // Another caller may have made the client meanwhile, or the Secret is unchanged: the client
        // and its cache stay.
        if let Some(entry) = clients.get_mut(&key)
            && entry.made_from == made_from
        {
            if entry.command != command {
                entry.client.clear_refusal();
            }
            (entry.read_at, entry.used_at) = (now, now);
            entry.command = command;
            let client = Arc::clone(&entry.client);
            self.evict(&mut clients);
            return Ok(client);
        }
        let http = Http::new(Setup {
            budget: self
                .hosts
                .budget(&key.0, &address.host(), spec.requests_per_minute),
            address,
            pool: Arc::clone(&pool),
            reach: self.reach.clone(),
            namespace: key.0.clone(),
            token,
            reader: self.reader.clone(),
            cache: ClientCache::new(Arc::clone(&self.caches)),
            metrics: Arc::clone(&self.metrics),
        });
        let client = Arc::new(Client::new(http));
        let entry = Entry {
            made_from,
            command,
            read_at: now,
            used_at: now,
            pool,
            client: Arc::clone(&client),
        };
        clients.insert(key, entry);
        self.evict(&mut clients);
        Ok(client)
    }
}

/// The host names of the environment's proxies.
fn proxies() -> BTreeSet<String> {
    let values = PROXIES.iter().filter_map(|name| std::env::var(name).ok());
    let hosts = values.filter_map(|value| {
        let url = Url::parse(&value).or_else(|_| Url::parse(&format!("http://{value}")));
        Some(url.ok()?.host_str()?.to_owned())
    });
    hosts.collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
