//! Limits concurrent requests to the API server: a thousand objects that change at once do not send a
//! thousand requests at once.
//!
//! # Guarantees
//! - The number of requests in flight is bounded, whatever the number of reconciles. Waiting is not timed:
//!   the timeout of a call starts when it is sent.
//! - Namespaces take turns: one that changes a thousand objects delays another by one request.
//! - A write that waited is not sent once the fence is closed.
//! - If the API server is overloaded (429), the request keeps its turn and is repeated when the server says
//!   so: the whole process slows down, and no pass is lost.
//!
//! Watches and the Lease have their own clients and do not wait.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header::RETRY_AFTER};
use futures::future::BoxFuture;
use kube::{Client, client::Body};
use tokio::time::sleep;
use tower::{BoxError, Service};

use crate::{fair_semaphore::FairSemaphore, fence::Fence};

/// The most concurrent requests. More would slow down a small API server; a large one accepts more than a
/// thousand writes per second with these.
const AT_A_TIME: usize = 24;

/// The key that all Events share.
const EVENTS: &str = "events";

/// How often a request is repeated while the API server is overloaded.
const RETRIES: u32 = 8;

/// The pause if the API server does not name one.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that the API server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Wraps a client so that its requests take turns.
pub fn in_turn(client: Client, fence: Fence) -> Client {
    let namespace = client.default_namespace().to_owned();
    let turns = Turns {
        client,
        queue: FairSemaphore::new(AT_A_TIME, AT_A_TIME),
        fence,
    };
    Client::new(turns, namespace)
}

#[derive(Clone)]
struct Turns {
    client: Client,
    queue: Arc<FairSemaphore>,
    fence: Fence,
}

impl Service<Request<Body>> for Turns {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.send(request).await })
    }
}

impl Turns {
    async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let key = key_of(request.uri().path()).to_owned();
        let _turn = self.queue.acquire(&key).await;
        for _ in 0..RETRIES {
            let again = copy(&request);
            let response = self.send_now(request, &key).await?;
            match again {
                Some(again) if response.status() == StatusCode::TOO_MANY_REQUESTS => {
                    sleep(pause(response.headers())).await;
                    request = again;
                }
                _ => return Ok(response),
            }
        }
        self.send_now(request, &key).await
    }

    async fn send_now(
        &self,
        request: Request<Body>,
        key: &str,
    ) -> Result<Response<Body>, BoxError> {
        let needs_lease = request.method() != Method::GET && key != EVENTS;
        if needs_lease && !self.fence.may_write() {
            return Err("not sent, because this process no longer holds the Lease".into());
        }
        Ok(self.client.send(request).await?)
    }
}

/// A copy of the request, if its body can be copied.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// The key that takes turns with others: a namespace, all Events, or everything cluster-scoped.
fn key_of(path: &str) -> &str {
    let mut parts = path.split('/').skip_while(|part| *part != "namespaces");
    let namespace = parts.nth(1).unwrap_or_default();
    match parts.next() {
        Some("events") => EVENTS,
        _ => namespace,
    }
}

fn pause(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    let seconds = seconds.and_then(|it| it.parse().ok());
    seconds
        .map_or(PAUSE, Duration::from_secs)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::Mutex,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
    use kube::{
        Api,
        api::{DeleteParams, PostParams},
    };
    use tokio::sync::oneshot;

    use super::*;

    /// A request that is not answered yet.
    type Open = (String, oneshot::Sender<Response<Body>>);

    /// An API server that answers when the test says so.
    #[derive(Clone, Default)]
    struct Server {
        open: Arc<Mutex<VecDeque<Open>>>,
        sent: Arc<AtomicUsize>,
    }

    impl Service<Request<Body>> for Server {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let (answer, answered) = oneshot::channel();
            let what = format!("{} {}", request.method(), request.uri().path());
            self.open.lock().unwrap().push_back((what, answer));
            self.sent.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { Ok(answered.await?) })
        }
    }

    impl Server {
        fn client(&self, fence: Fence) -> Client {
            in_turn(Client::new(self.clone(), "default"), fence)
        }

        /// Lets every task run as far as it can.
        async fn settle(&self) {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        }

        /// Answers the oldest request and returns it.
        fn answer(&self, status: u16, headers: &[(&'static str, &str)]) -> String {
            let (what, answer) = self.open.lock().unwrap().pop_front().unwrap();
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            let object = ConfigMap::default();
            let body = Body::from(serde_json::to_vec(&object).unwrap());
            answer.send(response.body(body).unwrap()).unwrap();
            what
        }
    }

    fn maps(client: &Client, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(client.clone(), namespace)
    }

    #[tokio::test]
    async fn busy_namespace_delays_another_by_one_request() {
        let server = Server::default();
        let client = server.client(Fence::open());
        for _ in 0..200 {
            let busy = maps(&client, "busy");
            tokio::spawn(async move { busy.get("a").await });
        }
        server.settle().await;
        assert_eq!(server.sent.load(Ordering::Relaxed), AT_A_TIME);
        let quiet = maps(&client, "quiet");
        tokio::spawn(async move { quiet.get("b").await });
        server.settle().await;
        for _ in 0..2 {
            server.answer(200, &[]);
            server.settle().await;
        }
        let open = server.open.lock().unwrap();
        assert_eq!(open.len(), AT_A_TIME);
        assert!(open.iter().any(|(what, _)| what.contains("/quiet/")));
    }

    #[tokio::test]
    async fn a_write_that_waited_is_not_sent_once_the_lease_is_lost() {
        let (server, fence) = (Server::default(), Fence::open());
        let client = server.client(fence.clone());
        for _ in 0..AT_A_TIME {
            let busy = maps(&client, "busy");
            tokio::spawn(async move { busy.get("a").await });
        }
        server.settle().await;
        let late = maps(&client, "late");
        let deleted = tokio::spawn(async move { late.delete("b", &DeleteParams::default()).await });
        server.settle().await;
        fence.close();
        server.answer(200, &[]);
        let error = deleted.await.unwrap().unwrap_err();
        assert!(
            error.to_string().contains("no longer holds the Lease"),
            "{error}"
        );
        assert_eq!(server.sent.load(Ordering::Relaxed), AT_A_TIME);
        // Events are still written.
        let events: Api<Event> = Api::namespaced(client, "late");
        tokio::spawn(async move {
            events
                .create(&PostParams::default(), &Event::default())
                .await
        });
        server.settle().await;
        server.answer(200, &[]);
        server.settle().await;
        assert_eq!(server.sent.load(Ordering::Relaxed), AT_A_TIME + 1);
    }

    #[tokio::test]
    async fn overloaded_api_server_gets_the_request_again_after_its_delay() {
        let server = Server::default();
        let client = server.client(Fence::open());
        let map = maps(&client, "shop");
        let written = tokio::spawn(async move {
            map.create(&PostParams::default(), &ConfigMap::default())
                .await
        });
        server.settle().await;
        let first = server.answer(429, &[("retry-after", "0")]);
        while server.sent.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.answer(200, &[]), first);
        written.await.unwrap().unwrap();
    }

    #[test]
    fn retry_after_header_is_respected_within_bounds() {
        let after = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            pause(&headers)
        };
        assert_eq!(after("3"), Duration::from_secs(3));
        assert_eq!(after("86400"), LONGEST_PAUSE);
        assert_eq!(after("tomorrow"), PAUSE);
        assert_eq!(pause(&HeaderMap::new()), PAUSE);
    }

    #[test]
    fn turns_are_keyed_by_namespace_and_by_events() {
        let of = |path: &str| key_of(path).to_owned();
        let group = "/apis/sluice.dev/v1alpha1";
        assert_eq!(
            of(&format!("{group}/namespaces/shop/targets/a/status")),
            "shop"
        );
        assert_eq!(of("/apis/events.k8s.io/v1/namespaces/shop/events"), EVENTS);
        assert_eq!(of(&format!("{group}/accounts/dev/status")), "");
        assert_eq!(of("/api/v1/namespaces/kube-system"), "kube-system");
    }
}
