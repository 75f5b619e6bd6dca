//! The record of an AWS call: caller, operation, resource and outcome.

use axum::http::{HeaderMap, Method, request::Parts};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use url::form_urlencoded;

use super::{
    operation::{self, Operation},
    stacks,
};

/// One request that reached the proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// When the request's headers had arrived.
    pub at: Timestamp,
    /// When the response's headers were ready; `None` as long as there is no status.
    pub answered_at: Option<Timestamp>,
    /// The account of the caller's credentials; for a web identity, that of the requested role.
    pub account: Option<String>,
    /// The region that the request is signed for.
    pub region: Option<String>,
    /// Signing name: `lambda`, `s3`, `sts`…
    pub service: String,
    /// The operation's API name, such as `GetFunction`; method and path of an unknown operation.
    pub operation: String,
    /// Function name, `bucket/key`, role ARN, stack name, or the names of alarms or of a metric.
    pub resource: String,
    /// Version or alias of a function, version id of an object, name of a role session or of a change set.
    pub qualifier: Option<String>,
    /// The HTTP status of the response; `None` while the call is in flight or if it got no response.
    pub status: Option<u16>,
    /// The error code of the response.
    pub error: Option<String>,
    /// Whether the request carried a signature, valid or not.
    pub signed: bool,
    /// Whether a fault was injected into the call.
    pub injected: bool,
}

impl Call {
    /// `service:operation`, such as `lambda:GetFunction`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }

    /// Whether this is `service:operation`.
    pub fn is(&self, service: &str, operation: &str) -> bool {
        self.service == service && self.operation == operation
    }

    /// Whether the call can change state: for Lambda and S3, it is neither a read nor an invocation.
    pub fn is_write(&self) -> bool {
        ![
            "Get",
            "List",
            "Head",
            "Invoke",
            "Describe",
            "DownloadCode",
            "Assume",
            "Validate",
        ]
        .iter()
        .any(|read| self.operation.starts_with(read))
    }
}

/// Caller, region and service, as the request itself states them.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) access_key: Option<String>,
    pub(super) region: Option<String>,
    pub(super) service: String,
}

impl Asked {
    /// Reads the credential scope; the service of an unsigned request follows from its path and content
    /// type.
    pub(super) fn of(parts: &Parts) -> Self {
        if let Some(scope) = header_scope(&parts.headers).or_else(|| query_scope(parts)) {
            let mut fields = scope.split('/');
            let access_key = fields.next().map(str::to_owned);
            let region = fields.nth(1).map(str::to_owned);
            let service = fields.next().unwrap_or_default().to_owned();
            return Self {
                access_key,
                region,
                service,
            };
        }
        Self {
            access_key: None,
            region: None,
            service: unsigned_service(parts).to_owned(),
        }
    }

    /// Whether the body may be large and holds nothing that the proxy needs.
    pub(super) fn has_large_body(&self) -> bool {
        self.service == "s3"
    }

    pub(super) fn operation(&self, parts: &Parts, body: &[u8]) -> Operation {
        match self.service.as_str() {
            "s3" => operation::s3(parts),
            "lambda" => operation::lambda(parts, body),
            "monitoring" => operation::monitoring(parts, body),
            "cloudformation" => stacks::operation(parts, body),
            _ => operation::other(parts, body),
        }
    }
}

fn header_scope(headers: &HeaderMap) -> Option<String> {
    let authorization = headers.get("authorization")?.to_str().ok()?;
    let (_, rest) = authorization.split_once("Credential=")?;
    rest.split(',').next().map(str::to_owned)
}

fn query_scope(parts: &Parts) -> Option<String> {
    query(parts)
        .into_iter()
        .find(|(name, _)| name == "X-Amz-Credential")
        .map(|(_, value)| value)
}

fn unsigned_service(parts: &Parts) -> &'static str {
    let path = parts.uri.path();
    let is_form = parts.headers.get("content-type").is_some_and(|value| {
        value
            .as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    if path.starts_with("/_ministack/lambda-code/") || path.starts_with("/2015-03-31/") {
        "lambda"
    } else if path.starts_with("/_ministack/") {
        "emulator"
    } else if parts.method == Method::POST && path == "/" && is_form {
        "sts"
    } else {
        "s3"
    }
}

/// The query's decoded pairs.
pub(super) fn query(parts: &Parts) -> Vec<(String, String)> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// A path segment or key without its percent-encoding.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
