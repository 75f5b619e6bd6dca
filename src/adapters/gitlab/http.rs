//! Requests to one GitLab with one token.
//!
//! Guarantees: the token is sent to the configured address only, in a header that is never shown.
//! Redirects are followed by hand: those of the API (a project that moved) by their path, on the same
//! address; those of downloads to wherever they lead, but without the token.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{
    Response, StatusCode,
    header::{
        ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    address::Address,
    budget::Budget,
    cache::{Cache, Kept},
    errors::{Call, Refusal},
};
use crate::{
    adapters::counted::{self, Counted},
    metrics::Metrics,
    ports::{CallError, CallErrorKind},
};

/// How GitLab's own tokens are sent: personal, project, group and service account tokens alike.
const TOKEN_HEADER: &str = "private-token";
/// How long an answer of the API may take, body included.
const ANSWER: Duration = Duration::from_secs(10);
/// The most that is read of an answer of the API.
const ANSWER_BYTES: usize = 16 << 20;
/// The most that is read of a refusal.
const REFUSAL_BYTES: usize = 64 << 10;
/// How often a request may be sent elsewhere.
const HOPS: usize = 3;

/// One GitLab, with one token.
pub struct Http {
    pub(super) address: Address,
    pub(super) client: reqwest::Client,
    token: HeaderValue,
    /// `key token of Secret shop/gitlab`.
    token_place: String,
    budget: Budget,
    cache: Mutex<Cache>,
    token_refused: AtomicBool,
    metrics: Arc<Metrics>,
}

/// An answer and where the list goes on.
pub struct Page<T> {
    /// What was read.
    pub content: T,
    /// The next page's path.
    pub next: Option<String>,
}

/// A request that was not answered with what was asked for.
pub struct Refused {
    /// As the caller may pass it on.
    pub error: CallError,
    /// The thing is not there, but what it would be in is.
    pub absent: bool,
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        Self {
            error,
            absent: false,
        }
    }
}

impl Http {
    pub(super) fn new(
        address: Address,
        client: reqwest::Client,
        mut token: HeaderValue,
        token_place: String,
        requests_per_minute: i32,
        metrics: Arc<Metrics>,
    ) -> Self {
        token.set_sensitive(true);
        Self {
            address,
            client,
            token,
            token_place,
            budget: Budget::new(requests_per_minute),
            cache: Mutex::default(),
            token_refused: AtomicBool::new(false),
            metrics,
        }
    }

    /// Whether GitLab refused the token, so that it is time to see if the Secret holds another one.
    pub(super) fn token_refused(&self) -> bool {
        self.token_refused.load(Ordering::Relaxed)
    }

    /// Names a call for its errors.
    pub(super) fn call(&self, operation: &'static str, thing: &str) -> Call {
        Call {
            operation,
            resource: format!("{thing} on {}", self.address.shown()),
            token: self.token_place.clone(),
        }
    }

    /// Reads one page of the API, from the cache where GitLab says it has not changed.
    pub(super) async fn get<T>(&self, call: &Call, path: &str) -> Result<Page<T>, Refused>
    where
        T: DeserializeOwned + Serialize,
    {
        let kept = self.cache().get(path);
        let mut at = path.to_owned();
        for _ in 0..HOPS {
            let etag = kept.as_ref().map(|kept| kept.etag.as_str());
            let response = self.send(call, &at, Some(ANSWER), etag).await?;
            let status = response.status();
            if let Some(kept) = kept.as_ref().filter(|_| status == StatusCode::NOT_MODIFIED) {
                return Ok(Page {
                    content: read(call, &kept.content)?,
                    next: kept.next.clone(),
                });
            }
            if status == StatusCode::OK {
                return Ok(self.keep(call, path, response).await?);
            }
            at = self.moved_to(call, &at, &response)?;
        }
        Err(call
            .error(CallErrorKind::Invalid, "redirected in circles")
            .into())
    }

    /// Sends one request with the token, when it is its turn. Answered with 200, 304 or a redirect;
    /// whatever else GitLab says is an error.
    ///
    /// This is the one way to GitLab, and so the place where requests are counted.
    pub(super) async fn send(
        &self,
        call: &Call,
        path: &str,
        timeout: Option<Duration>,
        etag: Option<&str>,
    ) -> Result<Response, Refused> {
        self.budget.turn().await.map_err(|wait| {
            call.error(
                CallErrorKind::Throttled {
                    retry_after: Some(wait),
                },
                format!(
                    "not asked: the budget of spec.requestsPerMinute is used up, or GitLab asked \
                     for a pause, for {} s more",
                    wait.as_secs() + 1
                ),
            )
        })?;
        let mut request = self
            .client
            .get(self.address.of(path))
            .header(TOKEN_HEADER, self.token.clone());
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        let counted = Counted::begin(|outcome, took| {
            self.metrics.gitlab_request(call.operation, outcome, took);
        });
        let answer = match request.send().await {
            Ok(response) => self.judged(call, response).await,
            Err(error) => Err(call.no_answer(error).into()),
        };
        counted.ended(match &answer {
            Ok(response) => answered(response.status()),
            Err(refused) => refused.error.kind.class(),
        });
        answer
    }

    async fn judged(&self, call: &Call, response: Response) -> Result<Response, Refused> {
        let status = response.status();
        if status == StatusCode::OK || status == StatusCode::NOT_MODIFIED {
            self.token_refused.store(false, Ordering::Relaxed);
            return Ok(response);
        }
        if status.is_redirection() {
            return Ok(response);
        }
        Err(self.refused(call, response).await)
    }

    /// What an answer that is neither 200 nor a redirect means.
    async fn refused(&self, call: &Call, response: Response) -> Refused {
        let status = response.status().as_u16();
        let retry_after = text(response.headers(), &RETRY_AFTER).map(str::to_owned);
        // A body that breaks off says as much as it says.
        let body = body(response, REFUSAL_BYTES).await.0;
        let refusal = Refusal {
            status,
            retry_after: retry_after.as_deref(),
            body: &String::from_utf8_lossy(&body),
        };
        let error = refusal.classify(call, Timestamp::now());
        match &error.kind {
            CallErrorKind::Unauthenticated => self.token_refused.store(true, Ordering::Relaxed),
            CallErrorKind::Throttled {
                retry_after: Some(wait),
            } => self.budget.hold(*wait),
            _ => {}
        }
        // 400 is the answer to a name that no branch can have.
        let absent = matches!(status, 400 | 404)
            && !refusal.is_about_project()
            && matches!(error.kind, CallErrorKind::NotFound | CallErrorKind::Invalid);
        Refused { error, absent }
    }

    async fn keep<T>(
        &self,
        call: &Call,
        path: &str,
        response: Response,
    ) -> Result<Page<T>, CallError>
    where
        T: DeserializeOwned + Serialize,
    {
        let etag = text(response.headers(), &ETAG).map(str::to_owned);
        let next = next_page(&self.address, path, response.headers());
        let (bytes, complete) = body(response, ANSWER_BYTES).await;
        complete.map_err(|problem| call.error(CallErrorKind::Unavailable, problem))?;
        let content: T = read(call, &bytes)?;
        if let Some(etag) = etag
            && let Ok(content) = serde_json::to_vec(&content)
        {
            let next = next.clone();
            self.cache().put(
                path,
                Kept {
                    etag,
                    content,
                    next,
                },
            );
        }
        Ok(Page { content, next })
    }

    fn moved_to(&self, call: &Call, from: &str, response: &Response) -> Result<String, CallError> {
        let location = text(response.headers(), &LOCATION).unwrap_or_default();
        self.address.own_path(from, location).ok_or_else(|| {
            let host = self.address.of(from).join(location).ok().map_or_else(
                || "an address that can't be read".to_owned(),
                |url| format!("{}://{}", url.scheme(), super::address::origin(&url)),
            );
            call.error(
                CallErrorKind::Invalid,
                format!(
                    "redirected to {host}, where the token is not sent: if GitLab is there, write \
                     its address into spec.url of the GitLabConnection"
                ),
            )
        })
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shared by everything that is read from one instance.
pub type SharedHttp = Arc<Http>;

/// The outcome of a request that was not refused, as a label.
fn answered(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_MODIFIED => "not_modified",
        status if status.is_redirection() => "redirected",
        _ => counted::OK,
    }
}

fn read<T: DeserializeOwned>(call: &Call, bytes: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        if start.trim_start().starts_with('<') {
            call.error(
                CallErrorKind::Unavailable,
                "a web page instead of an answer of the API: spec.url of the GitLabConnection has \
                 to be the address of GitLab with its relative root, and nothing in front of it \
                 may ask for a login",
            )
        } else {
            call.error(
                CallErrorKind::Unavailable,
                format!("an answer that can't be read ({error}): {start:?}"),
            )
        }
    })
}

/// A body up to a limit, and whether that is all of it.
async fn body(mut response: Response, limit: usize) -> (Vec<u8>, Result<(), String>) {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > limit => {
                bytes.extend_from_slice(&chunk[..limit - bytes.len()]);
                return (bytes, Err(format!("an answer of more than {limit} bytes")));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, Ok(())),
            Err(error) => {
                let problem = if error.is_timeout() {
                    "the answer was not complete in time".to_owned()
                } else {
                    super::errors::causes(&error.without_url())
                };
                return (bytes, Err(problem));
            }
        }
    }
}

/// The path of the next page. A `Link` is taken for its query only: its host is what the instance
/// calls itself, not where we reach it.
fn next_page(address: &Address, path: &str, headers: &HeaderMap) -> Option<String> {
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    if let Some(page) = text(headers, &HeaderName::from_static("x-next-page")) {
        let page: u32 = page.trim().parse().ok()?;
        let kept = query
            .split('&')
            .filter(|part| !part.is_empty() && !part.starts_with("page="));
        let query: Vec<&str> = kept.collect();
        let separator = if query.is_empty() { "" } else { "&" };
        return Some(format!("{bare}?{}{separator}page={page}", query.join("&")));
    }
    let link = text(headers, &LINK)?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let target = next.trim().strip_prefix('<')?.split_once('>')?.0;
    let target = address.of(path).join(target).ok()?;
    Some(format!("{bare}?{}", target.query()?))
}

/// A header that is text.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

    use super::*;

    fn next(path: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let address = Address::parse("http://inside/gitlab").unwrap();
        let headers = (headers.iter())
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        next_page(&address, path, &headers)
    }

    #[test]
    fn pages_follow_one_another_on_our_own_address() {
        let path = "/projects/7/x?per_page=100&page=2";
        let link = (
            "link",
            "<https://git.example.com/gitlab/api/v4/projects/7/x?page=1>; \
                     rel=\"first\", <https://git.example.com/y?page=3&per_page=100>; rel=\"next\"",
        );
        let page = |headers: &[_]| next(path, headers);
        let third = Some("/projects/7/x?per_page=100&page=3".to_owned());
        assert_eq!(page(&[("x-next-page", "3")]), third);
        assert_eq!(page(&[("x-next-page", ""), link]), None);
        let third = Some("/projects/7/x?page=3&per_page=100".to_owned());
        assert_eq!(page(&[link]), third);
        assert_eq!(page(&[]), None);
        assert_eq!(
            next("/x", &[("x-next-page", "2")]).as_deref(),
            Some("/x?page=2")
        );
    }
}
