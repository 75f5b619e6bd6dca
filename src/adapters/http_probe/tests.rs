//! Probes over real connections on this machine, whose addresses are allowed one by one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::Redirect,
    routing::get,
};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::net::TcpListener;

use super::*;

/// The address that the tests allow. The server listens on it.
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// An address of the same machine that is not allowed.
const INSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn router() -> Router {
    Router::new()
        .route("/health", get(|| async { "all is well" }))
        .route(
            "/broken",
            get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "tired") }),
        )
        .route(
            "/headers",
            get(|headers: HeaderMap| async move { format!("{headers:?}") }),
        )
        .route(
            "/endless",
            get(|| async {
                let piece = || Ok::<_, std::io::Error>(Bytes::from_static(b"and so on "));
                Body::from_stream(futures::stream::repeat_with(piece))
            }),
        )
        .route("/silent", get(std::future::pending::<()>))
        .route("/round", get(|| async { Redirect::temporary("/round") }))
        .route(
            "/to/{*target}",
            get(|Path(target): Path<String>| async move { Redirect::temporary(&target) }),
        )
        .route(
            "/nowhere",
            get(|| async { (StatusCode::FOUND, [(header::LOCATION, "ftp://x/")]) }),
        )
}

/// Starts a server on this machine and returns its port.
async fn server() -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move { axum::serve(listener, router()).await });
    port
}

/// A listener on the same machine that no probe may reach.
async fn inside() -> (TcpListener, u16) {
    let listener = TcpListener::bind((INSIDE, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    (listener, port)
}

fn has_no_connection(listener: &TcpListener) -> bool {
    listener.accept().now_or_never().is_none()
}

/// A resolver that returns the next answer at each lookup; the last one repeats.
struct Answers {
    answers: BTreeMap<&'static str, Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Answers {
    fn new(answers: &[(&'static str, &[&[Ipv4Addr]])]) -> Arc<Self> {
        let addresses = |list: &&[Ipv4Addr]| list.iter().map(|one| IpAddr::V4(*one)).collect();
        Arc::new(Self {
            answers: answers
                .iter()
                .map(|(name, answers)| (*name, answers.iter().map(addresses).collect()))
                .collect(),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Names for Answers {
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        let at = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self
            .answers
            .get(name.as_str())
            .and_then(|answers| answers.get(at).or(answers.last()))
            .cloned()
            .ok_or_else(|| std::io::Error::other(format!("no such host: {name}")));
        std::future::ready(answer).boxed()
    }
}

fn here() -> Vec<IpNet> {
    vec![IpNet::from(IpAddr::from(HERE))]
}

fn probe() -> GuardedHttp {
    GuardedHttp::new(here(), Arc::default()).expect("a client")
}

fn probe_by(names: &Arc<Answers>) -> GuardedHttp {
    GuardedHttp::with_names(here(), Arc::default(), Arc::clone(names) as Arc<dyn Names>)
        .expect("a client")
}

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        url: parse(url).expect("a URL"),
        method: HttpMethod::Get,
        follow_redirects: true,
        body_limit: 64,
        timeout: Duration::from_secs(20),
    }
}

fn text(answer: &HttpAnswer) -> &str {
    std::str::from_utf8(&answer.body).expect("text")
}

#[tokio::test]
async fn every_http_status_is_an_answer() {
    let (port, probe) = (server().await, probe());
    let url = |path: &str| format!("http://{HERE}:{port}{path}");
    let fine = probe
        .ask(&request(&url("/health")))
        .await
        .expect("an answer");
    assert_eq!((fine.status, text(&fine)), (200, "all is well"));
    let broken = probe
        .ask(&request(&url("/broken")))
        .await
        .expect("an answer");
    assert_eq!((broken.status, text(&broken)), (503, "tired"));
    let head = HttpRequest {
        method: HttpMethod::Head,
        ..request(&url("/health"))
    };
    let head = probe.ask(&head).await.expect("an answer");
    assert_eq!((head.status, text(&head)), (200, ""));
}

#[tokio::test]
async fn body_is_read_only_up_to_its_limit() {
    let (port, probe) = (server().await, probe());
    let endless = request(&format!("http://{HERE}:{port}/endless"));
    let answer = probe.ask(&endless).await.expect("an answer");
    assert_eq!(answer.body.len(), 64);
    let none = HttpRequest {
        body_limit: 0,
        ..endless
    };
    let answer = probe.ask(&none).await.expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[tokio::test]
async fn probe_sends_no_credentials_cookies_or_referer() {
    let (port, probe) = (server().await, probe());
    let asked = HttpRequest {
        body_limit: 4096,
        ..request(&format!("http://{HERE}:{port}/to//headers"))
    };
    let answer = probe.ask(&asked).await.expect("an answer");
    let text = text(&answer).to_lowercase();
    assert!(text.contains("\"user-agent\": \"sluice/"), "{text}");
    for name in ["authorization", "cookie", "referer"] {
        assert!(!text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn internal_address_is_refused_before_anything_is_sent() {
    let (listener, port) = inside().await;
    for url in [
        format!("http://{INSIDE}:{port}/"),
        format!("http://[::ffff:{INSIDE}]:{port}/"),
        // The same address as one number.
        format!("http://{}:{port}/", INSIDE.to_bits()),
    ] {
        let error = probe().ask(&request(&url)).await.expect_err("refused");
        assert_eq!(error.kind, CallErrorKind::Denied, "{url}: {error}");
        assert!(error.message.contains("loopback"), "{url}: {error}");
    }
    assert!(has_no_connection(&listener));
}

#[tokio::test]
async fn name_of_an_internal_address_is_refused() {
    let (listener, port) = inside().await;
    let names = Answers::new(&[("shop.example", &[&[INSIDE]])]);
    let asked = request(&format!("http://shop.example:{port}/"));
    let error = probe_by(&names).ask(&asked).await.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
    assert!(
        error.message.contains("127.0.0.2 is not requested"),
        "{error}"
    );
    assert!(has_no_connection(&listener));
    // Addresses from the system's resolver are checked as well.
    let asked = request(&format!("http://localhost:{port}/"));
    let none = GuardedHttp::new(Vec::new(), Arc::default()).expect("a client");
    let error = none.ask(&asked).await.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn name_is_resolved_once_per_connection() {
    let port = server().await;
    // Rebinding: a second lookup would lead inside.
    let names = Answers::new(&[("shop.example", &[&[HERE], &[INSIDE]])]);
    let asked = request(&format!("http://shop.example:{port}/health"));
    let answer = probe_by(&names).ask(&asked).await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(names.asked.load(Ordering::Relaxed), 1);
    // A new request is resolved and checked again.
    let error = probe_by(&names).ask(&asked).await.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn only_allowed_addresses_of_a_name_are_used() {
    let port = server().await;
    let (listener, _) = inside().await;
    let names = Answers::new(&[("shop.example", &[&[INSIDE, HERE]])]);
    let asked = request(&format!("http://shop.example:{port}/health"));
    let answer = probe_by(&names).ask(&asked).await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(has_no_connection(&listener));
}

#[tokio::test]
async fn each_redirect_is_checked_like_the_first_url() {
    let port = server().await;
    let (listener, inner) = inside().await;
    let names = Answers::new(&[("inner.example", &[&[INSIDE]])]);
    let probe = probe_by(&names);
    let to = |url: &str| request(&format!("http://{HERE}:{port}/to/{url}"));
    let answer = probe.ask(&to("/health")).await.expect("an answer");
    assert_eq!(text(&answer), "all is well");
    for url in [
        format!("http://{INSIDE}:{inner}/"),
        format!("http://inner.example:{inner}/"),
    ] {
        let error = probe.ask(&to(&url)).await.expect_err("refused");
        assert_eq!(error.kind, CallErrorKind::Denied, "{url}: {error}");
    }
    assert!(has_no_connection(&listener));
}

#[tokio::test]
async fn redirects_are_limited_and_stay_on_http() {
    let (port, probe) = (server().await, probe());
    for (path, words) in [
        ("/round", "more than 5 times"),
        ("/nowhere", "must begin with http://"),
        (
            "/to/http://me:secret@example.com/",
            "without user and password",
        ),
    ] {
        let asked = request(&format!("http://{HERE}:{port}{path}"));
        let error = probe.ask(&asked).await.expect_err("refused");
        assert_eq!(error.kind, CallErrorKind::Invalid, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    let asked = HttpRequest {
        follow_redirects: false,
        ..request(&format!("http://{HERE}:{port}/round"))
    };
    let answer = probe.ask(&asked).await.expect("an answer");
    assert_eq!(answer.status, 307);
}

#[test]
fn redirect_from_https_to_http_is_refused() {
    let answer = |location: &str| {
        let answer = axum::http::Response::builder()
            .header(header::LOCATION, location)
            .body("")
            .expect("an answer");
        Response::from(answer)
    };
    let secure = Url::parse("https://shop.example/").expect("a URL");
    let plain = Url::parse("http://shop.example/").expect("a URL");
    let error = next(&secure, &answer("http://shop.example/?a=s3cret")).expect_err("refused");
    assert_eq!(error, "redirected from https to http://shop.example/");
    assert_eq!(
        next(&plain, &answer("https://shop.example/")),
        Ok(secure.clone())
    );
    assert_eq!(next(&secure, &answer("/")), Ok(secure));
}

#[tokio::test]
async fn probe_without_a_response_is_unavailable() {
    let (port, probe) = (server().await, probe());
    let silent = HttpRequest {
        timeout: Duration::from_millis(20),
        ..request(&format!("http://{HERE}:{port}/silent?token=s3cret"))
    };
    let error = probe.ask(&silent).await.expect_err("no answer");
    assert_eq!(error.kind, CallErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("no answer within 0.02 s"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");

    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let gone = request(&format!("http://{HERE}:{port}/?token=s3cret"));
    let error = probe.ask(&gone).await.expect_err("no answer");
    assert_eq!(error.kind, CallErrorKind::Unavailable, "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");

    let names = Answers::new(&[]);
    let unknown = request("http://shop.example/");
    let error = probe_by(&names).ask(&unknown).await.expect_err("no answer");
    assert_eq!(error.kind, CallErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("no such host"), "{error}");
}
