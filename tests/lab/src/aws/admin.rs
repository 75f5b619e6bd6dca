//! The journal of calls, the fault rules and the holds of stacks over HTTP, for interactive use of the lab.
//!
//! - `GET /_lab/calls?since=N`: the calls from the `N`th on, and the mark from which to continue
//! - `GET /_lab/faults`, `POST /_lab/faults` with a rule, `DELETE /_lab/faults/ID`
//!
//! A rule: `{"on": {"service": "lambda", "operation": "UpdateAlias"}, "times": 1, "action": "loseReply"}`.
//! Other actions: `throttle`, `dropRequest`, `holdReply`, `hang`, `{"delay": {"millis": 500}}`,
//! `{"respond": {"status": 500, "code": "ServiceException", "message": "…"}}`.
//!
//! - `POST /_lab/stacks/holds` with a hold, `GET` and `DELETE /_lab/stacks/holds/ID`: operations of a stack stop
//!   at a resource until the hold is deleted
//! - `POST /_lab/stacks/repairs` with `{"stack": "lab-api", "resource": "Table"}`: a `Custom::LabFailure`
//!   resource no longer fails
//!
//! A hold: `{"stack": "lab-api", "resource": "Table", "during": "update"}`. Other parts of an operation:
//! `changeSet`, `create`, `monitor`, `cleanup`, `rollback`, `delete`, `drift`.

use axum::{
    http::{Method, StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    call::query,
    proxy::Proxy,
    reply::Reply,
    rules::Rule,
    stacks::{self, HoldPoint},
};

/// The prefix of all paths here. No bucket can have this name.
pub(super) const PREFIX: &str = "/_lab/";

pub(super) async fn answer(proxy: &Proxy, parts: &Parts, body: &[u8]) -> Response {
    let path: Vec<&str> = parts.uri.path()[PREFIX.len()..].split('/').collect();
    let (status, value) = match (&parts.method, path.as_slice()) {
        (&Method::GET, ["calls"]) => (StatusCode::OK, calls(proxy, parts)),
        (&Method::GET, ["faults"]) => (StatusCode::OK, faults(proxy)),
        (&Method::POST, ["faults"]) => match serde_json::from_slice::<Rule>(body) {
            Ok(rule) => (
                StatusCode::CREATED,
                json!({ "id": proxy.faults.insert(rule) }),
            ),
            Err(error) => refused(&error),
        },
        (&Method::DELETE, ["faults", id]) => {
            removed(id.parse().is_ok_and(|id| proxy.faults.remove(id)))
        }
        (method, ["stacks", rest @ ..]) => stacks(proxy, method, rest, body)
            .await
            .unwrap_or_else(|error| refused(error.as_ref())),
        _ => unknown(),
    };
    Reply::json(status, &value).into_response()
}

fn refused(error: &dyn std::error::Error) -> (StatusCode, Value) {
    let message = json!({ "message": error.to_string() });
    (StatusCode::BAD_REQUEST, message)
}

fn removed(removed: bool) -> (StatusCode, Value) {
    let status = if removed {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    (status, json!({ "removed": removed }))
}

fn unknown() -> (StatusCode, Value) {
    let message = "unknown path: the lab serves calls, faults and stacks only";
    (StatusCode::NOT_FOUND, json!({ "message": message }))
}

/// A resource of type `Custom::LabFailure`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repair {
    stack: String,
    resource: String,
}

async fn stacks(
    proxy: &Proxy,
    method: &Method,
    path: &[&str],
    body: &[u8],
) -> Result<(StatusCode, Value), Box<dyn std::error::Error + Send + Sync>> {
    Ok(match (method, path) {
        (&Method::POST, ["holds"]) => {
            let point: HoldPoint = serde_json::from_slice(body)?;
            let id = stacks::hold(&proxy.backend, &point).await?;
            (StatusCode::CREATED, json!({ "id": id }))
        }
        (&Method::GET, ["holds", id]) => {
            let reached = stacks::is_reached(&proxy.backend, id).await?;
            (StatusCode::OK, json!({ "reached": reached }))
        }
        (&Method::DELETE, ["holds", id]) => removed(stacks::release(&proxy.backend, id).await?),
        (&Method::POST, ["repairs"]) => {
            let Repair { stack, resource } = serde_json::from_slice(body)?;
            stacks::repair(&proxy.backend, &stack, &resource).await?;
            (StatusCode::OK, json!({}))
        }
        _ => unknown(),
    })
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
