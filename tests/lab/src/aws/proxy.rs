//! The reverse proxy in front of the emulator.
//!
//! The proxy records every request in the journal, may inject a fault, and forwards the request with its
//! Host header (signatures cover it). S3 bodies stream both ways and are never buffered; bodies of other
//! services are small and read whole, so that the proxy can name operations and apply Lambda's rules. A
//! request that a rule changed is signed again with its caller's own key, so that the emulator still checks
//! the caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, State},
    http::{HeaderMap, Request, StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    admin,
    backend::{Backend, read},
    call::{Asked, Call},
    connection::{Connection, CuttableListener},
    journal::{Entry, Journal},
    keys::{Key, Keys, element},
    operation::Operation,
    reply::{Reply, strip_hop_by_hop},
    rules::{Action, Faults, InjectedFault},
    stacks,
    strict_lambda::FunctionTracker,
    web_identity::{self, IssuerKey},
};
use crate::{
    error::LabError,
    hook::{Fault, Point, RequestHook, RequestInfo},
    runtime,
};

/// Lambda's own limit for a request with a package is 70 MB.
const WHOLE_BODY_LIMIT: usize = 100 * 1024 * 1024;

/// The account for requests that any account may make.
pub(super) const ANY_ACCOUNT: &str = "111111111111";

/// The state that the proxy's handlers share.
pub(super) struct Proxy {
    pub(super) endpoint: String,
    pub(super) backend: Arc<Backend>,
    pub(super) book: Arc<FunctionTracker>,
    pub(super) keys: Keys,
    pub(super) journal: Journal,
    pub(super) faults: Faults,
    /// The key that web identity tokens must be signed with.
    pub(super) issuer_key: IssuerKey,
}

/// A request's body: whole if the proxy must inspect it.
enum Payload {
    Whole(Bytes),
    Stream(Body),
}

/// A response: whole if the proxy must inspect it.
enum Answer {
    Whole(Reply),
    Stream(reqwest::Response),
}

/// The state of one endpoint of the proxy.
#[derive(Clone)]
struct EndpointState {
    proxy: Arc<Proxy>,
    hook: Option<Arc<dyn RequestHook>>,
    history: Arc<ReadHistory>,
}

/// The responses to reads of Lambda and CloudFormation on one endpoint, by read: the previous different response,
/// if any, and the last one.
#[derive(Default)]
struct ReadHistory(Mutex<HashMap<String, (Option<Reply>, Reply)>>);

impl ReadHistory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Option<Reply>, Reply)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, request_info: &RequestInfo, reply: &Reply) {
        if !request_info.can_be_stale() {
            return;
        }
        let key = format!(
            "{:?}",
            (
                &request_info.account,
                &request_info.operation,
                &request_info.resource
            )
        );
        let mut history = self.lock();
        let previous = match history.remove(&key) {
            Some((previous, last)) if last.body == reply.body => previous,
            Some((_, last)) => Some(last),
            None => None,
        };
        history.insert(key, (previous, reply.clone()));
    }

    fn previous(&self, request_info: &RequestInfo) -> Option<Reply> {
        let key = format!(
            "{:?}",
            (
                &request_info.account,
                &request_info.operation,
                &request_info.resource
            )
        );
        self.lock().get(&key)?.0.clone()
    }
}

/// Starts a proxy in front of `emulator`; it runs until the task is aborted.
pub(super) async fn start(emulator: &str) -> Result<(Arc<Proxy>, JoinHandle<()>), LabError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let proxy = Arc::new(Proxy {
        endpoint: format!("http://{}", listener.local_addr()?),
        backend: Arc::new(Backend::new(emulator)?),
        book: Arc::new(FunctionTracker::default()),
        keys: Keys::default(),
        journal: Journal::default(),
        faults: Faults::default(),
        issuer_key: IssuerKey::default(),
    });
    let state = EndpointState {
        proxy: Arc::clone(&proxy),
        hook: None,
        history: Arc::default(),
    };
    Ok((proxy, serve(listener, state)))
}

/// Opens a separate endpoint for one caller: its URL, and the task that serves it until aborted.
pub(super) async fn open(
    proxy: &Arc<Proxy>,
    hook: Arc<dyn RequestHook>,
) -> Result<(String, JoinHandle<()>), LabError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let state = EndpointState {
        proxy: Arc::clone(proxy),
        hook: Some(hook),
        history: Arc::default(),
    };
    Ok((endpoint, serve(listener, state)))
}

fn serve(listener: TcpListener, state: EndpointState) -> JoinHandle<()> {
    let service = Router::new()
        .fallback(handle)
        .with_state(state)
        .into_make_service_with_connect_info::<Connection>();
    runtime::handle().spawn(async move {
        if let Err(error) = axum::serve(CuttableListener(listener), service).await {
            tracing::error!(%error, "the proxy in front of the AWS emulator ended");
        }
    })
}

async fn handle(
    State(EndpointState {
        proxy,
        hook,
        history,
    }): State<EndpointState>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with(admin::PREFIX) {
        return match to_bytes(body, WHOLE_BODY_LIMIT).await {
            Ok(body) => admin::answer(&proxy, &parts, &body).await,
            Err(error) => Reply::failure("lab", &error.to_string()).into_response(),
        };
    }
    let asked = Asked::of(&parts);
    let payload = if asked.has_large_body() {
        Payload::Stream(body)
    } else {
        match to_bytes(body, WHOLE_BODY_LIMIT).await {
            Ok(body) => Payload::Whole(body),
            Err(error) => {
                return Reply::failure(&asked.service, &error.to_string()).into_response();
            }
        }
    };
    let operation = asked.operation(&parts, payload.seen());
    let caller = match &asked.access_key {
        Some(id) => proxy.identify(id).await,
        None => None,
    };
    let call = record(&asked, &operation, caller.as_ref());
    let entry = proxy.journal.begin(call.clone());

    let request_info = request_info(&call, caller.as_ref());
    let at = async |point| match &hook {
        Some(hook) => hook.at(&request_info, point).await,
        None => None,
    };
    let mut strike = match at(Point::Before).await {
        Some(Fault::Stale) => {
            if let Some(previous) = history.previous(&request_info) {
                entry.injected();
                return finish(&entry, Answer::Whole(previous)).await;
            }
            None
        }
        Some(fault) => Some(InjectedFault::of_hook(fault, &request_info.service)),
        None => proxy.faults.strike(&call),
    };
    if strike.is_some() {
        entry.injected();
    }
    match strike.as_ref().map(|strike| &strike.action) {
        Some(Action::DropRequest) => {
            connection.cut();
            return StatusCode::BAD_GATEWAY.into_response();
        }
        Some(Action::Hang) => {
            payload.drain().await;
            return std::future::pending().await;
        }
        Some(Action::Delay { millis }) => {
            tokio::time::sleep(Duration::from_millis(*millis)).await;
        }
        _ => {}
    }
    let refusal = strike
        .as_ref()
        .and_then(|strike| strike.action.refusal(&call.service));
    if let Some(refusal) = refusal {
        // A caller that is still sending would see a broken pipe instead of the response.
        payload.drain().await;
        return finish(&entry, Answer::Whole(refusal)).await;
    }

    // A caller that disconnects does not cancel its request.
    let forwarding = tokio::spawn(async move {
        proxy
            .pass(parts, payload, &asked, &operation, caller.as_ref())
            .await
    });
    let answer = forwarding
        .await
        .unwrap_or_else(|error| Err(LabError::new(error.to_string())));
    let answer = answer.unwrap_or_else(|error| {
        tracing::error!(%error, call = call.name(), "a call could not be passed on");
        Answer::Whole(Reply::failure(&call.service, &error.to_string()))
    });
    if let (Answer::Whole(reply), Some(_)) = (&answer, &hook) {
        history.record(&request_info, reply);
    }
    at(Point::Done).await;
    if let Some(strike) = &mut strike {
        match strike.action {
            Action::LoseReply => {
                answer.drain().await;
                connection.cut();
                return StatusCode::BAD_GATEWAY.into_response();
            }
            Action::HoldReply => strike.rule_removed().await,
            _ => {}
        }
    }
    let answer = finish(&entry, answer).await;
    at(Point::Answered).await;
    answer
}

fn request_info(call: &Call, caller: Option<&Key>) -> RequestInfo {
    let is_qualified = ["lambda", "cloudformation"].contains(&call.service.as_str());
    let qualifier = call.qualifier.as_ref().filter(|_| is_qualified);
    RequestInfo {
        service: call.service.clone(),
        operation: call.operation.clone(),
        resource: qualifier.map_or_else(
            || call.resource.clone(),
            |qualifier| format!("{}:{qualifier}", call.resource),
        ),
        account: call.account.clone(),
        session: caller
            .filter(|key| key.token.is_some())
            .map(|key| key.id.clone()),
        is_write: call.is_write(),
    }
}

fn record(asked: &Asked, operation: &Operation, caller: Option<&Key>) -> Call {
    // A web identity has no key yet: its account is that of the requested role.
    let of_role = || {
        let unsigned = asked.access_key.is_none();
        let account = operation
            .resource
            .strip_prefix("arn:aws:iam::")?
            .split(':')
            .next()?;
        unsigned.then(|| account.to_owned())
    };
    Call {
        at: Timestamp::now(),
        answered_at: None,
        account: caller.map(|key| key.account.clone()).or_else(of_role),
        region: asked.region.clone(),
        service: asked.service.clone(),
        operation: operation.name.clone(),
        resource: operation.resource.clone(),
        qualifier: operation.qualifier.clone(),
        status: None,
        error: None,
        signed: asked.access_key.is_some(),
        injected: false,
    }
}

/// Records the outcome and builds the response.
async fn finish(entry: &Entry, answer: Answer) -> Response {
    match answer {
        Answer::Whole(reply) => {
            entry.answered(reply.status.as_u16(), reply.error_code());
            reply.into_response()
        }
        Answer::Stream(response) if response.status().as_u16() < 400 => {
            entry.answered(response.status().as_u16(), None);
            stream(response)
        }
        // Errors are short, and their codes are recorded. A response to HEAD has no body but a length,
        // which is lost here: no caller needs the length of an error.
        Answer::Stream(response) => {
            let status = response.status();
            let reply = read(response).await.unwrap_or_else(|error| Reply {
                status,
                headers: HeaderMap::new(),
                body: error.to_string().into(),
            });
            entry.answered(status.as_u16(), reply.error_code());
            reply.into_response()
        }
    }
}

fn stream(response: reqwest::Response) -> Response {
    let mut streamed = Response::new(Body::empty());
    *streamed.status_mut() = response.status();
    streamed.headers_mut().extend(response.headers().clone());
    strip_hop_by_hop(streamed.headers_mut());
    *streamed.body_mut() = Body::from_stream(response.bytes_stream());
    streamed
}

impl Payload {
    fn seen(&self) -> &[u8] {
        match self {
            Self::Whole(body) => body,
            Self::Stream(_) => &[],
        }
    }

    async fn drain(self) {
        if let Self::Stream(body) = self {
            let mut chunks = body.into_data_stream();
            while let Some(Ok(_)) = chunks.next().await {}
        }
    }
}

impl Answer {
    async fn drain(self) {
        if let Self::Stream(response) = self {
            let mut chunks = response.bytes_stream();
            while let Some(Ok(_)) = chunks.next().await {}
        }
    }
}

impl Proxy {
    /// Identifies a key. The emulator is asked once about a key that was issued past the proxy.
    async fn identify(&self, id: &str) -> Option<Key> {
        if let Some(key) = self.keys.find(id) {
            return Some(key);
        }
        let form = [
            ("Action", "GetAccessKeyInfo"),
            ("Version", "2011-06-15"),
            ("AccessKeyId", id),
        ];
        let reply = self
            .backend
            .ask_form(ANY_ACCOUNT, "sts", &form)
            .await
            .ok()?;
        let xml = String::from_utf8_lossy(&reply.body);
        let account = element(&xml, "Account")?.to_owned();
        let key = Key {
            id: id.to_owned(),
            account,
            secret: None,
            token: None,
        };
        self.keys.learn(key.clone());
        Some(key)
    }

    async fn pass(
        &self,
        parts: Parts,
        payload: Payload,
        asked: &Asked,
        operation: &Operation,
        caller: Option<&Key>,
    ) -> Result<Answer, LabError> {
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned();
        let headers = parts.headers.clone();
        let method = parts.method.clone();
        match payload {
            Payload::Stream(body) => {
                let sends = headers.contains_key("transfer-encoding")
                    || headers
                        .get("content-length")
                        .is_some_and(|length| length != "0");
                let body = sends.then(|| reqwest::Body::wrap_stream(body.into_data_stream()));
                Ok(Answer::Stream(
                    self.backend.send(method, &target, headers, body).await?,
                ))
            }
            Payload::Whole(body) => {
                let reply = match caller {
                    Some(key) if asked.service == "lambda" => {
                        self.pass_to_lambda(&parts, target, body, asked, operation, key)
                            .await?
                    }
                    _ => {
                        let refusal = match stacks::refuse(&asked.service, operation) {
                            None => web_identity::refuse(self, operation, &body).await?,
                            refusal => refusal,
                        };
                        match refusal {
                            Some(refusal) => refusal,
                            None => {
                                self.backend
                                    .exchange(method, &target, headers, body)
                                    .await?
                            }
                        }
                    }
                };
                if ["sts", "iam"].contains(&asked.service.as_str()) && reply.status.is_success() {
                    let account = caller.map(|key| key.account.as_str());
                    self.keys
                        .learn_from(&String::from_utf8_lossy(&reply.body), account);
                }
                Ok(Answer::Whole(reply))
            }
        }
    }
}
