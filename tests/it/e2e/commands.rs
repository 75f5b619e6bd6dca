//! Commands: Sluice carries out each once and answers it, whatever else fails.

use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{DeploymentStatus, Target, condition};
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    kube::User,
    lab::package_answering,
};

use super::{
    refusing::DenyUpdates,
    scene::{NAME, Scene, assert_contains, condition_in, conditions, smoke},
};

/// A team with v1 live in dev, and v2 held there by a check that always fails.
fn held(namespace: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["stages"][0]["checks"] = json!([smoke()]);
    wanted["spec"]["rollback"] = json!({"onFailure": "Hold"});
    scene.push("v1");
    scene.apply(&wanted);
    scene.delivered(1);
    scene.push_package(&package_answering(&json!({"statusCode": 500})));
    scene.stalled("Held", &["r2"]);
    scene
}

/// Creates a Release without an owner that has the name of the next one.
fn create_conflicting_release(scene: &Scene<'_>, name: &str) {
    let mut release = serde_json::to_value(scene.releases().remove(0)).unwrap();
    release["metadata"] = json!({"name": name, "namespace": scene.team.namespace});
    release["spec"]["key"] = json!("f".repeat(64));
    release["spec"]["revision"] = json!(3);
    let lab = &scene.environment.lab;
    let user = format!("--as={}", lab.controller().username());
    let arguments = ["create", &user, "--filename=-"];
    let created = lab
        .kube
        .kubectl_with_input(User::Admin, &arguments, &release.to_string())
        .unwrap();
    let error = String::from_utf8_lossy(&created.stderr);
    assert!(created.status.success(), "{error}");
}

/// Waits until `is` holds for the status.
#[track_caller]
fn status(
    scene: &Scene<'_>,
    what: &str,
    is: impl Fn(&DeploymentStatus) -> bool,
) -> DeploymentStatus {
    scene.wait(NAME, what, |deployment| {
        deployment.status.clone().filter(|status| is(status))
    })
}

/// The notes of the Deployment's Warning Events with that reason.
fn warnings(scene: &Scene<'_>, reason: &str) -> Vec<Option<String>> {
    let events = scene.list::<Event>().into_iter();
    let matching = events.filter(|event| {
        event.reason.as_deref() == Some(reason)
            && event.type_.as_deref() == Some("Warning")
            && event.regarding.as_ref().and_then(|it| it.kind.as_deref()) == Some("Deployment")
    });
    matching.map(|event| event.note).collect()
}

#[test]
fn command_is_carried_out_once_whatever_else_fails() {
    let scene = held("command-once");
    create_conflicting_release(&scene, "checkout-3");
    scene.push("v3");
    let besides = "also: Release checkout-3 exists";
    scene.wait(NAME, "the conflicting Release is reported", |deployment| {
        let stalled = condition_in(conditions(deployment), condition::STALLED)?;
        (stalled.reason == "Held" && stalled.message.contains(besides)).then_some(())
    });

    scene.annotate("sluice.dev/promote", "go");
    status(&scene, "the promotion is handled", |status| {
        status.last_handled_promote.as_deref() == Some("go")
    });
    scene.wait(NAME, "r2 is held again", |_| {
        let run = scene.run_in_dev();
        (run.attempt == 2 && run.step == "Held").then_some(())
    });
    scene.stalled("Held", &["r2"]);
    scene.poll_gitlab("after it was held again");
    let run = scene.run_in_dev();
    assert_eq!(
        (run.attempt, run.step.as_str()),
        (2, "Held"),
        "one promotion"
    );

    scene.annotate("sluice.dev/abort", "enough");
    scene.stalled("RolledBack", &["r2", "r1 serves", besides]);
    scene.event(
        "Deployment",
        "Normal",
        "Abort",
        &["dev: checkout-2 is aborted"],
    );
    scene.still_serves("dev", "v1");
}

/// Waits until the second attempt of r2 is held.
#[track_caller]
fn held_again(scene: &Scene<'_>) {
    scene.wait(NAME, "r2 is held again", |_| {
        let run = scene.run_in_dev();
        (run.attempt == 2 && run.step == "Held").then_some(())
    });
    let assigned = scene.target("dev").spec.run;
    assert_eq!(assigned.map(|run| run.attempt), Some(2), "one promotion");
}

#[test]
fn no_run_is_assigned_before_the_command_is_recorded() {
    let scene = held("command-first");
    let refusing = DenyUpdates::begin(&scene, "deployments/status");
    scene.annotate("sluice.dev/promote", "go");
    refusing.wait_denied(2);
    let assigned = scene.target("dev").spec.run;
    assert_eq!(assigned.map(|run| run.attempt), Some(1), "none yet");
    drop(refusing);
    status(&scene, "the promotion is handled", |status| {
        status.last_handled_promote.as_deref() == Some("go")
    });
    held_again(&scene);
}

#[test]
fn refused_assignment_is_retried() {
    let scene = held("order-later");
    let refusing = DenyUpdates::begin(&scene, "targets");
    scene.annotate("sluice.dev/promote", "go");
    status(&scene, "the promotion is handled", |status| {
        status.last_handled_promote.as_deref() == Some("go")
    });
    refusing.wait_denied(1);
    drop(refusing);
    held_again(&scene);
}

#[test]
fn stage_waits_until_the_previous_outcome_is_recorded() {
    let scene = Scene::new("outcome-first");
    let refusing = DenyUpdates::begin(&scene, "releases/status");
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev", "prod"]));
    refusing.wait_denied(2);
    let targets = scene.list::<Target>();
    let of_prod = targets.iter().filter(|it| it.spec.account == "prod");
    assert_eq!(of_prod.count(), 0, "{targets:#?}");
    drop(refusing);
    scene.delivered(1);
}

#[test]
fn successful_retry_does_not_report_the_former_failure() {
    let scene = Scene::new("retried");
    let lab = &scene.environment.lab;
    let publish = Pattern {
        service: Some("lambda".to_owned()),
        operation: Some("PublishVersion".to_owned()),
        resource_contains: Some(scene.function()),
        ..Pattern::default()
    };
    let full = Action::respond(
        400,
        "CodeStorageExceededException",
        "Code storage limit exceeded.",
    );
    let fault = lab.aws.faults().add(Rule::always(publish, full));
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.stalled("RolledBack", &["Code storage limit exceeded"]);
    scene.condition(condition::DELIVERED, "False", "RolledBack");
    fault.remove();
    scene.annotate("sluice.dev/retry", "again");
    scene.delivered(1);
    scene.condition(condition::DELIVERED, "True", "Delivered");
    scene.event(
        "Deployment",
        "Normal",
        "Delivered",
        &["r1 serves in every stage"],
    );
    let notes = warnings(&scene, "RolledBack");
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn idle_and_misspelt_commands_are_answered() {
    let scene = Scene::running("idle-commands");
    scene.annotate("sluice.dev/abort", "now");
    let idle = "sluice.dev/abort: nothing to abort";
    scene.event("Deployment", "Warning", "Abort", &[idle]);
    let answered = status(&scene, "the abort is handled", |status| {
        status.last_handled_abort.as_deref() == Some("now")
    });
    assert_contains(answered.last_command.as_deref().unwrap(), &[idle]);

    scene.annotate("sluice.dev/abrot", "now");
    let parts = ["sluice.dev/abrot does nothing", "sluice.dev/abort"];
    scene.event("Deployment", "Warning", "UnknownAnnotation", &parts);
    let answered = status(&scene, "the misspelt annotation is listed", |status| {
        !status.unknown_annotations.is_empty()
    });
    assert_eq!(answered.unknown_annotations, ["sluice.dev/abrot"]);
    scene.merge(&json!({"metadata": {"annotations": {"sluice.dev/abrot": Value::Null}}}));
    status(&scene, "the annotation is gone", |status| {
        status.unknown_annotations.is_empty()
    });
    scene.condition(condition::READY, "True", "Delivered");
}
