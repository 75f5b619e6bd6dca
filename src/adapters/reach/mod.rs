//! The addresses that tenants' URLs may lead to. Requests leave from the controller's network, which may
//! reach services that tenants must not.
//!
//! Guarantees
//! - Connections go only to public and allowed addresses. A name is resolved here, and the connection goes to
//!   an address of that very answer, so that a second DNS answer, which might differ, is never used.
//! - [`Reach::judge`] checks an address written into the URL, for which no resolver is asked, before it is
//!   used.
//!
//! A proxy of the environment resolves names and connects itself, so it also has to check the addresses.
//! [`Reach::with_trusted_names`] allows the proxy's own name.

mod networks;

use std::{
    collections::BTreeSet,
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use self::networks::Networks;
use super::causes::chain;

/// Checks addresses.
#[derive(Clone)]
pub struct Reach(Arc<Rules>);

struct Rules {
    networks: Networks,
    /// The chart value that lists the additionally allowed networks.
    setting: &'static str,
    names: Arc<dyn Names>,
    /// Names that the platform team configured.
    trusted: BTreeSet<String>,
}

/// A refused address, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is not requested: it is {what}, which tenants must not reach through the controller; \
     the platform team can allow networks with {setting}"
)]
pub struct Refused {
    address: String,
    what: &'static str,
    setting: &'static str,
}

/// Resolves names.
pub trait Names: Send + Sync {
    /// The addresses of a name.
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
pub struct SystemNames;

impl Names for SystemNames {
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

impl Reach {
    /// Allows public addresses and those of the networks in `allowed`, which the platform team sets
    /// in `setting`.
    pub fn new(allowed: Vec<IpNet>, setting: &'static str, names: Arc<dyn Names>) -> Self {
        Self::with_trusted_names(BTreeSet::new(), allowed, setting, names)
    }

    /// Like [`Self::new`], but the names in `trusted`, those of proxies, may lead to any address.
    pub fn with_trusted_names(
        trusted: BTreeSet<String>,
        allowed: Vec<IpNet>,
        setting: &'static str,
        names: Arc<dyn Names>,
    ) -> Self {
        Self(Arc::new(Rules {
            networks: Networks::new(allowed),
            setting,
            names,
            trusted,
        }))
    }

    /// The resolver for a client that has to keep these rules.
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(GuardedNames(self.clone()))
    }

    /// Checks a URL without resolving its name: a connector uses a literal address without asking a
    /// resolver, and tenants must not use a trusted name.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        let refusal = match url.host() {
            Some(Host::Ipv4(address)) => self.refusal(address.into()),
            Some(Host::Ipv6(address)) => self.refusal(address.into()),
            Some(Host::Domain(name)) if self.0.trusted.contains(name) => {
                Some(self.refused(name.to_owned(), "the controller's own proxy"))
            }
            Some(Host::Domain(_)) | None => None,
        };
        refusal.map_or(Ok(()), Err)
    }

    fn refusal(&self, address: IpAddr) -> Option<Refused> {
        let what = self.0.networks.refusal(address)?;
        Some(self.refused(address.to_canonical().to_string(), what))
    }

    fn refused(&self, address: String, what: &'static str) -> Refused {
        Refused {
            address,
            what,
            setting: self.0.setting,
        }
    }
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reach").field(&self.0.networks).finish()
    }
}

/// A resolver that leaves out refused addresses.
struct GuardedNames(Reach);

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        let name = name.as_str().to_owned();
        let found = reach.0.names.lookup(name.clone());
        Box::pin(async move {
            let trusted = reach.0.trusted.contains(&name);
            let mut allowed = Vec::new();
            let mut refused = None;
            for address in found.await? {
                match reach.refusal(address) {
                    Some(refusal) if !trusted => refused = Some(refusal),
                    _ => allowed.push(SocketAddr::new(address, 0)),
                }
            }
            // If a name has internal and public addresses, the public ones will do.
            match refused {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// The refusal among the causes of a client's error, if there is one.
pub fn refusal_within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    chain(error).find_map(|cause| cause.downcast_ref())
}
