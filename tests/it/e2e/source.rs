//! GitLab does not have what the Deployment asks for.

use serde_json::{Value, json};
use sluice_lab::gitlab::{FaultAction, FaultRule};

use super::scene::{NAME, Scene, condition_in, conditions, says};

/// Breaks a running Deployment by an edit, looks what it says, mends it, and sees it Ready again.
fn broken_and_mended(namespace: &str, edit: impl Fn(&mut Value), reason: &str, parts: &[&str]) {
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
fn a_project_that_is_not_there_is_named() {
    broken_and_mended(
        "no-project",
        |wanted| wanted["spec"]["source"]["project"] = json!("nobody/nothing"),
        "ProjectNotFound",
        &["spec.source.project", "nobody/nothing", "can't see it"],
    );
}

#[test]
fn a_ref_that_is_not_there_is_named() {
    broken_and_mended(
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
fn a_connection_that_is_not_there_is_named() {
    broken_and_mended(
        "no-connection",
        |wanted| wanted["spec"]["source"]["connection"] = json!("gitlap"),
        "ConnectionNotFound",
        &["spec.source.connection", "gitlap"],
    );
}

#[test]
fn a_ref_that_must_be_protected_and_is_not_is_refused() {
    let scene = Scene::new("unprotected");
    let lab = &scene.world.lab;
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
fn while_gitlab_is_away_what_runs_goes_on_and_is_called_ready() {
    let scene = Scene::running("gitlab-away");
    let project = format!("/projects/{}/", scene.team.project.0);
    let fault = FaultRule::on(&project, FaultAction::BadGateway);
    let fault = scene.world.lab.gitlab.faults().add(fault);
    let message = scene.wait(NAME, "the status says that GitLab is away", |deployment| {
        let ready = condition_in(conditions(deployment), "Ready")?;
        (ready.status == "True" && ready.message.contains("GitLab can't be asked"))
            .then(|| ready.message.clone())
    });
    says(&message, &["r1 serves", "502"]);
    scene.still_serves("dev", "v1");
    fault.remove();
    scene.push("v2");
    scene.delivered(2);
}
