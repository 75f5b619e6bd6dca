//! The client's errors when GitLab refuses or is down.

use std::time::Duration;

use sluice::ports::{CallErrorKind, gitlab::GitLabs as _};
use sluice_lab::gitlab::{FaultAction, FaultRule};

use super::Lab;

/// The error of reading the project.
async fn refused(lab: &Lab) -> (CallErrorKind, String) {
    let error = lab
        .client()
        .await
        .project("shop/checkout")
        .await
        .unwrap_err();
    (error.kind.clone(), error.to_string())
}

#[tokio::test]
async fn bad_tokens_are_explained_and_a_good_one_works_at_once() {
    let lab = Lab::start().await;
    let expired = lab.gitlab.create_token(lab.ana, &["api"], None);
    lab.gitlab.expire_token(&expired);
    let revoked = lab.gitlab.create_token(lab.ana, &["api"], None);
    lab.gitlab.revoke_token(&revoked);
    let narrow = lab.gitlab.create_token(lab.ana, &["read_user"], None);
    let table = [
        (
            "glpat-unknown",
            CallErrorKind::Unauthenticated,
            "401 Unauthorized",
        ),
        (expired.as_str(), CallErrorKind::Unauthenticated, "expired"),
        (revoked.as_str(), CallErrorKind::Unauthenticated, "revoked"),
        (narrow.as_str(), CallErrorKind::Denied, "insufficient_scope"),
    ];
    for (token, kind, words) in table {
        lab.set_token(token);
        // Another uid, so that the client reads the Secret again.
        let mut connection = lab.connection.clone();
        connection.metadata.uid = Some(token.to_owned());
        let client = lab.clients.client(&connection).await.unwrap();
        let error = client.project("shop/checkout").await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind, kind, "{text}");
        for part in [
            words,
            "read_api",
            "key token of Secret shop/gitlab",
            "shop/checkout",
        ] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        assert!(!text.contains(token), "{text}");
    }

    // After a refusal the client reads the Secret again at once.
    lab.set_token("glpat-unknown");
    assert_eq!(refused(&lab).await.0, CallErrorKind::Unauthenticated);
    let good = lab.gitlab.create_token(lab.ana, &["read_api"], None);
    lab.set_token(&good);
    assert!(lab.client().await.project("shop/checkout").await.is_ok());
}

#[tokio::test]
async fn invalid_connections_are_explained() {
    let lab = Lab::start().await;
    let explain = async |change: fn(&mut sluice::api::v1alpha1::GitLabConnection)| {
        let mut connection = lab.connection.clone();
        connection.metadata.generation = Some(9);
        change(&mut connection);
        let error = lab.clients.client(&connection).await.err().unwrap();
        (error.kind.clone(), error.to_string())
    };
    let (kind, text) = explain(|it| it.spec.url = "ftp://x".to_owned()).await;
    assert_eq!(kind, CallErrorKind::Invalid);
    assert!(
        text.contains("GitLabConnection shop/gitlab: spec.url"),
        "{text}"
    );
    let (kind, text) = explain(|it| it.spec.token_secret_ref.key = "no".to_owned()).await;
    assert_eq!(kind, CallErrorKind::NotFound);
    assert!(
        text.contains("Secret shop/gitlab: it has no key no"),
        "{text}"
    );
    let (kind, _) = explain(|it| it.spec.token_secret_ref.name = "no".to_owned()).await;
    assert_eq!(kind, CallErrorKind::NotFound);
    let no_ca = |it: &mut sluice::api::v1alpha1::GitLabConnection| {
        it.spec.ca_bundle_ref = Some(it.spec.token_secret_ref.clone());
    };
    let (kind, text) = explain(no_ca).await;
    assert_eq!(kind, CallErrorKind::Invalid);
    assert!(text.contains("no certificates in PEM"), "{text}");
}

#[tokio::test]
async fn hidden_project_is_reported_as_not_found() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    for project in ["shop/none", "checkout", "7"] {
        let error = client.project(project).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::NotFound);
        assert!(error.message.contains("can't see it"), "{error}");
    }
}

#[tokio::test]
async fn throttling_delays_further_requests() {
    for action in [
        FaultAction::Throttled { retry_after: 70 },
        FaultAction::ApplicationLimit { retry_after: 70 },
    ] {
        let lab = Lab::start().await;
        let _fault = lab
            .gitlab
            .faults()
            .add(FaultRule::on("/projects", action).times(1));
        let (kind, text) = refused(&lab).await;
        let retry_after = Some(Duration::from_secs(70));
        assert_eq!(kind, CallErrorKind::Throttled { retry_after }, "{text}");
        let (again, requests) = lab.requests(refused(&lab)).await;
        assert!(matches!(
            again.0,
            CallErrorKind::Throttled {
                retry_after: Some(_)
            }
        ));
        assert!(requests.is_empty());
    }
}

#[tokio::test]
async fn gitlab_outage_is_unavailable() {
    let page = FaultAction::Respond {
        status: 200,
        content_type: "text/html".to_owned(),
        body: "<html>Please sign in</html>".to_owned(),
    };
    let garbage = FaultAction::Respond {
        status: 200,
        content_type: "application/json".to_owned(),
        body: r#"{"id": "seven"}"#.to_owned(),
    };
    let table = [
        (FaultAction::BadGateway, "502"),
        (FaultAction::Drop, "error sending request"),
        (FaultAction::Truncate { after: 5 }, "body"),
        (page, "a web page"),
        (garbage, "can't be read"),
    ];
    for (action, words) in table {
        let lab = Lab::start().await;
        let shown = format!("{action:?}");
        let fault = lab.gitlab.faults().add(FaultRule::on("/projects", action));
        let (kind, text) = refused(&lab).await;
        assert_eq!(kind, CallErrorKind::Unavailable, "{shown}: {text}");
        assert!(text.contains(words), "{shown}: {text}");
        fault.remove();
        assert!(lab.client().await.project("shop/checkout").await.is_ok());
    }
}

#[tokio::test]
async fn redirect_to_another_host_is_not_followed() {
    let mut lab = Lab::start().await;
    let other = Lab::start().await;
    // Like a proxy that redirects http to https, or a host to its new name.
    let redirector = axum::Router::new().fallback({
        let to = other.gitlab.url();
        move |uri: axum::http::Uri| {
            let location = format!("{to}{}", uri.path());
            async move {
                (
                    axum::http::StatusCode::MOVED_PERMANENTLY,
                    [("location", location)],
                )
            }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.connection.spec.url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, redirector).into_future());
    let (kind, text) = refused(&lab).await;
    server.abort();
    assert_eq!(kind, CallErrorKind::Invalid);
    assert!(
        text.contains(&other.gitlab.url()) && text.contains("spec.url"),
        "{text}"
    );
    assert!(other.gitlab.requests().is_empty());
}
