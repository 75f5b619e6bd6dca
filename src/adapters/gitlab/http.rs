//! Requests to one instance with one token.
//!
//! Guarantees
//! - The token is sent to the configured address only, in a header that is never shown.
//! - Redirects are not followed by the HTTP client: those of the API (a project that moved) are followed by
//!   their path, on the same address; those of downloads to any allowed address, but without the token.
//! - A token that GitLab refused is not sent again for minutes, longer after each refusal.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{
    Response, StatusCode,
    header::{ETAG, IF_NONE_MATCH, LOCATION, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::{
    address::Address,
    answer::{self, Reader, next_page, text},
    budget::Budget,
    cache::{ClientCache, Kept},
    errors::{Call, Refusal},
    pools::Pool,
    secrets::Token,
};
use crate::{
    adapters::{
        counted::{self, Counted},
        reach::Reach,
    },
    fair_semaphore::FairSemaphore,
    metrics::Metrics,
    ports::{
        CallError, CallErrorKind,
        as_of::AsOf,
        validators::{Validator, Validators},
    },
};

/// The header of GitLab's own tokens: personal, project, group and service account tokens alike.
const TOKEN_HEADER: &str = "private-token";
/// Timeout for a response of the API, body included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a refused token is not sent again: after the first refusal, and at most.
const REFUSED: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(15));
/// How many requests one read may take, redirects included.
const HOPS: usize = 3;

/// One instance with one token.
pub struct Http {
    pub(super) address: Address,
    pub(super) client: reqwest::Client,
    pub(super) reach: Reach,
    /// Keeps the pool alive.
    _pool: Arc<Pool>,
    namespace: String,
    token: Token,
    budget: Budget,
    reader: Reader,
    cache: ClientCache,
    /// Callers that read the same path as of the same moment wait for the first one's response.
    asked: Arc<FairSemaphore>,
    refused: Mutex<Option<RefusedToken>>,
    metrics: Arc<Metrics>,
}

/// The parts of an [`Http`].
pub struct Setup {
    pub address: Address,
    pub pool: Arc<Pool>,
    pub reach: Reach,
    pub namespace: String,
    pub token: Token,
    pub budget: Budget,
    pub reader: Reader,
    pub cache: ClientCache,
    pub metrics: Arc<Metrics>,
}

/// A token that GitLab refused.
struct RefusedToken {
    /// GitLab's message.
    message: String,
    times: u32,
    until: Instant,
}

/// A response and the path of the next page.
pub struct Page<T> {
    /// What was read.
    pub content: T,
    /// The next page's path.
    pub next: Option<String>,
    /// How many bytes its content has.
    pub bytes: usize,
}

/// A page and its ETag, if it has one.
type Tagged<T> = (Page<T>, Option<String>);

/// A request that did not return what it asked for.
pub struct Refused {
    /// The error for the caller.
    pub error: CallError,
    /// The resource is missing, but its project exists.
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
    pub(super) fn new(setup: Setup) -> Self {
        Self {
            address: setup.address,
            client: setup.pool.client(),
            reach: setup.reach,
            _pool: setup.pool,
            namespace: setup.namespace,
            token: setup.token,
            budget: setup.budget,
            reader: setup.reader,
            cache: setup.cache,
            asked: FairSemaphore::new(usize::MAX, 1),
            refused: Mutex::default(),
            metrics: setup.metrics,
        }
    }

    /// Whether GitLab refused the token, so that its Secret has to be read again.
    pub(super) fn is_token_refused(&self) -> bool {
        self.refused().is_some()
    }

    /// Allows a refused token to be sent again.
    pub(super) fn clear_refusal(&self) {
        *self.refused() = None;
    }

    /// A call, as its errors name it.
    pub(super) fn call(&self, operation: &'static str, thing: &str) -> Call {
        Call {
            operation,
            resource: format!("{thing} on {}", self.address.shown()),
            token: self.token.place.clone(),
        }
    }

    /// Reads one page of the API: from the cache if GitLab says that it has not changed, or if it
    /// was requested late enough ([`AsOf`]).
    pub(super) async fn get<T>(&self, call: &Call, path: &str) -> Result<Page<T>, Refused>
    where
        T: DeserializeOwned + Serialize,
    {
        let got = self.get_as_of(call, path).await;
        let etag = got.as_ref().ok().and_then(|(_, etag)| etag.clone());
        let validator = etag.map(|value| Validator {
            operation: call.operation,
            value,
        });
        Validators::note(path, validator);
        got.map(|(page, _)| page)
    }

    /// Whether this ETag is still current in GitLab. Nothing else is read.
    pub(super) async fn is_etag_current(
        &self,
        call: &Call,
        path: &str,
        etag: &str,
    ) -> Result<bool, Refused> {
        let _first = self.asked.acquire(path).await;
        let kept = self.cache.get(path).filter(|kept| kept.etag == etag);
        if let (Some(kept), Some(moment)) = (&kept, AsOf::current())
            && kept.is_as_of(moment)
        {
            return Ok(true);
        }
        let asked_at = Instant::now();
        let response = self
            .send(call, path, Some(ANSWER_TIMEOUT), Some(etag))
            .await?;
        let still = response.status() == StatusCode::NOT_MODIFIED
            || text(response.headers(), &ETAG) == Some(etag);
        if let Some(kept) = kept.filter(|_| still) {
            kept.confirm(asked_at);
        }
        Ok(still)
    }

    async fn get_as_of<T>(&self, call: &Call, path: &str) -> Result<Tagged<T>, Refused>
    where
        T: DeserializeOwned + Serialize,
    {
        let Some(moment) = AsOf::current() else {
            return self.ask(call, path).await;
        };
        let _first = self.asked.acquire(path).await;
        match self.cache.get(path).filter(|kept| kept.is_as_of(moment)) {
            Some(kept) => Ok(page_of(call, &kept)?),
            None => self.ask(call, path).await,
        }
    }

    async fn ask<T>(&self, call: &Call, path: &str) -> Result<Tagged<T>, Refused>
    where
        T: DeserializeOwned + Serialize,
    {
        let kept = self.cache.get(path);
        let asked_at = Instant::now();
        let mut at = path.to_owned();
        for _ in 0..HOPS {
            let etag = kept.as_ref().map(|kept| kept.etag.as_str());
            let response = self.send(call, &at, Some(ANSWER_TIMEOUT), etag).await?;
            let status = response.status();
            if let Some(kept) = kept.as_ref().filter(|_| status == StatusCode::NOT_MODIFIED) {
                kept.confirm(asked_at);
                return Ok(page_of(call, kept)?);
            }
            if status == StatusCode::OK {
                return Ok(self.keep(call, path, response, asked_at).await?);
            }
            at = self.moved_to(call, &at, &response)?;
        }
        Err(call
            .error(CallErrorKind::Invalid, "redirected in a loop")
            .into())
    }

    /// Sends one request with the token when its turn comes. Returns responses with status 200, 304
    /// or a redirect; any other status is an error.
    ///
    /// All requests to the API pass here, and so are counted here.
    pub(super) async fn send(
        &self,
        call: &Call,
        path: &str,
        timeout: Option<Duration>,
        etag: Option<&str>,
    ) -> Result<Response, Refused> {
        self.check_token(call)?;
        let url = self.address.of(path);
        self.reach
            .check(&url)
            .map_err(|refused| call.out_of_reach(&refused))?;
        self.budget.turn().await.map_err(|refused| {
            let retry_after = Some(refused.wait);
            let seconds = refused.wait.as_secs() + 1;
            call.error(
                CallErrorKind::Throttled { retry_after },
                format!("no requests for another {seconds} s: {}", refused.why),
            )
        })?;
        let mut request = self
            .client
            .get(url)
            .header(TOKEN_HEADER, self.token.header.clone());
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
            Ok(response) => self.accepted(call, response, etag.is_some()).await,
            Err(error) => Err(call.no_response(error).into()),
        };
        counted.ended(match &answer {
            Ok(response) => answered(response.status()),
            Err(refused) => refused.error.kind.class(),
        });
        answer
    }

    /// Returns GitLab's error if it refused the token a short while ago.
    fn check_token(&self, call: &Call) -> Result<(), CallError> {
        let now = Instant::now();
        let refused = self.refused();
        let Some(refused) = refused.as_ref().filter(|refused| refused.until > now) else {
            return Ok(());
        };
        // The message has no countdown, which would change the status at every reconcile.
        Err(call.error(CallErrorKind::Unauthenticated, refused.message.clone()))
    }

    fn note_refused_token(&self, message: &str) {
        let mut refused = self.refused();
        let times = refused.as_ref().map_or(0, |refused| refused.times);
        let (first, last) = REFUSED;
        let wait = first.saturating_mul(1 << times.min(16)).min(last);
        *refused = Some(RefusedToken {
            message: message.to_owned(),
            times: times.saturating_add(1),
            until: Instant::now() + wait,
        });
    }

    fn refused(&self) -> MutexGuard<'_, Option<RefusedToken>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accepted(
        &self,
        call: &Call,
        response: Response,
        conditional: bool,
    ) -> Result<Response, Refused> {
        let status = response.status();
        if status == StatusCode::OK || conditional && status == StatusCode::NOT_MODIFIED {
            self.clear_refusal();
            return Ok(response);
        }
        if is_redirect(status) {
            return Ok(response);
        }
        Err(self.refusal(call, response).await)
    }

    /// The error of a response that is neither 200 nor a redirect.
    async fn refusal(&self, call: &Call, response: Response) -> Refused {
        let status = response.status().as_u16();
        let retry_after = text(response.headers(), &RETRY_AFTER).map(str::to_owned);
        let body = answer::refusal(response).await;
        let refusal = Refusal {
            status,
            retry_after: retry_after.as_deref(),
            body: &String::from_utf8_lossy(&body),
        };
        let error = refusal.classify(call, Timestamp::now());
        match &error.kind {
            CallErrorKind::Unauthenticated => self.note_refused_token(&error.message),
            CallErrorKind::Throttled {
                retry_after: Some(wait),
            } => self.budget.hold(*wait),
            _ => {}
        }
        // GitLab answers 400 to a name that no branch can have.
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
        asked_at: Instant,
    ) -> Result<Tagged<T>, CallError>
    where
        T: DeserializeOwned + Serialize,
    {
        let etag = text(response.headers(), &ETAG).map(str::to_owned);
        let next = next_page(&self.address, path, response.headers());
        let answer = self.reader.answer(call, &self.namespace, path, response);
        let content: T = answer::parse(call, &answer.await?)?;
        // Only the parsed fields are cached and counted.
        let parsed = serde_json::to_vec(&content).unwrap_or_default();
        let bytes = parsed.len();
        if let Some(etag) = etag.clone()
            && bytes > 0
        {
            let kept = Kept {
                etag,
                content: parsed,
                next: next.clone(),
                asked_at: Mutex::new(asked_at),
            };
            self.cache.put(path, kept);
        }
        let page = Page {
            content,
            next,
            bytes,
        };
        Ok((page, etag))
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
}

/// Shared by all reads of one instance.
pub type SharedHttp = Arc<Http>;

/// A page from the cache.
fn page_of<T: DeserializeOwned>(call: &Call, kept: &Kept) -> Result<Tagged<T>, CallError> {
    let page = Page {
        content: answer::parse(call, &kept.content)?,
        next: kept.next.clone(),
        bytes: kept.content.len(),
    };
    Ok((page, Some(kept.etag.clone())))
}

/// The outcome of a request that was not refused, as a metric label.
fn answered(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_MODIFIED => "not_modified",
        status if status.is_redirection() => "redirected",
        _ => counted::OK,
    }
}

/// Whether a response redirects to another URL.
pub fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
