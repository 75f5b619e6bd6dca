//! The AWS emulator behind a strict proxy.
//!
//! [`Cloud::start`] provides three accounts (hub, dev and prod), set up as by a platform team, and an
//! endpoint that enforces AWS's rules where the emulator is too lenient, records every call and injects
//! faults on request. Callers under test use [`Cloud::endpoint`]; a test that only inspects state uses
//! [`Cloud::sdk_config`], whose calls are neither recorded nor hit by faults.
//!
//! ```no_run
//! # async fn example(python: &std::path::Path, dir: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
//! use sluice_lab::aws::{Action, Cloud, Pattern, Rule};
//! let cloud = Cloud::start(python, dir).await?;
//! let lost = Rule::once(Pattern::operation("lambda", "UpdateAlias"), Action::LoseReply);
//! let fault = cloud.faults().add(lost);
//! let mark = cloud.mark();
//! // … deliver …
//! assert_eq!(fault.hits(), 1);
//! assert_eq!(cloud.calls_since(mark).named("lambda", "UpdateAlias").count(), 1);
//! # Ok(()) }
//! ```

mod accounts;
mod admin;
mod backend;
mod call;
mod calls;
mod cbor;
mod connection;
mod emulator;
mod journal;
mod keys;
/// Sluice's own table of limits.
#[path = "../../../../src/domain/limits/table.rs"]
pub mod limits;
mod operation;
mod proxy;
mod reply;
mod rules;
mod sigv4;
mod stacks;
mod strict_lambda;
mod to_lambda;
mod web_identity;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use tokio::task::JoinHandle;

use self::{accounts::Accounts, emulator::Emulator, keys::Key, proxy::Proxy};
pub use self::{
    accounts::{AUDIENCE, AccessKey, AccountInfo, EXTERNAL_ID, REGIONS, SUBJECT},
    call::Call,
    calls::Calls,
    rules::{Action, Fault, Faults, Pattern, Rule},
    stacks::{During, StackHold, StackPace},
    strict_lambda::Settle,
};
use crate::{error::LabError, hook::RequestHook, runtime};

/// Options of a [`Cloud`].
#[derive(Clone, Debug)]
pub struct CloudOptions {
    /// Issuer of the tokens that dev's web-identity role trusts.
    pub issuer: String,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self {
            issuer: "https://kubernetes.default.svc".to_owned(),
        }
    }
}

/// A running AWS emulator. Dropping it ends the emulator.
#[derive(Debug)]
pub struct Cloud {
    accounts: Accounts,
    proxy: Arc<Proxy>,
    server: JoinHandle<()>,
    emulator: Emulator,
    base: SdkConfig,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A separate AWS endpoint for one caller. Dropping it closes the endpoint.
#[derive(Debug)]
pub struct HookedEndpoint {
    /// The URL that the caller uses as AWS's endpoint.
    pub endpoint: String,
    server: JoinHandle<()>,
}

impl Drop for HookedEndpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Cloud {
    /// Starts the emulator that is installed beside `python`, with logs and temporary files in `dir`.
    pub async fn start(python: &Path, dir: &Path) -> Result<Self, LabError> {
        Self::start_with(python, dir, CloudOptions::default()).await
    }

    /// [`Cloud::start`] with options.
    pub async fn start_with(
        python: &Path,
        dir: &Path,
        options: CloudOptions,
    ) -> Result<Self, LabError> {
        let (python, dir) = (python.to_owned(), dir.to_owned());
        // Connections belong to the runtime that creates them, and a test's runtime ends with the test.
        let started = runtime::handle().spawn(start_here(python, dir, options));
        started
            .await
            .map_err(|e| LabError::new(format!("starting the AWS emulator panicked: {e}")))?
    }

    /// The endpoint of every service for callers, such as `http://127.0.0.1:41234`.
    ///
    /// SDKs use path-style S3 addresses with it, because the host is an IP address.
    pub fn endpoint(&self) -> &str {
        &self.proxy.endpoint
    }

    /// Opens another endpoint of the same AWS, whose requests pass through `hook`, until the result is
    /// dropped.
    pub async fn open_hooked_endpoint(
        &self,
        hook: Arc<dyn RequestHook>,
    ) -> Result<HookedEndpoint, LabError> {
        let proxy = Arc::clone(&self.proxy);
        let opening = runtime::handle().spawn(async move { proxy::open(&proxy, hook).await });
        let (endpoint, server) = opening
            .await
            .map_err(|e| LabError::new(format!("opening an endpoint of AWS panicked: {e}")))??;
        Ok(HookedEndpoint { endpoint, server })
    }

    /// Hub, dev and prod.
    pub fn accounts(&self) -> &[AccountInfo] {
        &self.accounts.accounts
    }

    /// The account that holds the keys and the artifacts.
    pub fn hub(&self) -> &AccountInfo {
        &self.accounts.accounts[0]
    }

    /// The first account that is delivered to.
    pub fn dev(&self) -> &AccountInfo {
        &self.accounts.accounts[1]
    }

    /// The second account that is delivered to.
    pub fn prod(&self) -> &AccountInfo {
        &self.accounts.accounts[2]
    }

    /// The access key of the hub's user, who may assume every account's `role_arn`.
    pub fn hub_access_key(&self) -> &AccessKey {
        &self.accounts.access_key
    }

    /// The SDK configuration of the root user of `account` (its id), straight to the emulator: calls with
    /// it are not recorded, not held to the proxy's rules and not hit by faults. Tests inspect and prepare
    /// state with it. The SDK uses path-style S3 addresses.
    pub fn sdk_config(&self, account: &str, region: &str) -> SdkConfig {
        let root = Credentials::new(account, "root", None, None, "lab");
        self.config(
            self.emulator.endpoint(),
            region,
            SharedCredentialsProvider::new(root),
        )
    }

    /// The SDK configuration for calls through the proxy, as the controller makes them.
    pub fn caller_config(&self, credentials: SharedCredentialsProvider, region: &str) -> SdkConfig {
        self.config(self.endpoint(), region, credentials)
    }

    fn config(
        &self,
        endpoint: &str,
        region: &str,
        credentials: SharedCredentialsProvider,
    ) -> SdkConfig {
        let builder = self.base.clone().into_builder();
        builder
            .endpoint_url(endpoint)
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials)
            .build()
    }

    /// From now on, web identity tokens must be signed with this key: an ECDSA P-256 public key in X.509
    /// format (DER). Before, any signature is accepted, but there must be one.
    pub fn trust(&self, issuer_key: Vec<u8>) {
        self.proxy.issuer_key.set(issuer_key);
    }

    /// All calls so far.
    pub fn calls(&self) -> Calls {
        self.calls_since(0)
    }

    /// The calls that arrived since [`Cloud::mark`] returned `mark`.
    pub fn calls_since(&self, mark: usize) -> Calls {
        Calls::new(self.proxy.journal.since(mark))
    }

    /// The current end of the record of calls.
    pub fn mark(&self) -> usize {
        self.proxy.journal.len()
    }

    /// The fault rules for future calls.
    pub fn faults(&self) -> &Faults {
        &self.proxy.faults
    }

    /// Sets how long changes that begin from now on take to settle.
    pub fn set_settle(&self, settle: Settle) {
        self.proxy.book.set_settle(settle);
    }

    /// [`Cloud::set_settle`] for functions of this name only, in all accounts and regions.
    pub fn set_settle_of(&self, function: &str, settle: Settle) {
        self.proxy.book.set_settle_of(function, settle);
    }

    /// Settles all pending changes of functions of this name, down to the emulator's half a second.
    pub fn settle_now(&self, function: &str) {
        self.proxy.book.settle_now(function);
    }
}

/// The base of every SDK configuration of the lab: clock and timers, but no connection pool and no identity
/// cache, which belong to one test's runtime.
async fn base_config() -> SdkConfig {
    let loaded = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(REGIONS[0]))
        .no_credentials()
        .load()
        .await;
    let mut builder = loaded.into_builder();
    builder.set_http_client(None).set_identity_cache(None);
    builder.build()
}

async fn start_here(
    python: PathBuf,
    dir: PathBuf,
    options: CloudOptions,
) -> Result<Cloud, LabError> {
    let emulator = Emulator::start(&python, &dir).await?;
    let accounts = accounts::create(&python, emulator.endpoint(), &options.issuer).await?;
    let (proxy, server) = proxy::start(emulator.endpoint()).await?;
    let key = &accounts.access_key;
    proxy.keys.learn(Key {
        id: key.id.clone(),
        account: accounts.accounts[0].id.clone(),
        secret: Some(key.secret.clone()),
        token: None,
    });
    Ok(Cloud {
        accounts,
        proxy,
        server,
        emulator,
        base: base_config().await,
    })
}
