//! Answers, and all forms of GitLab's error bodies.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};

use crate::gitlab::archive::Entry;

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Content,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    Empty,
    Json(Value),
    Text(String),
    /// Streamed; the length is announced only if the header is set.
    Stream(Entry),
}

impl Answer {
    pub fn new(status: u16, body: Content) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub fn json(value: Value) -> Self {
        Self::created(200, value)
    }

    pub fn created(status: u16, value: Value) -> Self {
        Self::new(status, Content::Json(value)).with(header::CONTENT_TYPE, "application/json")
    }

    pub fn empty(status: u16) -> Self {
        Self::new(status, Content::Empty)
    }

    pub fn text(status: u16, content_type: &str, text: impl Into<String>) -> Self {
        Self::new(status, Content::Text(text.into())).with(header::CONTENT_TYPE, content_type)
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// `{"message": …}`: errors of handlers.
    pub fn message(status: u16, text: &str) -> Self {
        Self::created(status, json!({"message": text}))
    }

    /// `{"error": …}`: errors of parameters, routes and tokens.
    pub fn error(status: u16, text: &str) -> Self {
        Self::created(status, json!({"error": text}))
    }

    pub fn unauthorized() -> Self {
        Self::message(401, "401 Unauthorized")
    }

    pub fn forbidden() -> Self {
        Self::message(403, "403 Forbidden")
    }

    pub fn bad_token(description: &str) -> Self {
        Self::created(
            401,
            json!({"error": "invalid_token", "error_description": description}),
        )
    }

    pub fn insufficient_scope(wanted: &[&str]) -> Self {
        let description =
            "The request requires higher privileges than provided by the access token.";
        let body = json!({
            "error": "insufficient_scope",
            "error_description": description,
            "scope": wanted.join(" "),
        });
        Self::created(403, body)
    }

    /// No record has this id.
    pub fn no_record() -> Self {
        Self::message(404, "404 Not found")
    }

    /// The record exists, but not its content, such as an artifact file.
    pub fn nothing() -> Self {
        Self::message(404, "404 Not Found")
    }

    pub fn no_project() -> Self {
        Self::message(404, "404 Project Not Found")
    }

    pub fn no_route() -> Self {
        Self::error(404, "404 Not Found")
    }

    /// Converts it to an HTTP response.
    pub fn into_response(self) -> Response<Body> {
        let body = match self.body {
            Content::Empty => Body::empty(),
            Content::Json(value) => Body::from(value.to_string()),
            Content::Text(text) => Body::from(text),
            Content::Stream(entry) => {
                Body::from_stream(stream::iter(entry.map(Ok::<Bytes, std::io::Error>)))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
