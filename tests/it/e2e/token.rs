//! GitLab's token is wrong, has ended, may too little, or is gone.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use sluice::api::v1alpha1::{GitLabConnection, token_secret};
use sluice_lab::lab::wait_for;

use super::{
    LIMIT, run,
    scene::{Scene, condition_in, says},
};

/// What a broken token leads to.
struct Told<'a> {
    /// The Deployment's reason and parts of its message.
    deployment: (&'a str, &'a [&'a str]),
    /// The connection's reason and parts of its message.
    connection: (&'a str, &'a [&'a str]),
}

/// Breaks the token of a running Deployment, looks what both objects say, mends it, and sees the
/// next pipeline delivered.
fn broken_and_mended(namespace: &str, damage: impl Fn(&Scene<'_>), told: &Told<'_>) {
    let scene = Scene::running(namespace);
    damage(&scene);
    let (reason, parts) = told.deployment;
    scene.stalled(reason, parts);
    scene.event("Deployment", "Warning", reason, parts);
    let (reason, parts) = told.connection;
    look_again(&scene, "broken");
    connection(&scene, "False", reason, parts);
    scene.event("GitLabConnection", "Warning", reason, parts);
    scene.still_serves("dev", "v1");

    put_token(&scene, &new_token(&scene, &["read_api"]));
    look_again(&scene, "mended");
    connection(&scene, "True", "Verified", &["GitLab"]);
    scene.push("v2");
    scene.delivered(2);
    scene.serves("dev", "v2");
}

#[test]
fn a_wrong_token_names_the_secret_and_the_scope() {
    let parts = ["read_api", "gitlab-token"];
    let told = Told {
        deployment: ("InvalidCredentials", &parts),
        connection: ("InvalidCredentials", &parts),
    };
    broken_and_mended(
        "token-wrong",
        |scene| put_token(scene, "glpat-wrong"),
        &told,
    );
}

#[test]
fn an_expired_token_is_said_to_be_expired() {
    let parts = ["expired", "read_api", "gitlab-token"];
    let told = Told {
        deployment: ("InvalidCredentials", &parts),
        connection: ("InvalidCredentials", &parts),
    };
    broken_and_mended(
        "token-expired",
        |scene| scene.world.lab.gitlab.expire_token(&scene.team.token),
        &told,
    );
}

#[test]
fn a_token_without_read_api_is_told_the_scope() {
    let told = Told {
        deployment: (
            "AccessDenied",
            &["lacks a scope", "read_api", "gitlab-token"],
        ),
        connection: (
            "ScopeMissing",
            &["only read_user", "read_api", "gitlab-token"],
        ),
    };
    broken_and_mended(
        "token-narrow",
        |scene| put_token(scene, &new_token(scene, &["read_user"])),
        &told,
    );
}

#[test]
fn a_secret_that_is_deleted_is_named() {
    let parts = ["gitlab-token", "token-gone"];
    let told = Told {
        deployment: ("NotFound", &parts),
        connection: ("NotFound", &parts),
    };
    let delete = |scene: &Scene<'_>| {
        run(scene
            .api::<Secret>()
            .delete("gitlab-token", &DeleteParams::default()))
        .unwrap();
    };
    broken_and_mended("token-gone", delete, &told);
}

#[test]
fn a_secret_that_does_not_say_it_is_a_token_is_not_sent_and_told_how_to() {
    let parts = [
        "does not say that it holds a GitLab token",
        "kubectl --namespace token-unsaid label secret gitlab-token sluice.dev/gitlab-token=true",
    ];
    let told = Told {
        deployment: ("InvalidCredentials", &parts),
        connection: ("InvalidCredentials", &parts),
    };
    let unsay = |scene: &Scene<'_>| {
        let patch = json!({"metadata": {"labels": {token_secret::LABEL: null}}});
        let patch = Patch::Merge(patch);
        let secrets = scene.api::<Secret>();
        run(secrets.patch("gitlab-token", &PatchParams::default(), &patch)).unwrap();
    };
    broken_and_mended("token-unsaid", unsay, &told);
}

#[test]
fn a_token_that_ends_soon_is_told_ahead() {
    let scene = Scene::running("token-ends");
    let gitlab = &scene.world.lab.gitlab;
    let user = gitlab.create_user("ends-soon");
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let end = today.checked_add(jiff::Span::new().days(9)).unwrap();
    put_token(&scene, &gitlab.create_token(user, &["read_api"], Some(end)));
    look_again(&scene, "soon");
    let parts = ["expires in 9 days", &end.to_string(), "gitlab-token"];
    connection(&scene, "True", "TokenExpires", &parts);
    scene.event("GitLabConnection", "Warning", "TokenExpires", &parts);
}

fn new_token(scene: &Scene<'_>, scopes: &[&str]) -> String {
    let gitlab = &scene.world.lab.gitlab;
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

/// A connection is looked at every ten minutes, or when told to.
fn look_again(scene: &Scene<'_>, token: &str) {
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
    says(&message.unwrap_or_else(|e| panic!("{e}")), parts);
}
