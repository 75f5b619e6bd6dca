//! What the process answers over HTTP: `/healthz`, `/readyz`, `/metrics`.
//!
//! Ready means that the caches are filled, leader or not: a standby is as ready as the leader. No
//! answer tells anything about objects or accounts.

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
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::metrics::Metrics;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the caches are filled. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// The caches are filled.
    pub fn ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The process is on its way out.
    pub fn stopping(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Answers until `stop`.
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

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            error!(%error, "the metrics can't be written as text");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
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
        let address = server.url.strip_prefix("http://").unwrap();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
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
    async fn is_alive_before_it_is_ready() {
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
}
