//! Replacements and deletions of resources need permission in the spec.

use serde_json::{Value, json};

use super::{
    emulator::{queue, setting},
    fixture::{
        TEMPLATE, deployment, described, executed, name, push, running, spec, state, status,
        template, wait_no_change_sets,
    },
};
use crate::e2e::scene::{Scene, assert_contains};

/// The template with a name of the queue, whose change replaces the queue.
fn named(queue: &str) -> String {
    let name = format!("    Properties:\n      QueueName: !Sub \"${{AWS::StackName}}-{queue}\"\n");
    TEMPLATE.replacen("    Properties:\n", &name, 1)
}

/// The template without the resource `Setting`.
fn without_setting() -> String {
    let (before, rest) = TEMPLATE.split_once("  Setting:\n").expect("the resource");
    let (_, after) = rest.split_once("Outputs:").expect("outputs");
    format!("{before}Outputs:{after}")
}

/// A team with the template in dev.
fn delivered(namespace: &str, template: &str) -> (Scene<'static>, Value) {
    let scene = Scene::new(namespace);
    push(&scene, template);
    let wanted = deployment(&scene, &["dev"]);
    scene.apply(&wanted);
    scene.delivered(1);
    (scene, wanted)
}

#[test]
fn replacement_needs_permission() {
    let (scene, mut wanted) = delivered("stk-replace", &named("one"));
    let before = state(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &named("two"));
    let what = format!("stack {} can't be changed", name(&scene));
    let parts = [
        &*what,
        "it would replace Queue (AWS::SQS::Queue)",
        "because of /Properties/QueueName",
        "set spec.components[infra].cloudFormation.allow.replacement to [Queue]",
    ];
    let message = scene.stalled("DeliveryFailed", &parts);
    assert_contains(&message, &["r2 was not delivered, r1 serves"]);
    scene.event("Deployment", "Warning", "DeliveryFailed", &parts);
    assert_eq!(executed(&scene, mark), 0);
    assert_eq!(state(&scene), before);
    wait_no_change_sets(&scene, "dev");

    spec(&mut wanted)["allow"] = json!({"replacement": ["Queue"]});
    scene.apply(&wanted);
    scene.delivered(3);
    assert_eq!(executed(&scene, mark), 1);
    let queue = queue(&scene, "dev").expect("the queue");
    assert!(queue.ends_with("-two"), "{queue}");
    let plan = scene.target("dev").status.unwrap().plan.unwrap();
    let change = &plan.changes[0];
    assert_eq!(change.action, "Replace");
    let resource = format!("{}/Queue (AWS::SQS::Queue)", name(&scene));
    assert_eq!(change.resource, resource);
    assert!(
        plan.summary.contains("infra: will replace Queue"),
        "{}",
        plan.summary
    );
}

#[test]
fn deletion_needs_permission() {
    let (scene, mut wanted) = running("stk-delete");
    let before = state(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &without_setting());
    let parts = [
        "it would delete Setting (AWS::SSM::Parameter)",
        "set spec.components[infra].cloudFormation.allow.deletion to [Setting]",
    ];
    scene.stalled("DeliveryFailed", &parts);
    assert_eq!(executed(&scene, mark), 0);
    assert_eq!(state(&scene), before);

    spec(&mut wanted)["allow"] = json!({"deletion": ["AWS::SSM::*"]});
    scene.apply(&wanted);
    scene.delivered(3);
    assert_eq!(setting(&scene, "dev"), None);
    assert_eq!(executed(&scene, mark), 1);
}

#[test]
fn permission_to_delete_does_not_permit_to_replace() {
    let (scene, mut wanted) = delivered("stk-not-that", &named("one"));
    spec(&mut wanted)["allow"] = json!({"deletion": ["*"], "replacement": ["Setting"]});
    scene.apply(&wanted);
    scene.delivered(2);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &named("two"));
    scene.stalled("DeliveryFailed", &["it would replace Queue"]);
    assert_eq!(executed(&scene, mark), 0);
}

#[test]
fn retained_resource_needs_no_permission() {
    let retained = TEMPLATE.replace(
        "    Type: AWS::SSM::Parameter\n",
        "    Type: AWS::SSM::Parameter\n    DeletionPolicy: Retain\n",
    );
    let (scene, _) = delivered("stk-retain", &retained);
    push(&scene, &without_setting());
    scene.delivered(2);
    assert_eq!(template(&scene, "dev"), without_setting());
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
    let plan = scene.target("dev").status.unwrap().plan.unwrap();
    assert_eq!(plan.changes[0].action, "Keep");
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let (scene, mut wanted) = delivered("stk-all", &named("one"));
    let both = without_setting().replacen(
        "    Properties:\n",
        "    Properties:\n      QueueName: !Sub \"${AWS::StackName}-two\"\n",
        1,
    );
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &both);
    scene.stalled(
        "DeliveryFailed",
        &[
            "it would replace Queue",
            "it would delete Setting",
            "allow.replacement to [Queue]",
            "allow.deletion to [Setting]",
        ],
    );
    assert_eq!(executed(&scene, mark), 0);
    assert_eq!(status(&scene, "dev"), "CREATE_COMPLETE");
    assert!(described(&scene, "dev").is_some());

    spec(&mut wanted)["allow"] = json!({"deletion": ["Setting"], "replacement": ["*"]});
    scene.apply(&wanted);
    scene.delivered(3);
    assert_eq!(executed(&scene, mark), 1);
}
