//! A connection leads to GitLab, and to nothing else.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, header::LOCATION},
    response::IntoResponse as _,
    routing::get,
};
use sluice::{
    api::v1alpha1::annotation,
    ports::{CallError, CallErrorKind, gitlab::GitLabs as _, secrets::Secrets},
};
use tokio::net::TcpListener;

use super::{Lab, clients, serve};

/// Reads a project.
async fn project(lab: &Lab) -> Result<(), CallError> {
    let client = lab.clients.client(&lab.connection).await?;
    client.project("shop/checkout").await.map(drop)
}

#[tokio::test]
async fn internal_addresses_are_refused_unless_allowed() {
    let mut lab = Lab::start().await;
    let secrets = Arc::clone(&lab.secrets) as Arc<dyn Secrets>;
    lab.clients = clients(secrets, &lab.metrics, &["10.0.0.0/8"]);
    let port = lab.gitlab.url().rsplit(':').next().unwrap().to_owned();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "169.254.169.254",
    ] {
        lab.connection.spec.url = format!("http://{host}:{port}");
        lab.connection.metadata.generation = lab.connection.metadata.generation.map(|it| it + 1);
        let error = project(&lab).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Invalid, "{error}");
        for part in ["is not requested", "gitlab.allowedNetworks"] {
            assert!(error.message.contains(part), "{host}: {error}");
        }
    }
    assert!(lab.gitlab.requests().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn download_follows_no_internal_redirect_and_takes_only_status_200() {
    let mut lab = Lab::start().await;
    // On this machine, and outside the allowed networks.
    let inside = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let to = format!("http://{}/latest/meta-data", inside.local_addr().unwrap());
    let answers = [
        (
            StatusCode::FOUND,
            Some(to.clone()),
            "127.0.0.2 is not requested",
        ),
        (
            StatusCode::FOUND,
            Some("http://169.254.169.254/".to_owned()),
            "link-local",
        ),
        (StatusCode::FOUND, None, "can't be read"),
        (StatusCode::FOUND, Some(String::new()), "can't be read"),
        (StatusCode::MULTIPLE_CHOICES, Some(to), "status 300"),
        (StatusCode::NOT_MODIFIED, None, "status 304"),
        (StatusCode::NO_CONTENT, None, "status 204"),
        (StatusCode::PARTIAL_CONTENT, None, "status 206"),
    ];
    for (status, location, words) in answers {
        let answer = move || async move {
            let mut answer = (status, "PK: a body that is no artifact").into_response();
            if let Some(location) = location {
                answer
                    .headers_mut()
                    .insert(LOCATION, location.parse().unwrap());
            }
            answer
        };
        let (url, server) = serve(Router::new().fallback(get(answer))).await;
        lab.connection.spec.url = url;
        lab.connection.metadata.generation = lab.connection.metadata.generation.map(|it| it + 1);
        let got = lab.client().await.artifact(3, 7, None).await;
        server.abort();
        let Err(error) = got else {
            panic!("{status} became an artifact");
        };
        assert!(error.message.contains(words), "{status}: {error}");
    }
    let came = futures::FutureExt::now_or_never(inside.accept());
    assert!(came.is_none(), "nothing was sent inside");
}

#[tokio::test]
async fn answers_of_other_services_are_not_shown() {
    let mut lab = Lab::start().await;
    for (status, body) in [
        (200, "AKIA-s3cret"),
        (200, r#"{"id":"s3cret","path_with_namespace":7}"#),
        (403, "s3cret"),
        (404, r#"{"Code":"s3cret"}"#),
        (500, "s3cret"),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = move || async move { (status, body) };
        let (url, server) = serve(Router::new().fallback(get(answer))).await;
        lab.connection.spec.url = url;
        lab.connection.metadata.generation = lab.connection.metadata.generation.map(|it| it + 1);
        let error = project(&lab).await.unwrap_err();
        server.abort();
        assert!(!error.to_string().contains("s3cret"), "{status}: {error}");
    }
}

#[tokio::test]
async fn unlabelled_secret_is_never_sent() {
    let lab = Lab::start().await;
    let label = |value: Option<&str>| {
        let labels = value.map(|value| ("sluice.dev/gitlab-token".to_owned(), value.to_owned()));
        *lab.secrets.labels.lock().unwrap() = BTreeMap::from_iter(labels);
    };
    for value in [None, Some("false"), Some("")] {
        label(value);
        let error = project(&lab).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Unauthenticated, "{error}");
        let way_out = "kubectl --namespace shop label secret gitlab sluice.dev/gitlab-token=true";
        assert!(error.message.contains(way_out), "{error}");
    }
    assert!(lab.gitlab.requests().is_empty(), "nothing was sent");
    label(Some("true"));
    assert_eq!(project(&lab).await, Ok(()));
}

#[tokio::test]
async fn refused_token_is_not_sent_again_until_reconcile_or_timeout() {
    let mut lab = Lab::start().await;
    lab.set_token("glpat-unknown");
    let (refused, requests) = lab.requests(project(&lab)).await;
    let first = refused.unwrap_err();
    assert_eq!(first.kind, CallErrorKind::Unauthenticated);
    for part in ["401 Unauthorized", "Secret shop/gitlab"] {
        assert!(first.message.contains(part), "{first}");
    }
    assert_eq!(requests.len(), 1);
    for _ in 0..3 {
        let (refused, requests) = lab.requests(project(&lab)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, CallErrorKind::Unauthenticated);
        assert_eq!(
            refused.message, first.message,
            "another message would cause another write of the status"
        );
        assert!(requests.is_empty());
    }
    let command = (annotation::RECONCILE.to_owned(), "now".to_owned());
    lab.connection.metadata.annotations = Some([command].into());
    for sent in [1, 0] {
        let (refused, requests) = lab.requests(project(&lab)).await;
        assert!(refused.is_err());
        assert_eq!(requests.len(), sent);
    }
    let good = lab.gitlab.create_token(lab.ana, &["read_api"], None);
    lab.set_token(&good);
    assert_eq!(project(&lab).await, Ok(()));
}

#[tokio::test]
async fn ca_bundle_is_within_bounds() {
    let mut lab = Lab::start().await;
    let key = lab.connection.spec.token_secret_ref.key.clone();
    let reference = serde_json::json!({"name": "ca", "key": key});
    lab.connection.spec.ca_bundle_ref = Some(serde_json::from_value(reference).unwrap());
    // The client counts the certificates before it parses them.
    let certificate = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        include_str!("../../chaos/unused-root.pem")
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    for (bundle, words) in [
        (certificate.repeat(301), "more than the limit of 300"),
        ("#".repeat((512 << 10) + 1), "more than the limit of 524288"),
        ("#".repeat(1000), "no certificates in PEM"),
    ] {
        lab.secrets
            .values
            .lock()
            .unwrap()
            .insert("ca".to_owned(), bundle);
        let error = project(&lab).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Invalid, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert_eq!(error.resource, "Secret shop/ca");
    }
}
