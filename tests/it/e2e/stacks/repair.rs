//! Stuck stacks: the ways out that need no person, and those that do.

use aws_sdk_cloudformation::types::Tag;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::json;
use sluice::api::v1alpha1::{annotation, condition};
use sluice_lab::aws::{Action, Pattern, Rule};

use super::{
    emulator::{repair, setting},
    fixture::{
        State, TEMPLATE, breaking, client, count, deployment, described, executed, name,
        nothing_written, push, running, spec, state, status, wait_gone, wait_status,
    },
};
use crate::e2e::{
    run,
    scene::{NAME, Scene, assert_contains, condition_in},
};

/// A resource after `Broken` that fails, so that the update is rolled back.
const LATE: &str = "
  Late:
    Type: Custom::LabFailure
    DependsOn: Broken
    Properties: {FailOn: Create, Reason: too late}
Outputs:";

/// The template with a resource that no rollback can restore.
fn fragile(size: u32) -> String {
    let properties = format!("FailOn: [Rollback], Size: {size}");
    breaking("Update").replace("FailOn: Update", &properties)
}

/// The same, and its update fails.
fn failing(size: u32) -> String {
    fragile(size).replace("\nOutputs:", LATE)
}

/// A team with a stack in dev whose rollbacks fail.
fn running_fragile(namespace: &str) -> (Scene<'static>, serde_json::Value, State) {
    let (scene, wanted) = running(namespace);
    push(&scene, &fragile(1));
    scene.delivered(2);
    let before = state(&scene);
    (scene, wanted, before)
}

/// The parts of the message about a rollback that has failed again.
const FAILED_AGAIN: [&str; 4] = [
    "it is UPDATE_ROLLBACK_FAILED, and so it was again",
    "Broken (Custom::LabFailure) is UPDATE_FAILED: the quota is exhausted",
    "aws cloudformation continue-update-rollback --stack-name",
    "add Broken to spec.components[infra].cloudFormation.rollback.resourcesToSkip",
];

/// An update by another tool that fails, as does its rollback.
fn fail_externally(scene: &Scene<'_>) {
    let update = client(scene, "dev").update_stack();
    let update = update.stack_name(name(scene)).template_body(failing(2));
    run(update.send()).unwrap();
    wait_status(scene, "dev", "UPDATE_ROLLBACK_FAILED");
}

#[test]
fn restore_continues_a_failed_rollback() {
    let (scene, _, before) = running_fragile("stk-continue");
    // The first attempt fails, and the next one only once the cause is gone.
    let on = Pattern::operation("cloudformation", "ContinueUpdateRollback").about(&name(&scene));
    let fault = scene.environment.lab.aws.faults();
    let fault = fault.add(Rule::always(on, Action::Throttle));
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &failing(2));
    wait_status(&scene, "dev", "UPDATE_ROLLBACK_FAILED");
    repair(&scene);
    drop(fault);
    scene.stalled("RolledBack", &["r2 serves", "too late"]);
    assert_eq!(status(&scene, "dev"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(state(&scene), before);
    assert_eq!(executed(&scene, mark), 1);
    assert_eq!(count(&scene, mark, "DeleteStack"), 0);
}

#[test]
fn rollback_that_fails_again_waits_for_a_person() {
    let (scene, _, before) = running_fragile("stk-stuck");
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &failing(2));
    scene.wait(NAME, "the Target waits for a person", |_| {
        let status = scene.target("dev").status?;
        let ready = condition_in(&status.conditions, condition::READY)?;
        let says = FAILED_AGAIN.iter().all(|part| ready.message.contains(part));
        (ready.reason == "WaitingForAWS" && says).then_some(())
    });
    assert_eq!(count(&scene, mark, "ContinueUpdateRollback"), 1);

    repair(&scene);
    let resume = client(&scene, "dev").continue_update_rollback();
    run(resume.stack_name(name(&scene)).send()).unwrap();
    scene.stalled("RolledBack", &["r2 serves", "too late"]);
    assert_eq!(status(&scene, "dev"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(state(&scene), before);
    assert_eq!(executed(&scene, mark), 1);
    assert_eq!(count(&scene, mark, "ContinueUpdateRollback"), 1);
}

#[test]
fn restore_skips_the_resources_that_the_spec_names() {
    let (scene, mut wanted, before) = running_fragile("stk-skip");
    spec(&mut wanted)["rollback"] = json!({"resourcesToSkip": ["Broken", "Queue"]});
    scene.apply(&wanted);
    scene.delivered(3);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &failing(2));
    scene.stalled("RolledBack", &["r3 serves", "too late"]);
    assert_eq!(status(&scene, "dev"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(state(&scene), before);
    assert_eq!(count(&scene, mark, "ContinueUpdateRollback"), 1);
}

#[test]
fn release_continues_the_failed_rollback_of_another_tool() {
    let (scene, _, _) = running_fragile("stk-resumed");
    fail_externally(&scene);
    repair(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &fragile(3).replace("hello", "again"));
    scene.delivered(3);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("again"));
    assert_eq!(count(&scene, mark, "ContinueUpdateRollback"), 1);
    assert_eq!(executed(&scene, mark), 1);
}

#[test]
fn release_that_can_not_continue_a_rollback_names_the_resource() {
    let (scene, mut wanted, _) = running_fragile("stk-skip-plan");
    fail_externally(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &fragile(3).replace("hello", "again"));
    let message = scene.stalled("DeliveryFailed", &FAILED_AGAIN);
    assert_contains(&message, &["r3 was not delivered, r2 serves"]);
    assert_eq!(count(&scene, mark, "ContinueUpdateRollback"), 1);
    assert_eq!(executed(&scene, mark), 0);

    // As another attempt does, a new Release continues the rollback once more.
    spec(&mut wanted)["rollback"] = json!({"resourcesToSkip": ["Broken"]});
    scene.apply(&wanted);
    scene.delivered(4);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("again"));
    assert_eq!(count(&scene, mark, "ContinueUpdateRollback"), 2);
    assert_eq!(executed(&scene, mark), 1);
}

/// The tags that name the team's Deployment as the owner.
fn owner(scene: &Scene<'_>) -> Vec<Tag> {
    let namespaces = Api::<Namespace>::all(scene.environment.client.clone());
    let cluster = run(namespaces.get("kube-system")).unwrap().metadata.uid;
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    vec![
        tag("sluice.dev/cluster", &cluster.expect("a uid")),
        tag("sluice.dev/namespace", &scene.team.namespace),
        tag("sluice.dev/name", NAME),
    ]
}

/// A team whose stack with this template could not be created.
fn rolled_back(namespace: &str, template: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    let create = client(&scene, "dev")
        .create_stack()
        .stack_name(name(&scene))
        .template_body(template)
        .set_tags(Some(owner(&scene)));
    run(create.send()).unwrap();
    wait_status(&scene, "dev", "ROLLBACK_COMPLETE");
    scene
}

#[test]
fn stack_whose_creation_was_rolled_back_is_created_anew() {
    let scene = rolled_back("stk-rolled-back", &breaking("Create"));
    let before = described(&scene, "dev").and_then(|stack| stack.stack_id);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["dev"]));
    scene.delivered(1);
    let after = described(&scene, "dev").and_then(|stack| stack.stack_id);
    assert_ne!(after, before);
    assert_eq!(status(&scene, "dev"), "CREATE_COMPLETE");
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
    assert_eq!(count(&scene, mark, "DeleteStack"), 1);
    assert_eq!(executed(&scene, mark), 1);
}

#[test]
fn retained_resources_of_a_failed_creation_need_a_person() {
    let retained = breaking("Create").replace(
        "    Type: AWS::SQS::Queue\n",
        "    Type: AWS::SQS::Queue\n    DeletionPolicy: Retain\n",
    );
    let scene = rolled_back("stk-retained", &retained);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["dev"]));
    let delete = format!(
        "aws cloudformation delete-stack --stack-name {}",
        name(&scene)
    );
    let parts = [
        "it is ROLLBACK_COMPLETE",
        "resources of it still exist: Queue (AWS::SQS::Queue, ",
        &*delete,
    ];
    scene.stalled("DeliveryFailed", &parts);
    nothing_written(&scene, mark);
    assert_eq!(status(&scene, "dev"), "ROLLBACK_COMPLETE");

    let delete = client(&scene, "dev").delete_stack();
    run(delete.stack_name(name(&scene)).send()).unwrap();
    wait_gone(&scene, "dev");
    scene.annotate(annotation::RETRY, "it is deleted");
    scene.delivered(1);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
}
