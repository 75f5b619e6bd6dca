//! The journal of calls and the fault rules over HTTP, for interactive use of the lab.
//!
//! - `GET /_lab/calls?since=N`: the calls from the `N`th on, and the mark from which to continue
//! - `GET /_lab/faults`, `POST /_lab/faults` with a rule, `DELETE /_lab/faults/ID`
//!
//! A rule: `{"on": {"service": "lambda", "operation": "UpdateAlias"}, "times": 1, "action": "loseReply"}`.
//! Other actions: `throttle`, `dropRequest`, `holdReply`, `hang`, `{"delay": {"millis": 500}}`,
//! `{"respond": {"status": 500, "code": "ServiceException", "message": "…"}}`.

use axum::{
    http::{Method, StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{call::query, proxy::Proxy, reply::Reply, rules::Rule};

/// The prefix of all paths here. No bucket can have this name.
pub(super) const PREFIX: &str = "/_lab/";

pub(super) fn answer(proxy: &Proxy, parts: &Parts, body: &[u8]) -> Response {
    let path: Vec<&str> = parts.uri.path()[PREFIX.len()..].split('/').collect();
    let (status, value) = match (&parts.method, path.as_slice()) {
        (&Method::GET, ["calls"]) => (StatusCode::OK, calls(proxy, parts)),
        (&Method::GET, ["faults"]) => (StatusCode::OK, faults(proxy)),
        (&Method::POST, ["faults"]) => match serde_json::from_slice::<Rule>(body) {
            Ok(rule) => (
                StatusCode::CREATED,
                json!({ "id": proxy.faults.insert(rule) }),
            ),
            Err(error) => (
                StatusCode::BAD_REQUEST,
                json!({ "message": error.to_string() }),
            ),
        },
        (&Method::DELETE, ["faults", id]) => {
            let removed = id.parse().is_ok_and(|id| proxy.faults.remove(id));
            let status = if removed {
                StatusCode::OK
            } else {
                StatusCode::NOT_FOUND
            };
            (status, json!({ "removed": removed }))
        }
        _ => (
            StatusCode::NOT_FOUND,
            json!({ "message": "unknown path: the lab serves calls and faults only" }),
        ),
    };
    Reply::json(status, &value).into_response()
}

fn calls(proxy: &Proxy, parts: &Parts) -> Value {
    let since = query(parts).into_iter().find(|(name, _)| name == "since");
    let since = since
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or_default();
    let calls = proxy.journal.since(since);
    json!({ "mark": since + calls.len(), "calls": calls })
}

fn faults(proxy: &Proxy) -> Value {
    let list = proxy.faults.list();
    list.into_iter()
        .map(|(id, rule, hits)| json!({ "id": id, "rule": rule, "hits": hits }))
        .collect()
}
