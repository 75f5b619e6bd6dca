//! GitLab does not have what the Deployment refers to.

use serde_json::{Value, json};
use sluice::api::v1alpha1::condition;
use sluice_lab::gitlab::{FaultAction, FaultRule};

use super::scene::{NAME, Scene, assert_contains, condition_in, conditions};

/// Breaks a running Deployment by an edit, asserts the reason, reverts the edit, and waits for the next
/// delivery.
fn breaks_and_recovers(namespace: &str, edit: impl Fn(&mut Value), reason: &str, parts: &[&str]) {
    let scene = Scene::running(namespace);
    let good = scene.deployment(&["dev"]);
    let mut bad = good.clone();
    edit(&mut bad);
    scene.apply(&bad);
    scene.stalled(reason, parts);
    scene.event("Deployment", "Warning", reason, parts);
    scene.still_serves("dev", "v1");
    scene.apply(&good);
    scene.delivered(1);
    scene.push("v2");
    scene.delivered(2);
}

#[test]
fn missing_project_is_named() {
    breaks_and_recovers(
        "no-project",
        |wanted| wanted["spec"]["source"]["project"] = json!("missing/missing"),
        "ProjectNotFound",
        &["spec.source.project", "missing/missing", "can't see it"],
    );
}

#[test]
fn missing_ref_is_named() {
    breaks_and_recovers(
        "no-ref",
        |wanted| wanted["spec"]["source"]["ref"] = json!("release-9"),
        "RefNotFound",
        &[
            "spec.source.ref",
            "no branch or tag release-9",
            "no-ref/checkout",
        ],
    );
}

#[test]
fn missing_connection_is_named() {
    breaks_and_recovers(
        "no-connection",
        |wanted| wanted["spec"]["source"]["connection"] = json!("gitlap"),
        "ConnectionNotFound",
        &["spec.source.connection", "gitlap"],
    );
}

#[test]
fn unprotected_ref_is_refused_where_protection_is_required() {
    let scene = Scene::new("unprotected");
    let lab = &scene.environment.lab;
    lab.gitlab.push(scene.team.project, "feature", "Begin");
    lab.deliverable_pipeline(
        scene.team.project,
        "feature",
        &sluice_lab::lab::package("v1"),
    );
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["source"]["ref"] = json!("feature");
    wanted["spec"]["source"]["requireProtectedRef"] = json!(true);
    scene.apply(&wanted);
    let parts = ["spec.source.requireProtectedRef", "feature"];
    scene.stalled("RefNotProtected", &parts);
    scene.event("Deployment", "Warning", "RefNotProtected", &parts);
    assert!(scene.releases().is_empty());

    lab.gitlab.protect(scene.team.project, "feature", true);
    scene.delivered(1);
}

#[test]
fn gitlab_outage_keeps_the_deployment_ready() {
    let scene = Scene::running("gitlab-away");
    let project = format!("/projects/{}/", scene.team.project.0);
    let fault = FaultRule::on(&project, FaultAction::BadGateway);
    let fault = scene.environment.lab.gitlab.faults().add(fault);
    let message = scene.wait(NAME, "the status reports the outage", |deployment| {
        let ready = condition_in(conditions(deployment), "Ready")?;
        (ready.status == "True" && ready.message.contains("GitLab is unavailable"))
            .then(|| ready.message.clone())
    });
    assert_contains(&message, &["r1 serves", "502"]);
    scene.still_serves("dev", "v1");
    fault.remove();
    scene.push("v2");
    scene.delivered(2);
}

#[test]
fn delivered_release_stays_ready_without_its_source() {
    let scene = Scene::new("source-gone");
    let (gitlab, project) = (&scene.environment.lab.gitlab, scene.team.project);
    let pipeline = scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);

    gitlab.clean_artifacts(gitlab.job(pipeline, "package"));
    scene.poll_gitlab("after the artifacts expired");
    let message = scene.condition(condition::SOURCE_READY, "True", "Resolved");
    assert_contains(&message, &["artifacts of job package expired"]);
    scene.delivered(1);

    gitlab.delete_pipeline(pipeline);
    gitlab.delete_ref(project, "main");
    let message = scene.condition(condition::SOURCE_READY, "False", "RefNotFound");
    assert_contains(&message, &["spec.source.ref", "no branch or tag main"]);
    let ready = scene.condition(condition::READY, "True", "Delivered");
    assert_contains(&ready, &["nothing newer can be released (RefNotFound)"]);

    let path = format!("/projects/{}/", project.0);
    let gone = FaultAction::Respond {
        status: 404,
        content_type: "application/json".to_owned(),
        body: r#"{"message":"404 Project Not Found"}"#.to_owned(),
    };
    let gone = gitlab.faults().add(FaultRule::on(&path, gone));
    let message = scene.condition(condition::SOURCE_READY, "False", "ProjectNotFound");
    assert_contains(&message, &["spec.source.project"]);
    scene.delivered(1);
    gone.remove();

    // An edit that needs a new Release reports the failure at once.
    let good = scene.deployment(&["dev"]);
    let mut other = good.clone();
    other["spec"]["source"]["ref"] = json!("release-9");
    scene.apply(&other);
    scene.stalled("RefNotFound", &["no branch or tag release-9"]);
    scene.apply(&good);
    scene.push("v2");
    scene.delivered(2);
    scene.condition(condition::SOURCE_READY, "True", "Resolved");
    scene.serves("dev", "v2");
}

#[test]
fn misspelt_job_is_reported_with_similar_names() {
    let scene = Scene::new("near-miss");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["artifacts"][0]["job"]["name"] = json!("Package");
    scene.push("v1");
    scene.apply(&wanted);
    let message = scene.condition(condition::SOURCE_READY, "True", "WaitingForPipeline");
    assert_contains(&message, &["has no job Package, but package"]);
}
