//! Responses that were read whole, and errors in the format of the called service.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{cbor, keys::element};

const CBOR: &str = "application/cbor";

/// Headers that belong to one connection, not to the message.
const HOP_BY_HOP: [&str; 4] = ["connection", "keep-alive", "transfer-encoding", "upgrade"];

/// Removes the headers that must not be forwarded.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A response with its body.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            status,
            headers,
            body: value.to_string().into(),
        }
    }

    fn cbor(status: StatusCode, members: &[(&str, &str)]) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CBOR));
        let protocol = HeaderValue::from_static("rpc-v2-cbor");
        headers.insert(HeaderName::from_static("smithy-protocol"), protocol);
        Self {
            status,
            headers,
            body: cbor::map(members).into(),
        }
    }

    fn xml(status: StatusCode, text: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        Self {
            status,
            headers,
            body: text.into(),
        }
    }

    /// An error in `service`'s format. It has no request id, because the real service was not called.
    pub(super) fn error(service: &str, status: u16, code: &str, message: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let escaped = message.replace('&', "&amp;").replace('<', "&lt;");
        match service {
            "s3" => Self::xml(
                status,
                format!("<Error><Code>{code}</Code><Message>{escaped}</Message></Error>"),
            ),
            "monitoring" => Self::cbor(status, &[("__type", code), ("message", message)]),
            "sts" | "iam" | "cloudformation" => Self::xml(
                status,
                format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
                     <Message>{escaped}</Message></Error></ErrorResponse>"
                ),
            ),
            _ => {
                let mut reply = Self::json(status, &json!({ "Type": "User", "message": message }));
                if let Ok(value) = HeaderValue::from_str(code) {
                    reply
                        .headers
                        .insert(HeaderName::from_static("x-amzn-errortype"), value);
                }
                reply
            }
        }
    }

    /// The service's own throttling error.
    pub(super) fn throttled(service: &str) -> Self {
        match service {
            "s3" => Self::error(service, 503, "SlowDown", "Please reduce your request rate."),
            "lambda" => Self {
                ..Self::error(service, 429, "TooManyRequestsException", "Rate exceeded")
            },
            _ => Self::error(service, 400, "Throttling", "Rate exceeded"),
        }
    }

    /// A failure of the proxy itself: a 500 with a code of its own.
    pub(super) fn failure(service: &str, message: &str) -> Self {
        Self::error(service, 500, "LabFailure", message)
    }

    /// The error code of an error response.
    pub(super) fn error_code(&self) -> Option<String> {
        if self.status.as_u16() < 400 {
            return None;
        }
        let header = self
            .headers
            .get("x-amzn-errortype")
            .and_then(|value| value.to_str().ok());
        if let Some(code) = header {
            return code.split([':', '#']).next().map(str::to_owned);
        }
        if self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == CBOR)
        {
            let code = cbor::texts_under(&self.body, "__type").pop()?;
            return code.rsplit('#').next().map(str::to_owned);
        }
        if let Ok(value) = serde_json::from_slice::<Value>(&self.body) {
            let code = value["__type"].as_str().or(value["code"].as_str())?;
            return code.rsplit('#').next().map(str::to_owned);
        }
        element(&String::from_utf8_lossy(&self.body), "Code").map(str::to_owned)
    }

    /// The body as JSON; `None` if it is not JSON.
    pub(super) fn value(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Replaces the body.
    pub(super) fn set_value(&mut self, value: &Value) {
        self.body = value.to_string().into();
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        // The body may have been rewritten; the server sets its length.
        response.headers_mut().remove("content-length");
        strip_hop_by_hop(response.headers_mut());
        response
    }
}
