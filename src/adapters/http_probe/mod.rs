//! [`HttpProbe`] over reqwest, guarded: tenants write the URL, and the request leaves from the controller's
//! network.
//!
//! Guarantees:
//! - Connections go only to public and allowed addresses. The probe resolves a name itself and connects to an
//!   address of that very answer, so that a second DNS answer, which might differ, is never used. It checks
//!   an address written into the URL before it connects.
//! - The probe follows redirects itself: a few at most, each checked like the first URL, and never from https
//!   to http.
//! - It ignores proxies of the environment: a proxy would resolve and connect without these checks.
//! - It sends nothing of the controller's: no credentials, no cookies, no Referer.
//! - It reads at most the wanted part of a body.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use ipnet::IpNet;
use reqwest::{Client, Method, Response, header::LOCATION, redirect};
use url::Url;

use crate::{
    adapters::{
        causes::causes,
        counted::{Counted, outcome},
        reach::{Names, Reach, Refused, SystemNames, refusal_within},
    },
    api::v1alpha1::HttpMethod,
    domain::check::http::{HttpAnswer, HttpRequest, is_redirect, parse, without_query},
    metrics::Metrics,
    ports::{CallError, CallErrorKind, http::HttpProbe},
};

/// How many redirects a request may follow.
const HOPS: usize = 5;

/// Timeout for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends the requests of URL checks.
pub struct GuardedHttp {
    client: Client,
    reach: Reach,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for GuardedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedHttp")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl GuardedHttp {
    /// Allows public addresses and those of the networks in `allowed`, which the platform team
    /// sets. Counts requests in `metrics`.
    pub fn new(allowed: Vec<IpNet>, metrics: Arc<Metrics>) -> Result<Self, CallError> {
        Self::with_names(allowed, metrics, Arc::new(SystemNames))
    }

    fn with_names(
        allowed: Vec<IpNet>,
        metrics: Arc<Metrics>,
        names: Arc<dyn Names>,
    ) -> Result<Self, CallError> {
        let reach = Reach::new(allowed, "checks.allowedNetworks", names);
        let client = Client::builder()
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(reach.resolver())
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            // Each request has to show that the server accepts connections.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| {
                let kind = CallErrorKind::Unavailable;
                CallError::new("set up HTTPS", "this process", kind, causes(&error))
            })?;
        Ok(Self {
            client,
            reach,
            metrics,
        })
    }

    async fn follow(&self, request: &HttpRequest, call: &Call) -> Result<HttpAnswer, CallError> {
        let mut url = request.url.clone();
        for _ in 0..=HOPS {
            let response = self.send(&url, request.method, call).await?;
            let status = response.status().as_u16();
            if !(request.follow_redirects && is_redirect(status)) {
                return Ok(HttpAnswer {
                    status,
                    body: read_body(response, request.body_limit, call).await?,
                });
            }
            url = next(&url, &response)
                .map_err(|message| call.error(CallErrorKind::Invalid, message))?;
        }
        let message = format!("redirected more than {HOPS} times");
        Err(call.error(CallErrorKind::Invalid, message))
    }

    async fn send(
        &self,
        url: &Url,
        method: HttpMethod,
        call: &Call,
    ) -> Result<Response, CallError> {
        self.reach
            .check(url)
            .map_err(|refused| call.refused(&refused))?;
        let method = match method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
        };
        let sent = self.client.request(method, url.clone()).send().await;
        sent.map_err(|error| match refusal_within(&error) {
            Some(refused) => call.refused(refused),
            None => call.error(CallErrorKind::Unavailable, causes(&error.without_url())),
        })
    }
}

#[async_trait]
impl HttpProbe for GuardedHttp {
    async fn ask(&self, request: &HttpRequest) -> Result<HttpAnswer, CallError> {
        let call = Call::new(request);
        let counted = Counted::begin(|outcome, _| self.metrics.http_probe(outcome));
        let answer = tokio::time::timeout(request.timeout, self.follow(request, &call))
            .await
            .unwrap_or_else(|_| {
                let message = format!("no answer within {} s", request.timeout.as_secs_f32());
                Err(call.error(CallErrorKind::Unavailable, message))
            });
        counted.ended(outcome(&answer));
        answer
    }
}

/// A request, as its errors name it.
struct Call {
    operation: &'static str,
    resource: String,
}

impl Call {
    fn new(request: &HttpRequest) -> Self {
        Self {
            operation: match request.method {
                HttpMethod::Get => "GET",
                HttpMethod::Head => "HEAD",
            },
            resource: without_query(&request.url),
        }
    }

    fn error(&self, kind: CallErrorKind, message: impl Into<String>) -> CallError {
        CallError::new(self.operation, self.resource.clone(), kind, message)
    }

    fn refused(&self, refused: &Refused) -> CallError {
        self.error(CallErrorKind::Denied, refused.to_string())
    }
}

/// The target of a redirect, if the probe may follow it.
fn next(url: &Url, response: &Response) -> Result<Url, String> {
    let location = response.headers().get(LOCATION);
    let location = location
        .and_then(|location| location.to_str().ok())
        .ok_or("redirected without a readable Location header")?;
    let target = url
        .join(location)
        .map_err(|_| "redirected to an invalid URL")?;
    let target = parse(target.as_str())
        .map_err(|problem| format!("redirected to {}, which {problem}", without_query(&target)))?;
    if url.scheme() == "https" && target.scheme() == "http" {
        let shown = without_query(&target);
        return Err(format!("redirected from https to {shown}"));
    }
    Ok(target)
}

/// Reads the first `limit` bytes of a body.
async fn read_body(mut response: Response, limit: usize, call: &Call) -> Result<Bytes, CallError> {
    let mut body = BytesMut::new();
    while body.len() < limit {
        let piece = response.chunk().await.map_err(|error| {
            let message = format!("the response broke off: {}", causes(&error.without_url()));
            call.error(CallErrorKind::Unavailable, message)
        })?;
        let Some(piece) = piece else {
            break;
        };
        let wanted = piece.len().min(limit - body.len());
        body.extend_from_slice(&piece[..wanted]);
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests;
