//! Where a tenant's URL may lead: the network is the controller's, and it may reach what its tenants
//! must not.
//!
//! Guarantees
//! - An address that is neither public nor allowed is not connected to. A name is resolved here, and
//!   the connection goes to an address of that very answer: a second answer of a name server, which
//!   might differ, is never asked for.
//! - An address written into the URL, which no resolver is asked for, is judged by [`Reach::judge`]
//!   before it is used.
//!
//! Behind a proxy of the environment it is the proxy that resolves names and connects: what its names
//! lead to is the proxy's to judge. [`Reach::trusting`] lets the proxy itself be found.

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

/// Judges addresses.
#[derive(Clone)]
pub struct Reach(Arc<Rules>);

struct Rules {
    networks: Networks,
    /// The chart's value that lists what is allowed besides.
    setting: &'static str,
    names: Arc<dyn Names>,
    /// Names that the platform team gave itself.
    trusted: BTreeSet<String>,
}

/// An address that may not be asked, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is not asked: it is {what}, and the controller may reach what its tenants must not; \
     the platform team can allow networks with {setting}"
)]
pub struct Refused {
    address: String,
    what: &'static str,
    setting: &'static str,
}

/// Where names are looked up.
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
    /// Public addresses may be asked, and those of the networks in `allowed`, which the platform team
    /// gives in that setting.
    pub fn new(allowed: Vec<IpNet>, setting: &'static str, names: Arc<dyn Names>) -> Self {
        Self::trusting(BTreeSet::new(), allowed, setting, names)
    }

    /// The same, where these names lead wherever they lead: a proxy's.
    pub fn trusting(
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

    /// For the client that is to be held to this.
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(GuardedNames(self.clone()))
    }

    /// Whether a URL may be asked, as far as is known without looking its name up: the connector uses
    /// an address as it stands, and a trusted name is no tenant's to use.
    pub fn judge(&self, url: &Url) -> Result<(), Refused> {
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

/// Names, without the addresses that may not be asked.
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
            // A name with an inner and an outer address: the outer one is as good as any.
            match refused {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// The refusal that an error of a client came from, if it did.
pub fn refusal_within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    chain(error).find_map(|cause| cause.downcast_ref())
}
