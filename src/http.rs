//! The HTTP endpoints: `/healthz`, `/readyz`, `/metrics`.
//!
//! Ready means that the caches are filled, leader or not: a standby is as ready as the leader. No
//! response contains anything about objects or accounts.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::metrics::Metrics;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the caches are filled. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Marks the process as ready: the caches are filled.
    pub fn ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Marks the process as stopping: it is no longer ready.
    pub fn stopping(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    stop: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics));
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    if readiness.is_ready() {
        "ok\n".into_response()
    } else {
        let body = "the caches are not filled yet, or the process is stopping\n";
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    }
}

/// Responds with OpenMetrics, or with Prometheus' text format if the client prefers that.
async fn scrape(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(ACCEPT).into_iter();
    let accepted: Vec<&str> = accepted.filter_map(|value| value.to_str().ok()).collect();
    let (kind, text) = if prefers_text(&accepted.join(",")) {
        (PROMETHEUS, metrics.encode_for_prometheus())
    } else {
        (OPENMETRICS, metrics.encode())
    };
    match text {
        Ok(text) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => {
            error!(%error, "the metrics can't be written as text");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Whether an `Accept` header weighs plain text higher than OpenMetrics. A header with neither accepts both.
fn prefers_text(accept: &str) -> bool {
    let weight = |wanted: &str| {
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next()?.eq_ignore_ascii_case(wanted);
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            is_it.then(|| weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
        });
        ranges.fold(0.0, f64::max)
    };
    weight("text/plain") > weight("application/openmetrics-text")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Server {
        url: String,
        readiness: Readiness,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<io::Result<()>>,
    }

    async fn server() -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        let task = tokio::spawn(serve(listener, metrics, readiness.clone(), stop.clone()));
        Server {
            url,
            readiness,
            stop,
            task,
        }
    }

    async fn get(server: &Server, path: &str) -> (u16, String) {
        fetch(server, path, "").await
    }

    async fn fetch(server: &Server, path: &str, headers: &str) -> (u16, String) {
        let address = server.url.strip_prefix("http://").unwrap();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer)
            .await
            .unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    #[tokio::test]
    async fn process_is_healthy_before_it_is_ready() {
        let server = server().await;
        assert_eq!(get(&server, "/healthz").await.0, 200);
        assert_eq!(get(&server, "/readyz").await.0, 503);
        server.readiness.ready();
        assert_eq!(get(&server, "/readyz").await.0, 200);
        server.readiness.stopping();
        assert_eq!(get(&server, "/readyz").await.0, 503);
        server.stop.cancel();
        server.task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn metrics_are_openmetrics() {
        let server = server().await;
        let (status, answer) = get(&server, "/metrics").await;
        assert_eq!(status, 200);
        assert!(answer.contains(OPENMETRICS), "{answer}");
        assert!(answer.trim_end().ends_with("# EOF"), "{answer}");
        server.stop.cancel();
        server.task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text_on_request() {
        let server = server().await;
        let (status, answer) = fetch(&server, "/metrics", "Accept: text/plain\r\n").await;
        assert_eq!(status, 200);
        assert!(answer.contains(PROMETHEUS), "{answer}");
        assert!(!answer.contains("# EOF"), "{answer}");
        let declared = "# TYPE sluice_deliveries_total counter";
        assert!(answer.contains(declared), "{answer}");
        server.stop.cancel();
        server.task.await.unwrap().unwrap();
    }

    #[test]
    fn accepted_format_with_the_higher_weight_is_chosen() {
        // As Prometheus asks, with and without OpenMetrics among its scrape_protocols.
        let openmetrics = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
            text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let text = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            (openmetrics, false),
            (text, true),
            ("text/plain", true),
            (
                "TEXT/PLAIN; q=0.9, application/openmetrics-text; q=0.8",
                true,
            ),
            ("text/plain, application/openmetrics-text", false),
            ("text/plain;q=0", false),
        ] {
            assert_eq!(prefers_text(accept), expected, "{accept}");
        }
    }
}
