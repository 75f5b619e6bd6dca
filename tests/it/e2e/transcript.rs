//! Snapshots of what a user reads when a delivery succeeds and when it fails, word for word.
//!
//! Times, ids and addresses differ from run to run and are replaced by placeholders.

use std::fmt::Write as _;

use aws_sdk_lambda::{
    primitives::Blob,
    types::{FunctionCode, Runtime},
};
use k8s_openapi::api::events::v1::Event;
use serde_json::json;
use sluice::api::v1alpha1::Deployment;
use sluice_lab::lab::{package, package_answering};

use super::{
    run,
    scene::{NAME, Scene, smoke},
};

/// The status and the Events of the team's Deployment, as `kubectl describe` would show them.
fn transcript(scene: &Scene<'_>) -> String {
    let deployment = run(scene.api::<Deployment>().get(NAME)).unwrap();
    let status = deployment.status.unwrap_or_default();
    let mut text = String::new();
    let line = |text: &mut String, name: &str, value: Option<&str>| {
        let _ = writeln!(text, "{name}: {}", value.unwrap_or("-"));
    };
    // A truncated summary depends on the length of the lab's names; the conditions have the whole text.
    let whole = |summary: &&str| !summary.ends_with('…');
    let summary = status.summary.as_deref();
    assert!(summary.is_none_or(|it| it.chars().count() < 100));
    line(&mut text, "Summary", summary.filter(whole));
    line(&mut text, "Live", status.live.as_deref());
    text.push_str("Conditions:\n");
    let mut conditions = status.conditions.clone();
    conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
    for it in &conditions {
        let _ = writeln!(
            text,
            "  {}={} {}: {}",
            it.type_, it.status, it.reason, it.message
        );
    }
    text.push_str("Stages:\n");
    for it in &status.stages {
        let serves = it
            .live_revision
            .map_or("-".to_owned(), |it| format!("r{it}"));
        let given = it.revision.map_or("-".to_owned(), |it| format!("r{it}"));
        let message = it.message.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "  {} {}, given {given}, live {serves}: {message}",
            it.name, it.state
        );
    }
    text.push_str("Releases:\n");
    for it in scene.releases() {
        let summary = it.status.and_then(|status| status.summary);
        let _ = writeln!(
            text,
            "  r{}: {}",
            it.spec.revision,
            summary.as_deref().unwrap_or("-")
        );
    }
    text.push_str("Events:\n");
    let ours = |event: &&Event| {
        let kind = event.regarding.as_ref().and_then(|it| it.kind.as_deref());
        ["Deployment", "Target"].map(Some).contains(&kind)
    };
    let events = scene.list::<Event>();
    let mut events: Vec<String> = events.iter().filter(ours).map(event_line).collect();
    events.sort();
    events.dedup();
    text.extend(events);
    normalised(scene, &text)
}

fn event_line(event: &Event) -> String {
    let kind = event.regarding.as_ref().and_then(|it| it.kind.as_deref());
    format!(
        "  {} {} {}: {}\n",
        kind.unwrap_or("-"),
        event.type_.as_deref().unwrap_or("-"),
        event.reason.as_deref().unwrap_or("-"),
        event.note.as_deref().unwrap_or("-")
    )
}

fn normalised(scene: &Scene<'_>, text: &str) -> String {
    let mut text = text.to_owned();
    let host = scene.environment.lab.gitlab.url();
    let host = host.trim_start_matches("http://");
    text = text.replace(host, "GITLAB");
    for release in scene.releases() {
        let source = &release.spec.source;
        text = text.replace(&source.pipeline_id.to_string(), "PIPELINE");
        text = text.replace(&source.short_commit, "COMMIT");
    }
    text = text.replace(&scene.team.project.0.to_string(), "PROJECT");
    // Which request first fails with an expired token varies.
    for request in [
        "GET /projects/:id/pipelines/:id/jobs on pipeline PIPELINE of project",
        "GET /projects/:id/pipelines on project",
    ] {
        text = text.replace(request, "GET … on project");
    }
    let digits = |word: &str| word.len() >= 9 && word.bytes().all(|b| b.is_ascii_digit());
    let known = |word: &str| word.len() == 12 || word == "262144000" || word == "272629760";
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        out.push_str(if digits(&word) && !known(&word) {
            "NUMBER"
        } else {
            &word
        });
        word.clear();
        out.push(c);
    }
    out.trim_end().to_owned()
}

#[test]
fn delivery_through_two_stages() {
    let scene = Scene::new("story-delivered");
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev", "prod"]));
    scene.delivered(1);
    scene.event("Deployment", "Normal", "Delivered", &["r1"]);
    insta::assert_snapshot!(transcript(&scene));
}

#[test]
fn failed_check_in_dev_rolls_back() {
    let scene = Scene::new("story-taken-back");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["stages"][0]["checks"] = json!([smoke()]);
    scene.apply(&wanted);
    scene.delivered(1);
    scene.event("Deployment", "Normal", "Delivered", &["r1"]);
    scene.push_package(&package_answering(&json!({"statusCode": 500})));
    scene.stalled("RolledBack", &["500"]);
    scene.event("Deployment", "Warning", "RolledBack", &["500"]);
    scene.event("Target", "Warning", "RolledBack", &["500"]);
    insta::assert_snapshot!(transcript(&scene));
}

#[test]
fn unmanaged_function_blocks_a_delivery() {
    let scene = Scene::new("story-not-ours");
    let lab = &scene.environment.lab;
    let lambda = lab.lambda("dev", "eu-west-1").unwrap();
    let create = lambda
        .create_function()
        .function_name(scene.function())
        .runtime(Runtime::from("python3.13"))
        .handler("app.handler")
        .role(&lab.aws.dev().execution_role_arn)
        .code(
            FunctionCode::builder()
                .zip_file(Blob::new(package("theirs")))
                .build(),
        );
    run(create.send()).unwrap();
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.stalled("DeliveryFailed", &["not created by Sluice"]);
    scene.event("Deployment", "Warning", "DeliveryFailed", &["not created"]);
    insta::assert_snapshot!(transcript(&scene));
}

#[test]
fn expired_token_stops_new_releases() {
    let scene = Scene::running("story-token");
    scene.event("Deployment", "Normal", "Delivered", &["r1"]);
    scene.environment.lab.gitlab.expire_token(&scene.team.token);
    scene.stalled("InvalidCredentials", &["expired"]);
    scene.event("Deployment", "Warning", "InvalidCredentials", &["expired"]);
    insta::assert_snapshot!(transcript(&scene));
}

#[test]
fn missing_ref_stops_the_first_release() {
    let scene = Scene::new("story-ref");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["source"]["ref"] = json!("release-9");
    scene.apply(&wanted);
    scene.stalled("RefNotFound", &["release-9"]);
    scene.event("Deployment", "Warning", "RefNotFound", &["release-9"]);
    insta::assert_snapshot!(transcript(&scene));
}

#[test]
fn invalid_zip_stops_the_release() {
    let scene = Scene::new("story-zip");
    scene.push_package(b"no zip at all");
    scene.apply(&scene.deployment(&["dev"]));
    scene.stalled("InvalidArtifact", &["zip"]);
    scene.event("Deployment", "Warning", "InvalidArtifact", &["zip"]);
    insta::assert_snapshot!(transcript(&scene));
}
