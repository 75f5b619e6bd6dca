//! The proxy's client of the emulator. It forwards callers' requests, and sends requests of its own as an
//! account's root user to read the emulator's state.

use std::time::Duration;

use axum::http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RANGE},
};
use bytes::Bytes;
use serde_json::Value;

use super::reply::{Reply, strip_hop_by_hop};
use crate::error::LabError;

/// Shorter than the emulator's idle timeout, so that no connection is reused while it closes.
const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// A client of the emulator.
#[derive(Debug)]
pub(super) struct Backend {
    endpoint: String,
    http: reqwest::Client,
}

fn unreachable(error: &reqwest::Error) -> LabError {
    LabError::new(format!(
        "the AWS emulator did not answer: {error:?}; see its log, ministack.log"
    ))
}

impl Backend {
    pub(super) fn new(endpoint: &str) -> Result<Self, LabError> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(IDLE_LIMIT)
            .no_proxy()
            .build()
            .map_err(|e| LabError::new(format!("cannot make a client of the emulator: {e}")))?;
        Ok(Self {
            endpoint: endpoint.to_owned(),
            http,
        })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Forwards a request unchanged, including its Host header.
    pub(super) async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: Option<reqwest::Body>,
    ) -> Result<reqwest::Response, LabError> {
        strip_hop_by_hop(&mut headers);
        let url = format!("{}{path_and_query}", self.endpoint);
        let mut request = self.http.request(method, &url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let request = request
            .build()
            .map_err(|e| LabError::new(format!("{url}: {e}")))?;
        // Signatures cover the path as it was sent, so a path that the URL changes cannot be forwarded.
        if !url.ends_with(&path_of(request.url())) {
            return Err(LabError::new(format!(
                "{path_and_query} cannot be forwarded unchanged"
            )));
        }
        self.http
            .execute(request)
            .await
            .map_err(|e| unreachable(&e))
    }

    /// Forwards a request and reads the whole response.
    pub(super) async fn exchange(
        &self,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Reply, LabError> {
        let body = (!body.is_empty() || method != Method::GET).then(|| body.into());
        read(self.send(method, path_and_query, headers, body).await?).await
    }

    /// Sends a GET request as the root user of `account`.
    pub(super) async fn ask(
        &self,
        account: &str,
        region: &str,
        service: &str,
        path_and_query: &str,
    ) -> Result<Reply, LabError> {
        let headers = root(account, region, service)?;
        self.exchange(Method::GET, path_and_query, headers, Bytes::new())
            .await
    }

    /// Gets an object as the root user of `account`, reading at most one byte of it.
    pub(super) async fn peek(
        &self,
        account: &str,
        region: &str,
        path_and_query: &str,
    ) -> Result<Reply, LabError> {
        let mut headers = root(account, region, "s3")?;
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        self.exchange(Method::GET, path_and_query, headers, Bytes::new())
            .await
    }

    /// Gets JSON as the root user of `account`; `None` if the emulator answers 404.
    pub(super) async fn ask_json(
        &self,
        account: &str,
        region: &str,
        service: &str,
        path_and_query: &str,
    ) -> Result<Option<Value>, LabError> {
        let reply = self.ask(account, region, service, path_and_query).await?;
        match reply.status {
            StatusCode::OK => Ok(reply.value()),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(LabError::new(format!(
                "the AWS emulator answered {status} to {path_and_query}: {}",
                String::from_utf8_lossy(&reply.body)
            ))),
        }
    }

    /// Calls a service of the query protocol as the root user of `account`, in `us-east-1`.
    pub(super) async fn ask_form(
        &self,
        account: &str,
        service: &str,
        form: &[(&str, &str)],
    ) -> Result<Reply, LabError> {
        self.ask_form_in(account, "us-east-1", service, form).await
    }

    /// [`Backend::ask_form`] in another region.
    pub(super) async fn ask_form_in(
        &self,
        account: &str,
        region: &str,
        service: &str,
        form: &[(&str, &str)],
    ) -> Result<Reply, LabError> {
        let mut headers = root(account, region, service)?;
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        self.exchange(Method::POST, "/", headers, body.into()).await
    }

    /// Calls a service of the JSON protocol as the root user of `account`.
    pub(super) async fn ask_target(
        &self,
        (account, region): (&str, &str),
        service: &str,
        target: &'static str,
        request: &Value,
    ) -> Result<Reply, LabError> {
        let mut headers = root(account, region, service)?;
        let json = HeaderValue::from_static("application/x-amz-json-1.1");
        headers.insert(CONTENT_TYPE, json);
        headers.insert("x-amz-target", HeaderValue::from_static(target));
        let body = request.to_string().into();
        self.exchange(Method::POST, "/", headers, body).await
    }
}

fn path_of(url: &url::Url) -> String {
    url.query().map_or_else(
        || url.path().to_owned(),
        |query| format!("{}?{query}", url.path()),
    )
}

/// The headers of a root user's request. The emulator ignores the signature; the access key names the
/// account.
fn root(account: &str, region: &str, service: &str) -> Result<HeaderMap, LabError> {
    let value = HeaderValue::from_str(&format!(
        "AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    ))
    .map_err(|_| LabError::new("an account id or region is not valid in a header"))?;
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

/// Reads the whole response.
pub(super) async fn read(response: reqwest::Response) -> Result<Reply, LabError> {
    let status = response.status();
    let headers = response.headers().clone();
    let body = response.bytes().await.map_err(|e| unreachable(&e))?;
    Ok(Reply {
        status,
        headers,
        body,
    })
}
