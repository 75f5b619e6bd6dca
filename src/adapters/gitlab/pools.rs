//! Connection pools, shared by all clients that trust the same certificates.
//!
//! Guarantees
//! - A pool is dropped with the last client that uses it.
//! - The number of pools is bounded: the caller drops clients for as long as [`Pools::has_too_many`] says so.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use reqwest::redirect;

use super::secrets::Bundle;
use crate::{adapters::reach::Reach, domain::digest::Sha256};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most idle connections to one host.
const IDLE: usize = 8;
/// The most pools; each has some hundred kilobytes of certificates.
const MAX_POOLS: usize = 64;

/// An HTTP client with its connections, and the CA bundle that it trusts.
pub struct Pool {
    client: reqwest::Client,
    trusts: Option<Sha256>,
}

impl Pool {
    /// Its client.
    pub fn client(&self) -> reqwest::Client {
        self.client.clone()
    }

    /// The digest of the CA bundle, if there is one.
    pub fn trusts(&self) -> Option<Sha256> {
        self.trusts
    }
}

/// Pools by the digest of the CA bundle.
#[derive(Default)]
pub struct Pools(Mutex<HashMap<Option<Sha256>, Weak<Pool>>>);

impl Pools {
    /// The pool that trusts this bundle, or the default certificates without one.
    pub fn get(&self, reach: &Reach, bundle: Option<&Bundle>) -> reqwest::Result<Arc<Pool>> {
        let trusts = bundle.map(|bundle| bundle.digest);
        if let Some(pool) = self.pools().get(&trusts).and_then(Weak::upgrade) {
            return Ok(pool);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(reach.resolver())
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE);
        if let Some(bundle) = bundle {
            builder = builder.tls_certs_only(bundle.certificates.iter().cloned());
        }
        let pool = Arc::new(Pool {
            client: builder.build()?,
            trusts,
        });
        let mut pools = self.pools();
        pools.retain(|_, pool| pool.strong_count() > 0);
        pools.insert(trusts, Arc::downgrade(&pool));
        Ok(pool)
    }

    /// Whether there are more pools than the limit.
    pub fn has_too_many(&self) -> bool {
        let mut pools = self.pools();
        pools.retain(|_, pool| pool.strong_count() > 0);
        pools.len() > MAX_POOLS
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<Option<Sha256>, Weak<Pool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
