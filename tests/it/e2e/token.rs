//! GitLab's token is wrong, expired, short of a scope, or deleted.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use sluice::api::v1alpha1::{GitLabConnection, token_secret};
use sluice_lab::lab::wait_for;

use super::{
    LIMIT, run,
    scene::{Scene, assert_contains, condition_in},
};

/// The expected reports of a broken token.
struct Expected<'a> {
    /// The Deployment's reason and parts of its message.
    deployment: (&'a str, &'a [&'a str]),
    /// The connection's reason and parts of its message.
    connection: (&'a str, &'a [&'a str]),
}

/// Breaks the token of a running Deployment, asserts what both objects report, replaces the token, and waits
/// until the next pipeline is delivered.
fn breaks_and_recovers(namespace: &str, damage: impl Fn(&Scene<'_>), expected: &Expected<'_>) {
    let scene = Scene::running(namespace);
    damage(&scene);
    let (reason, parts) = expected.deployment;
    scene.stalled(reason, parts);
    scene.event("Deployment", "Warning", reason, parts);
    let (reason, parts) = expected.connection;
    recheck_connection(&scene, "broken");
    connection(&scene, "False", reason, parts);
    scene.event("GitLabConnection", "Warning", reason, parts);
    scene.still_serves("dev", "v1");

    put_token(&scene, &new_token(&scene, &["read_api"]));
    recheck_connection(&scene, "replaced");
    connection(&scene, "True", "Verified", &["GitLab"]);
    scene.push("v2");
    scene.delivered(2);
    scene.serves("dev", "v2");
}

#[test]
fn wrong_token_names_the_secret_and_the_scope() {
    let parts = ["read_api", "gitlab-token"];
    let expected = Expected {
        deployment: ("InvalidCredentials", &parts),
        connection: ("InvalidCredentials", &parts),
    };
    breaks_and_recovers(
        "token-wrong",
        |scene| put_token(scene, "glpat-wrong"),
        &expected,
    );
}

#[test]
fn expired_token_is_reported_as_expired() {
    let parts = ["expired", "read_api", "gitlab-token"];
    let expected = Expected {
        deployment: ("InvalidCredentials", &parts),
        connection: ("InvalidCredentials", &parts),
    };
    breaks_and_recovers(
        "token-expired",
        |scene| scene.environment.lab.gitlab.expire_token(&scene.team.token),
        &expected,
    );
}

#[test]
fn token_without_read_api_names_the_scope() {
    let expected = Expected {
        deployment: (
            "AccessDenied",
            &["lacks a scope", "read_api", "gitlab-token"],
        ),
        connection: (
            "ScopeMissing",
            &["only read_user", "read_api", "gitlab-token"],
        ),
    };
    breaks_and_recovers(
        "token-narrow",
        |scene| put_token(scene, &new_token(scene, &["read_user"])),
        &expected,
    );
}

#[test]
fn deleted_token_secret_is_named() {
    let parts = ["gitlab-token", "token-gone"];
    let expected = Expected {
        deployment: ("NotFound", &parts),
        connection: ("NotFound", &parts),
    };
    let delete = |scene: &Scene<'_>| {
        run(scene
            .api::<Secret>()
            .delete("gitlab-token", &DeleteParams::default()))
        .unwrap();
    };
    breaks_and_recovers("token-gone", delete, &expected);
}

#[test]
fn unlabelled_token_secret_is_not_sent_and_names_the_label() {
    let parts = [
        "is not marked as a GitLab token",
        "kubectl --namespace token-unsaid label secret gitlab-token sluice.dev/gitlab-token=true",
    ];
    let expected = Expected {
        deployment: ("InvalidCredentials", &parts),
        connection: ("InvalidCredentials", &parts),
    };
    let remove_label = |scene: &Scene<'_>| {
        let patch = json!({"metadata": {"labels": {token_secret::LABEL: null}}});
        let patch = Patch::Merge(patch);
        let secrets = scene.api::<Secret>();
        run(secrets.patch("gitlab-token", &PatchParams::default(), &patch)).unwrap();
    };
    breaks_and_recovers("token-unsaid", remove_label, &expected);
}

#[test]
fn token_that_expires_soon_is_reported_in_advance() {
    let scene = Scene::running("token-ends");
    let gitlab = &scene.environment.lab.gitlab;
    let user = gitlab.create_user("ends-soon");
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let end = today.checked_add(jiff::Span::new().days(9)).unwrap();
    put_token(&scene, &gitlab.create_token(user, &["read_api"], Some(end)));
    recheck_connection(&scene, "soon");
    let parts = ["expires in 9 days", &end.to_string(), "gitlab-token"];
    connection(&scene, "True", "TokenExpires", &parts);
    scene.event("GitLabConnection", "Warning", "TokenExpires", &parts);
}

fn new_token(scene: &Scene<'_>, scopes: &[&str]) -> String {
    let gitlab = &scene.environment.lab.gitlab;
    let user = gitlab.create_user(&format!("{}-{}", scene.team.namespace, scopes.join("-")));
    gitlab.create_token(user, scopes, None)
}

fn put_token(scene: &Scene<'_>, token: &str) {
    scene.apply(&json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "gitlab-token",
            "namespace": scene.team.namespace,
            "labels": {token_secret::LABEL: token_secret::LABEL_VALUE},
        },
        "stringData": {"token": token},
    }));
}

/// Requests a check of the connection, which Sluice otherwise checks every ten minutes.
fn recheck_connection(scene: &Scene<'_>, token: &str) {
    let patch = json!({"metadata": {"annotations": {"sluice.dev/reconcile": token}}});
    let api = scene.api::<GitLabConnection>();
    run(api.patch("gitlab", &PatchParams::default(), &Patch::Merge(patch))).unwrap();
}

#[track_caller]
fn connection(scene: &Scene<'_>, status: &str, reason: &str, parts: &[&str]) {
    let api = scene.api::<GitLabConnection>();
    let what = format!("the connection is Ready={status} because of {reason}");
    let message = wait_for(&what, LIMIT, || {
        let connection = run(api.get("gitlab")).map_err(|e| e.to_string())?;
        let conditions = connection.status.unwrap_or_default().conditions;
        let ready = condition_in(&conditions, "Ready").cloned();
        ready
            .filter(|ready| ready.status == status && ready.reason == reason)
            .map(|ready| ready.message)
            .ok_or_else(|| format!("{conditions:?}"))
    });
    assert_contains(&message.unwrap_or_else(|e| panic!("{e}")), parts);
}
