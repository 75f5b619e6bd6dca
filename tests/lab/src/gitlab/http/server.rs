//! Serves both origins: records each request, applies faults, and adds GitLab's common headers: request id,
//! rate limit, weak entity tags.

use std::{
    convert::Infallible,
    sync::{Arc, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use axum::{
    Router,
    body::{Body, HttpBody, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header, request::Parts},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    access::{self, CREDENTIAL_HEADERS},
    answer::{Answer, Content},
    call::{Call, Site},
    control,
    query::Query,
    storage,
    wire::{Cut, CuttableListener},
};
use crate::{
    gitlab::{FaultAction, Origin, RequestRecord, simulator::Shared},
    hook::{Fault, Point, RequestHook, RequestInfo},
    runtime,
};

/// The largest request body. GitLab's API needs far less; uploads to the control need more.
const BODY_LIMIT: usize = 256 * 1024 * 1024;
const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
     <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

/// The state of one listener.
#[derive(Clone)]
struct Served {
    shared: Arc<Shared>,
    origin: Origin,
    /// The addresses in links.
    site: Site,
    hook: Option<Arc<dyn RequestHook>>,
    stopped: CancellationToken,
}

/// Serves one origin until `stopped` is cancelled.
pub fn spawn(
    listener: TcpListener,
    origin: Origin,
    shared: Arc<Shared>,
    stopped: CancellationToken,
) {
    let site = shared.site.clone();
    let served = Served {
        shared,
        origin,
        site,
        hook: None,
        stopped,
    };
    serve_on(listener, served);
}

/// Serves GitLab through a hooked endpoint, with links to its address, until `stopped` is cancelled.
pub fn open(
    listener: TcpListener,
    site: Site,
    hook: Arc<dyn RequestHook>,
    shared: Arc<Shared>,
    stopped: CancellationToken,
) {
    let served = Served {
        shared,
        origin: Origin::GitLab,
        site,
        hook: Some(hook),
        stopped,
    };
    serve_on(listener, served);
}

fn serve_on(listener: TcpListener, served: Served) {
    let stopped = served.stopped.clone();
    let app = Router::new().fallback(serve).with_state(served);
    let serving = axum::serve(
        CuttableListener(listener),
        app.into_make_service_with_connect_info::<Cut>(),
    );
    let serving = serving.with_graceful_shutdown(stopped.cancelled_owned());
    runtime::handle().spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the GitLab simulator stopped serving");
        }
    });
}

async fn serve(
    State(served): State<Served>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return Ok(Answer::error(413, "Request Entity Too Large").into_response());
    };
    let path = parts.uri.path().to_owned();
    if let Some(rest) = path
        .strip_prefix("/_lab/")
        .filter(|_| served.origin == Origin::GitLab)
    {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        return Ok(
            control::answer(&served.shared, parts.method.as_str(), rest, &query, &body)
                .into_response(),
        );
    }
    let index = served.shared.log.begin(record(served.origin, &parts));
    let request_info = request_info(&parts);
    let at = async |point| match &served.hook {
        Some(hook) => hook.at(&request_info, point).await,
        None => None,
    };
    let fault = match at(Point::Before).await {
        Some(fault) => Some(to_action(fault)),
        None => served.shared.faults.take(parts.method.as_str(), &path),
    };
    let mut token_name = None;
    let (answer, cut_after) = match fault {
        Some(FaultAction::Hang) => {
            served.stopped.cancelled().await;
            cut.now();
            return Ok(Response::new(Body::empty()));
        }
        Some(FaultAction::Drop) => {
            cut.now();
            return Ok(Response::new(Body::empty()));
        }
        Some(FaultAction::Delay { millis }) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            (answer(&served, &parts, &mut token_name), None)
        }
        Some(FaultAction::Truncate { after }) => {
            (answer(&served, &parts, &mut token_name), Some(after))
        }
        Some(other) => (faulty(&other), None),
        None => (answer(&served, &parts, &mut token_name), None),
    };
    at(Point::Done).await;
    let answer = finished(&served, answer, &parts);
    served.shared.log.answered(index, answer.status, token_name);
    let response = answer.into_response();
    at(Point::Answered).await;
    Ok(match cut_after {
        None => response,
        Some(after) => truncated(response, after),
    })
}

fn request_info(parts: &Parts) -> RequestInfo {
    RequestInfo {
        service: "gitlab".to_owned(),
        operation: parts.method.to_string(),
        resource: parts.uri.path().to_owned(),
        account: None,
        session: None,
        is_write: parts.method != Method::GET,
    }
}

/// Converts a hook's fault into GitLab's form. Sluice only reads from GitLab, so a lost reply is the
/// same as a connection that ends.
fn to_action(fault: Fault) -> FaultAction {
    match fault {
        Fault::Throttled => FaultAction::Throttled { retry_after: 1 },
        Fault::Unavailable => FaultAction::BadGateway,
        Fault::Expired => FaultAction::Respond {
            status: 401,
            content_type: "application/json".to_owned(),
            body: r#"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}"#.to_owned(),
        },
        Fault::Refused => FaultAction::Maintenance,
        Fault::Unsent | Fault::ReplyLost => FaultAction::Drop,
        Fault::Silent | Fault::Stale => FaultAction::Hang,
    }
}

fn record(origin: Origin, parts: &Parts) -> RequestRecord {
    let query = parts.uri.query().unwrap_or_default();
    let in_query = ["private_token=", "access_token=", "job_token="]
        .iter()
        .any(|name| query.contains(name));
    RequestRecord {
        at: Timestamp::now(),
        origin,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: query.to_owned(),
        status: None,
        conditional: parts.headers.contains_key(header::IF_NONE_MATCH),
        credential: in_query
            || CREDENTIAL_HEADERS
                .iter()
                .any(|name| parts.headers.contains_key(*name)),
        token_name: None,
    }
}

fn answer(served: &Served, parts: &Parts, token_name: &mut Option<String>) -> Answer {
    let shared = &*served.shared;
    let now = Timestamp::now();
    let raw_query = parts.uri.query().unwrap_or_default();
    let query = Query::parse(raw_query);
    let transport = shared.transport();
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    if served.origin == Origin::Storage {
        return storage::answer(
            &state,
            parts.method.as_str(),
            parts.uri.path(),
            &query,
            &parts.headers,
            now,
        );
    }
    let Some(below) = parts.uri.path().strip_prefix(&shared.root) else {
        return no_page();
    };
    if below.starts_with("/api/v3/") {
        return Answer::error(410, "API V3 is no longer supported. Use API V4 instead.");
    }
    let Some(path) = below.strip_prefix("/api/v4/") else {
        return no_page();
    };
    let identity = match access::authenticate(&mut state, &parts.headers, &query, now) {
        Ok(identity) => identity,
        Err(refused) => return refused,
    };
    *token_name = identity
        .as_ref()
        .map(|identity| identity.token_name.clone());
    let mut call = Call {
        state: &mut state,
        site: &served.site,
        transport,
        method: parts.method.as_str(),
        path,
        raw_query,
        query,
        headers: &parts.headers,
        identity,
        now,
    };
    call.answer()
}

fn no_page() -> Answer {
    Answer::text(
        404,
        "text/html; charset=utf-8",
        "<!DOCTYPE html>\n<html><body><h1>404</h1></body></html>\n",
    )
}

fn faulty(action: &FaultAction) -> Answer {
    let wait = |answer: Answer, seconds: u64| answer.with(header::RETRY_AFTER, seconds.to_string());
    match action {
        FaultAction::Respond {
            status,
            content_type,
            body,
        } => Answer::text(*status, content_type, body),
        FaultAction::Throttled { retry_after } => {
            let at = Timestamp::now()
                .as_second()
                .saturating_add_unsigned(*retry_after);
            wait(
                Answer::text(429, "text/plain", "Retry later\n"),
                *retry_after,
            )
            .with(HeaderName::from_static("ratelimit-remaining"), "0")
            .with(HeaderName::from_static("ratelimit-reset"), at.to_string())
        }
        FaultAction::ApplicationLimit { retry_after } => {
            let text = "This endpoint has been requested too many times. Try again later.";
            let body = serde_json::json!({"message": {"error": text}});
            wait(Answer::created(429, body), *retry_after)
        }
        FaultAction::Maintenance => {
            Answer::message(503, "GitLab Maintenance: system is in maintenance mode")
        }
        _ => Answer::text(502, "text/html", BAD_GATEWAY),
    }
}

/// Adds the common headers of an origin, and turns an unchanged read into a 304.
fn finished(served: &Served, answer: Answer, parts: &Parts) -> Answer {
    let id = request_id(served.shared.next_request());
    if served.origin == Origin::Storage {
        return answer.with(HeaderName::from_static("x-amz-request-id"), id);
    }
    let mut answer = with_entity_tag(answer, &parts.headers);
    let limit = served.shared.count_request();
    let has = |name: &str, answer: &Answer| answer.headers.iter().any(|(header, _)| header == name);
    if !has("ratelimit-remaining", &answer) {
        answer = answer
            .with(
                HeaderName::from_static("ratelimit-remaining"),
                limit.remaining().to_string(),
            )
            .with(
                HeaderName::from_static("ratelimit-reset"),
                limit.reset.to_string(),
            );
    }
    answer
        .with(
            HeaderName::from_static("ratelimit-limit"),
            limit.per_minute.to_string(),
        )
        .with(
            HeaderName::from_static("ratelimit-name"),
            "throttle_authenticated_api",
        )
        .with(
            HeaderName::from_static("ratelimit-observed"),
            limit.observed.to_string(),
        )
        .with(
            HeaderName::from_static("x-gitlab-meta"),
            format!("{{\"correlation_id\":\"{id}\",\"version\":\"1\"}}"),
        )
        .with(HeaderName::from_static("x-request-id"), id)
}

fn with_entity_tag(answer: Answer, request_headers: &HeaderMap) -> Answer {
    let Content::Json(value) = &answer.body else {
        return answer;
    };
    if answer.status != 200 {
        return answer;
    }
    let digest = digest::digest(&digest::SHA256, value.to_string().as_bytes());
    let tag = format!("W/\"{}\"", &hex::encode(digest)[..32]);
    let known = request_headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let is_known = known
        .flat_map(|list| list.split(','))
        .any(|one| opaque(one) == opaque(&tag) || one.trim() == "*");
    let mut answer = answer
        .with(header::CACHE_CONTROL, "max-age=0, private, must-revalidate")
        .with(header::ETAG, tag);
    if is_known {
        answer.status = 304;
        answer.body = Content::Empty;
        answer
            .headers
            .retain(|(name, _)| *name != header::CONTENT_TYPE);
    }
    answer
}

fn request_id(number: u64) -> String {
    format!("01LAB{number:021}")
}

/// Announces the whole body and sends only its start.
fn truncated(response: Response<Body>, after: u64) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(size) = body.size_hint().exact() {
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    let left = usize::try_from(after).unwrap_or(usize::MAX);
    let beginning = stream::unfold(
        (body.into_data_stream(), left),
        |(mut rest, left)| async move {
            let mut chunk = if left == 0 {
                Bytes::new()
            } else {
                rest.next().await?.ok()?
            };
            chunk.truncate(left);
            let left = left - chunk.len();
            (!chunk.is_empty()).then_some((Ok(chunk), (rest, left)))
        },
    );
    // The written bytes must be sent before the error ends the connection.
    let end = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
    });
    Response::from_parts(parts, Body::from_stream(beginning.chain(end)))
}
