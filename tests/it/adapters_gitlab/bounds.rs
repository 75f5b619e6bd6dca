//! Limits on the size of GitLab's answers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Query,
    http::HeaderMap,
    response::IntoResponse as _,
    routing::get,
};
use futures::stream;
use sluice::ports::{CallError, CallErrorKind};

use super::{Lab, serve};

const JOB: &str = r#"{"id":1,"name":"a","status":"success"}"#;

/// A list of `rows` jobs in chunks of a hundred, each added to `sent` when it is sent.
fn list(rows: usize, sent: Arc<AtomicUsize>) -> Body {
    let pieces = (0..rows / 100).map(move |index| {
        sent.fetch_add(100, Ordering::SeqCst);
        let begin = if index == 0 { "[" } else { "," };
        let jobs = [JOB; 100].join(",");
        let end = if index + 1 == rows / 100 { "]" } else { "" };
        Ok::<_, std::io::Error>(Bytes::from(format!("{begin}{jobs}{end}")))
    });
    Body::from_stream(stream::iter(pieces))
}

/// Lists the jobs of a pipeline from that server. Returns their number.
async fn jobs(router: Router) -> Result<usize, CallError> {
    let mut lab = Lab::start().await;
    let (url, server) = serve(router).await;
    lab.connection.spec.url = url;
    let jobs = lab.client().await.jobs(3, 7).await;
    server.abort();
    jobs.map(|jobs| jobs.len())
}

#[tokio::test]
async fn page_with_half_a_million_jobs_is_not_read() {
    let sent = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&sent);
    let answer = move || async move { list(500_000, counted) };
    let error = jobs(Router::new().fallback(get(answer))).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TooLarge, "{error}");
    for part in [
        "GET /projects/:id/pipelines/:id/jobs",
        "pipeline 7 of project 3",
        "more than the 100 requested rows",
    ] {
        assert!(error.to_string().contains(part), "no {part} in {error}");
    }
    // The server sent no more than the sockets' buffers take.
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 500_000, "{sent} rows were read");
}

#[tokio::test]
async fn first_excess_row_ends_the_read() {
    let answer = || async {
        let rows = list(200, Arc::default()).into_data_stream();
        // A client that reads on waits for ever.
        Body::from_stream(futures::StreamExt::chain(rows, stream::pending()))
    };
    let error = jobs(Router::new().fallback(get(answer))).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TooLarge, "{error}");
}

#[tokio::test]
async fn requested_number_of_rows_is_read() {
    let answer = || async { list(100, Arc::default()) };
    // All rows are the same job.
    assert_eq!(jobs(Router::new().fallback(get(answer))).await, Ok(1));
}

#[tokio::test]
async fn endless_answer_is_cut_off() {
    let answer = || async {
        let name = Bytes::from(vec![b'a'; 1 << 16]);
        let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(name.clone()));
        let begin = stream::iter([Ok(Bytes::from_static(br#"[{"name":""#))]);
        Body::from_stream(futures::StreamExt::chain(begin, endless))
    };
    let error = jobs(Router::new().fallback(get(answer))).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TooLarge, "{error}");
    assert!(error.message.contains("limit of 8388608 bytes"), "{error}");
}

#[tokio::test]
async fn endless_list_is_cut_off() {
    #[derive(serde::Deserialize)]
    struct Page {
        page: Option<u32>,
    }
    let page = |name: String| {
        let answer = move |Query(page): Query<Page>| async move {
            let mut headers = HeaderMap::new();
            let next = page.page.unwrap_or(1) + 1;
            headers.insert("x-next-page", next.to_string().parse().unwrap());
            let row = format!(r#"{{"id":{next},"name":"{name}","status":"success"}}"#);
            (headers, format!("[{row}]")).into_response()
        };
        Router::new().fallback(get(answer))
    };
    let error = jobs(page("a".to_owned())).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TooLarge, "{error}");
    assert!(error.message.contains("limit of 50 pages"), "{error}");
    let error = jobs(page("a".repeat(1 << 20))).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TooLarge, "{error}");
    assert!(error.message.contains("limit of 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn countless_short_values_are_cut_off() {
    // Three bytes each, and many times that once parsed.
    let answer = || async { format!(r#"{{"scopes":[""{}]}}"#, r#","""#.repeat(300_000)) };
    let (url, server) = serve(Router::new().fallback(get(answer))).await;
    let mut lab = Lab::start().await;
    lab.connection.spec.url = url;
    let error = lab.client().await.standing().await.unwrap_err();
    server.abort();
    assert_eq!(error.kind, CallErrorKind::TooLarge, "{error}");
    assert!(error.message.contains("limit of 200000 values"), "{error}");
}
