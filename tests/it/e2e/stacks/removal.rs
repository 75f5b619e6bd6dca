//! Removal of a stack: with its component, or with the Deployment.

use aws_sdk_cloudformation::types::StackStatus;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Deployment, annotation};
use sluice_lab::{
    aws::During,
    lab::{package, wait_for},
};

use super::{
    emulator::{hold, repair, setting, wait_reached},
    fixture::{
        TEMPLATE, both, breaking, change_sets, client, count, deployment, described, name,
        nothing_written, push, push_both, state, status, wait_gone, wait_status,
    },
};
use crate::e2e::{
    LIMIT,
    gates::{allow_approvals, by_approvers, waiting},
    run,
    scene::{NAME, Scene, assert_contains, gone},
};

/// A team with the function and the stack in dev, and that deletion policy.
fn running_both(namespace: &str, policy: &str) -> (Scene<'static>, Value) {
    let scene = Scene::new(namespace);
    push_both(&scene, &package("v1"), TEMPLATE);
    let mut wanted = both(&scene);
    wanted["spec"]["deletionPolicy"] = json!(policy);
    scene.apply(&wanted);
    scene.delivered(1);
    (scene, wanted)
}

/// Removes the component of the stack from the spec.
fn remove_component(scene: &Scene<'_>, wanted: &mut Value) {
    for list in ["artifacts", "components"] {
        wanted["spec"][list].as_array_mut().unwrap().pop();
    }
    scene.apply(wanted);
    scene.delivered(2);
    let found = wait_for("the Target no longer owns the stack", LIMIT, || {
        let inventory = scene.target("dev").status.unwrap().inventory;
        let names: Vec<_> = inventory.into_iter().map(|item| item.component).collect();
        if names == ["api"] {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// A team with that template in dev, to be deleted with the Deployment.
fn running(namespace: &str, template: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    push(&scene, template);
    let mut wanted = deployment(&scene, &["dev"]);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);
    scene
}

fn delete(scene: &Scene<'_>) {
    let api = scene.api::<Deployment>();
    run(api.delete(NAME, &DeleteParams::background())).unwrap();
}

#[test]
fn removed_component_deletes_its_stack() {
    let (scene, mut wanted) = running_both("stk-removed", "Delete");
    remove_component(&scene, &mut wanted);
    assert!(described(&scene, "dev").is_none());
    assert_eq!(setting(&scene, "dev"), None);
    scene.serves("dev", "v1");
}

#[test]
fn removed_component_leaves_its_stack_with_policy_retain() {
    let (scene, mut wanted) = running_both("stk-kept", "Retain");
    let before = state(&scene);
    let mark = scene.environment.lab.aws.mark();
    remove_component(&scene, &mut wanted);
    assert_eq!(state(&scene), before);
    nothing_written(&scene, mark);
}

#[test]
fn deleted_deployment_deletes_its_stack() {
    let scene = running("stk-gone", TEMPLATE);
    delete(&scene);
    gone(&scene.api::<Deployment>(), NAME);
    assert!(described(&scene, "dev").is_none());
    assert_eq!(setting(&scene, "dev"), None);
}

#[test]
fn deleted_deployment_leaves_its_stack_with_policy_retain() {
    let scene = Scene::new("stk-stays");
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["dev"]));
    scene.delivered(1);
    let before = state(&scene);
    let mark = scene.environment.lab.aws.mark();
    delete(&scene);
    gone(&scene.api::<Deployment>(), NAME);
    assert_eq!(state(&scene), before);
    assert_eq!(count(&scene, mark, "DeleteStack"), 0);
}

#[test]
fn termination_protection_holds_the_deletion() {
    let scene = running("stk-protected", TEMPLATE);
    let protect = |protected: bool| {
        let update = client(&scene, "dev").update_termination_protection();
        let update = update
            .stack_name(name(&scene))
            .enable_termination_protection(protected);
        run(update.send()).unwrap();
    };
    protect(true);
    let mark = scene.environment.lab.aws.mark();
    delete(&scene);
    let parts = [
        "termination protection",
        "update-termination-protection --no-enable-termination-protection",
    ];
    let message = scene.stalled("DeletionStalled", &parts);
    assert_contains(&message, &[&name(&scene)]);
    assert_eq!(count(&scene, mark, "DeleteStack"), 0);
    assert_eq!(status(&scene, "dev"), "CREATE_COMPLETE");

    protect(false);
    scene.annotate(annotation::RECONCILE, "it is no longer protected");
    gone(&scene.api::<Deployment>(), NAME);
    assert!(described(&scene, "dev").is_none());
}

#[test]
fn failed_deletion_names_the_resource_and_continues_once_it_is_repaired() {
    let scene = running("stk-undeletable", &breaking("Delete"));
    delete(&scene);
    let parts = ["Broken (Custom::LabFailure)", "the quota is exhausted"];
    scene.stalled("DeletionStalled", &parts);
    assert_eq!(status(&scene, "dev"), "DELETE_FAILED");

    repair(&scene);
    let again = client(&scene, "dev").delete_stack();
    run(again.stack_name(name(&scene)).send()).unwrap();
    wait_gone(&scene, "dev");
    scene.annotate(annotation::RECONCILE, "it is gone");
    gone(&scene.api::<Deployment>(), NAME);
}

#[test]
fn export_in_use_holds_the_deletion() {
    let export = "  Url: {Value: !Ref Queue, Export: {Name: !Sub \"${AWS::StackName}-url\"}}\n";
    let exporting = TEMPLATE.replace("  Url: {Value: !Ref Queue}\n", export);
    let scene = running("stk-exported", &exporting);
    let stack = name(&scene);
    let importer = format!("{stack}-importer");
    let importing = format!(
        "Resources:\n  Copy:\n    Type: AWS::SSM::Parameter\n    Properties:\n      Type: String\n      \
         Value: !ImportValue {stack}-url\n"
    );
    let client = client(&scene, "dev");
    let create = client
        .create_stack()
        .stack_name(&importer)
        .template_body(importing);
    run(create.send()).unwrap();
    let created = wait_for("the other stack imports the export", LIMIT, || {
        let found = run(client.describe_stacks().stack_name(&importer).send());
        let stacks = found.map_err(|e| format!("{e:?}"))?.stacks;
        let status = stacks
            .unwrap_or_default()
            .pop()
            .and_then(|it| it.stack_status);
        match status.as_ref().map(StackStatus::as_str) {
            Some("CREATE_COMPLETE") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    created.unwrap_or_else(|e| panic!("{e}"));
    delete(&scene);
    scene.stalled("DeletionStalled", &[&stack, "in use by", &importer]);
    assert_eq!(status(&scene, "dev"), "CREATE_COMPLETE");

    run(client.delete_stack().stack_name(&importer).send()).unwrap();
    let left = wait_for("the other stack is gone", LIMIT, || {
        let found = run(client.describe_stacks().stack_name(&importer).send());
        found.is_err().then_some(())
    });
    left.unwrap_or_else(|e| panic!("{e}"));
    scene.annotate(annotation::RECONCILE, "nothing imports it any more");
    gone(&scene.api::<Deployment>(), NAME);
    assert!(described(&scene, "dev").is_none());
}

#[test]
fn deletion_during_an_update_restores_the_stack_first() {
    let scene = Scene::new("stk-mid-update");
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["dev"]));
    scene.delivered(1);
    let before = state(&scene);
    let hold = hold(&scene, "Setting", During::Update);
    push(&scene, &TEMPLATE.replace("hello", "bye"));
    wait_reached(&scene, &hold);
    delete(&scene);
    gone(&scene.api::<Deployment>(), NAME);
    assert_eq!(status(&scene, "dev"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(state(&scene), before, "the policy is Retain");
}

#[test]
fn deleted_deployment_that_waits_at_a_gate_leaves_no_change_set() {
    let scene = Scene::new("stk-gate-gone");
    allow_approvals(&scene);
    push(&scene, TEMPLATE);
    let mut wanted = deployment(&scene, &["prod"]);
    wanted["spec"]["stages"][0]["gate"] = by_approvers();
    scene.apply(&wanted);
    waiting(&scene, 1, "WaitingForApproval", &["0 of 1 approvals"]);
    assert_eq!(change_sets(&scene, "prod").len(), 1);
    delete(&scene);
    gone(&scene.api::<Deployment>(), NAME);
    assert!(described(&scene, "prod").is_none());
}

#[test]
fn stack_of_another_tool_with_the_same_name_is_not_deleted() {
    let scene = running("stk-taken", TEMPLATE);
    // Deleted and created again externally.
    let delete_stack = client(&scene, "dev").delete_stack();
    run(delete_stack.stack_name(name(&scene)).send()).unwrap();
    wait_gone(&scene, "dev");
    let create = client(&scene, "dev").create_stack();
    let create = create.stack_name(name(&scene)).template_body(TEMPLATE);
    run(create.send()).unwrap();
    wait_status(&scene, "dev", "CREATE_COMPLETE");
    let mark = scene.environment.lab.aws.mark();
    delete(&scene);
    gone(&scene.api::<Deployment>(), NAME);
    nothing_written(&scene, mark);
    assert_eq!(status(&scene, "dev"), "CREATE_COMPLETE");
}
