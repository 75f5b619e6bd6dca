//! TLS clients with their connections, shared by all that trust the same certificates.
//!
//! Guarantees
//! - A pool goes with the last client that uses it.
//! - There is a bounded number of them: [`Pools::get`] says which one has to give way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use reqwest::redirect;

use super::secrets::Bundle;
use crate::{adapters::reach::Reach, domain::digest::Sha256};

const CONNECT: Duration = Duration::from_secs(10);
/// How many connections to one host wait for their next use.
const IDLE: usize = 8;
/// How many pools there are; each has some hundred kilobytes of certificates.
const POOLS: usize = 64;

/// A client with its connections, and what its server's certificates are judged by.
pub struct Pool {
    client: reqwest::Client,
    trusts: Option<Sha256>,
}

impl Pool {
    /// Its client.
    pub fn client(&self) -> reqwest::Client {
        self.client.clone()
    }

    /// The digest of the CA bundle, where there is one.
    pub fn trusts(&self) -> Option<Sha256> {
        self.trusts
    }
}

/// Pools by the digest of the CA bundle.
#[derive(Default)]
pub struct Pools(Mutex<HashMap<Option<Sha256>, Weak<Pool>>>);

impl Pools {
    /// The pool that trusts this.
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
            .connect_timeout(CONNECT)
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

    /// Whether there are more of them than there may be.
    pub fn too_many(&self) -> bool {
        let mut pools = self.pools();
        pools.retain(|_, pool| pool.strong_count() > 0);
        pools.len() > POOLS
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<Option<Sha256>, Weak<Pool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
