//! GitLab over its REST API.
//!
//! Guarantees
//! - A token goes to its connection's own address only, and into no error, log or cache key.
//! - One client per connection, shared by all that read through it: one budget of requests, one
//!   cache of answers. A new token, a new CA bundle or a changed spec makes a new one.
//! - A read that finds nothing new costs a 304.
//!
//! Requests are not retried here: a reconcile that failed is requeued with backoff, which is all that
//! is needed, and does not multiply the load on a GitLab that is already slow.
//!
//! Relies on: rustls' process-wide crypto provider, installed at start.

mod address;
mod budget;
mod cache;
mod client;
mod download;
mod errors;
mod http;
mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use kube::ResourceExt as _;
use reqwest::{Certificate, header::HeaderValue, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

pub use client::Client;

use crate::{
    api::v1alpha1::{GitLabConnection, SecretKeyRef, annotation},
    domain::digest::Sha256,
    metrics::Metrics,
    ports::{
        CallError, CallErrorKind,
        gitlab::{GitLab, GitLabs},
        secrets::Secrets,
    },
};

use self::{address::Address, http::Http};

/// How long a token is used before its Secret is read again. One that GitLab refuses is read again at
/// once, and every one when the connection's annotation `sluice.dev/reconcile` changes.
const TOKEN_AGE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Connections that were not used for this long are forgotten.
const UNUSED: Duration = Duration::from_hours(1);

/// One client for each [`GitLabConnection`], shared.
pub struct GitLabClients {
    secrets: Arc<dyn Secrets>,
    metrics: Arc<Metrics>,
    /// By namespace and name.
    clients: Mutex<HashMap<(String, String), Entry>>,
    /// By the digest of the CA bundle: connection pools are shared by all that trust the same.
    pools: Mutex<HashMap<Option<Sha256>, reqwest::Client>>,
}

struct Entry {
    made_from: MadeFrom,
    /// The command to look again that was there when the Secret was read.
    command: Option<String>,
    read_at: Instant,
    client: Arc<Client>,
}

/// What a client depends on.
#[derive(Clone, PartialEq, Eq)]
struct MadeFrom {
    uid: Option<String>,
    generation: Option<i64>,
    token: Sha256,
    ca_bundle: Option<Sha256>,
}

impl GitLabClients {
    /// Clients with the tokens that `secrets` hold. Requests are counted in `metrics`.
    pub fn new(secrets: Arc<dyn Secrets>, metrics: Arc<Metrics>) -> Self {
        Self {
            secrets,
            metrics,
            clients: Mutex::default(),
            pools: Mutex::default(),
        }
    }

    /// The client made before, if there is no reason to look at the Secret.
    fn current(
        &self,
        key: &(String, String),
        connection: &GitLabConnection,
    ) -> Option<Arc<Client>> {
        let clients = lock(&self.clients);
        let entry = clients.get(key)?;
        let same = entry.made_from.uid == connection.metadata.uid
            && entry.made_from.generation == connection.metadata.generation
            && entry.command.as_ref() == connection.annotations().get(annotation::RECONCILE)
            && entry.read_at.elapsed() < TOKEN_AGE
            && !entry.client.token_refused();
        same.then(|| Arc::clone(&entry.client))
    }

    fn pool(
        &self,
        ca_bundle: Option<(&Sha256, &[Certificate])>,
    ) -> reqwest::Result<reqwest::Client> {
        let key = ca_bundle.map(|(digest, _)| *digest);
        if let Some(pool) = lock(&self.pools).get(&key) {
            return Ok(pool.clone());
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT);
        if let Some((_, certificates)) = ca_bundle {
            builder = builder.tls_certs_only(certificates.iter().cloned());
        }
        let pool = builder.build()?;
        lock(&self.pools).insert(key, pool.clone());
        Ok(pool)
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
        let mut secrets = SecretValues::new(self.secrets.as_ref(), &key.0);
        let token = secrets.value(&spec.token_secret_ref).await?;
        let token_place = place(&key.0, &spec.token_secret_ref);
        let header =
            token_header(&token).ok_or_else(|| invalid(format!("{token_place} is not a token")))?;
        let ca_bundle = match &spec.ca_bundle_ref {
            Some(reference) => {
                let pem = secrets.value(reference).await?;
                let pem = pem.expose_secret().as_bytes();
                let certificates = Certificate::from_pem_bundle(pem)
                    .ok()
                    .filter(|certificates| !certificates.is_empty())
                    .ok_or_else(|| {
                        let place = place(&key.0, reference);
                        invalid(format!("{place} holds no certificates in PEM"))
                    })?;
                Some((Sha256::of(pem), certificates))
            }
            None => None,
        };

        let made_from = MadeFrom {
            uid: connection.metadata.uid.clone(),
            generation: connection.metadata.generation,
            token: Sha256::of(token.expose_secret().as_bytes()),
            ca_bundle: ca_bundle.as_ref().map(|(digest, _)| *digest),
        };
        let pool = self
            .pool(
                ca_bundle
                    .as_ref()
                    .map(|(digest, list)| (digest, list.as_slice())),
            )
            .map_err(|error| invalid(format!("spec.caBundleRef: {}", errors::causes(&error))))?;
        let now = Instant::now();
        let command = connection.annotations().get(annotation::RECONCILE).cloned();
        let mut clients = lock(&self.clients);
        clients.retain(|_, entry| entry.read_at.elapsed() < UNUSED);
        // Another caller may have been here meanwhile, and the Secret may hold what it held before:
        // what was learnt with it stays.
        if let Some(entry) = clients.get_mut(&key)
            && entry.made_from == made_from
        {
            entry.read_at = now;
            entry.command = command;
            return Ok(Arc::clone(&entry.client) as Arc<dyn GitLab>);
        }
        let http = Http::new(
            address,
            pool,
            header,
            token_place,
            spec.requests_per_minute,
            Arc::clone(&self.metrics),
        );
        let client = Arc::new(Client::new(http));
        let entry = Entry {
            made_from,
            command,
            read_at: now,
            client: Arc::clone(&client),
        };
        clients.insert(key, entry);
        Ok(client)
    }
}

/// Secrets of one namespace, each read once.
struct SecretValues<'a> {
    secrets: &'a dyn Secrets,
    namespace: &'a str,
    read: BTreeMap<String, BTreeMap<String, SecretString>>,
}

impl<'a> SecretValues<'a> {
    fn new(secrets: &'a dyn Secrets, namespace: &'a str) -> Self {
        Self {
            secrets,
            namespace,
            read: BTreeMap::new(),
        }
    }

    async fn value(&mut self, reference: &SecretKeyRef) -> Result<SecretString, CallError> {
        if !self.read.contains_key(&reference.name) {
            let values = self.secrets.get(self.namespace, &reference.name).await?;
            self.read.insert(reference.name.clone(), values);
        }
        let values = self.read.get(&reference.name);
        values
            .and_then(|values| values.get(&reference.key))
            .cloned()
            .ok_or_else(|| {
                CallError::new(
                    "read a Secret",
                    format!("Secret {}/{}", self.namespace, reference.name),
                    CallErrorKind::NotFound,
                    format!("it has no key {}", reference.key),
                )
            })
    }
}

fn place(namespace: &str, reference: &SecretKeyRef) -> String {
    format!(
        "key {} of Secret {namespace}/{}",
        reference.key, reference.name
    )
}

/// Without the white space that editors and `echo` leave at the end.
fn token_header(token: &SecretString) -> Option<HeaderValue> {
    let text = token.expose_secret().trim();
    if text.is_empty() {
        return None;
    }
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
