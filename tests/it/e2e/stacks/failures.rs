//! Failures: the resource's own reason is reported, and the former stack is restored.

use serde_json::json;
use sluice::api::v1alpha1::{annotation, condition};
use sluice_lab::{
    aws::{Action, During, Pattern, Rule},
    lab::package,
};

use super::{
    emulator::{hold, parameter, setting, wait_reached},
    fixture::{
        TEMPLATE, both, breaking, checked, count, deployment, described, executed, name, push,
        push_both, running, spec, state, status, template, wait_no_change_sets,
    },
};
use crate::e2e::{
    aws_state::is_gone,
    check_kinds::Page,
    scene::{NAME, Scene, assert_contains, condition_in, conditions},
};

/// The parts of the message about the resource that fails on purpose.
const REASON: [&str; 2] = ["Broken (Custom::LabFailure) is", "the quota is exhausted"];

#[test]
fn failed_creation_names_the_resource_and_leaves_nothing() {
    let scene = Scene::new("stk-create-fails");
    push(&scene, &breaking("Create"));
    scene.apply(&deployment(&scene, &["dev"]));
    let message = scene.stalled("RolledBack", &REASON);
    assert_contains(&message, &["no Release serves", "CREATE_FAILED"]);
    scene.event("Deployment", "Warning", "RolledBack", &REASON);
    scene.event("Target", "Warning", "RolledBack", &REASON);
    assert!(described(&scene, "dev").is_none(), "the stack is deleted");
    assert_eq!(setting(&scene, "dev"), None);
    let restored = scene.run_in_dev().restored;
    assert_eq!(restored[0].resource, name(&scene));
    assert!(
        restored[0].state.contains("absent"),
        "{}",
        restored[0].state
    );

    push(&scene, TEMPLATE);
    scene.delivered(2);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
}

#[test]
fn failed_update_names_the_resource_and_needs_no_second_change_set() {
    let (scene, _) = running("stk-update-fails");
    let before = state(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &breaking("Create").replace("hello", "bye"));
    let message = scene.stalled("RolledBack", &REASON);
    assert_contains(&message, &["r1 serves", &name(&scene)]);
    scene.event("Deployment", "Warning", "RolledBack", &REASON);
    assert_eq!(status(&scene, "dev"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(state(&scene), before);
    assert_eq!(executed(&scene, mark), 1, "CloudFormation rolls back");
    assert_eq!(count(&scene, mark, "CreateChangeSet"), 1);

    push(&scene, &TEMPLATE.replace("hello", "again"));
    scene.delivered(3);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("again"));
    wait_no_change_sets(&scene, "dev");
}

#[test]
fn failed_check_restores_template_parameters_and_tags() {
    let scene = Scene::new("stk-check-fails");
    let page = Page::open(200);
    let mut wanted = checked(&scene, &page);
    spec(&mut wanted)["parameters"] = json!({"Text": "one"});
    spec(&mut wanted)["tags"] = json!({"team": "shop"});
    push(&scene, TEMPLATE);
    scene.apply(&wanted);
    scene.delivered(1);
    let before = state(&scene);

    page.answers(503);
    spec(&mut wanted)["parameters"] = json!({"Text": "two", "Delay": "30"});
    spec(&mut wanted)["tags"] = json!({"team": "pay", "tier": "gold"});
    let mark = scene.environment.lab.aws.mark();
    scene.apply(&wanted);
    let parts = ["r2 was rolled back, r1 serves", "answered 503"];
    scene.stalled("RolledBack", &parts);
    assert_eq!(state(&scene), before);
    assert_eq!(executed(&scene, mark), 2, "forward, and to restore");

    let mark = scene.environment.lab.aws.mark();
    let second = TEMPLATE.replace("# no number", "# a text");
    let second = second.replace("Outputs:\n", "Outputs:\n  Text: {Value: !Ref Text}\n");
    push(&scene, &second);
    scene.wait(NAME, "r3 is rolled back", |deployment| {
        let stalled = condition_in(conditions(deployment), condition::STALLED)?;
        stalled
            .message
            .contains("r3 was rolled back, r1 serves")
            .then_some(())
    });
    assert_eq!(state(&scene), before);
    assert_eq!(executed(&scene, mark), 2, "forward, and to restore");
    let restored = scene.run_in_dev().restored;
    assert_eq!(restored[0].resource, name(&scene));

    page.answers(200);
    scene.annotate(annotation::RETRY, "the page answers");
    scene.delivered(3);
    assert_eq!(template(&scene, "dev"), second);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("two"));
    wait_no_change_sets(&scene, "dev");
}

#[test]
fn check_asks_the_url_that_is_an_output_of_the_stack() {
    let scene = Scene::new("stk-output-page");
    let page = Page::open(200);
    let mut wanted = checked(&scene, &page);
    wanted["spec"]["stages"][0]["checks"][0]["http"]["url"] =
        json!("$(components.infra.outputs.Page)");
    spec(&mut wanted)["parameters"] = json!({"Text": page.url});
    let with_page = TEMPLATE.replace("Outputs:\n", "Outputs:\n  Page: {Value: !Ref Text}\n");
    push(&scene, &with_page);
    scene.apply(&wanted);
    scene.delivered(1);

    page.answers(503);
    push(&scene, &with_page.replace("Default: 5", "Default: 9"));
    let parts = ["r2 was rolled back, r1 serves", "answered 503"];
    scene.stalled("RolledBack", &parts);
    assert_eq!(template(&scene, "dev"), with_page);
}

#[test]
fn failed_check_removes_what_the_update_has_created() {
    let scene = Scene::new("stk-check-adds");
    let page = Page::open(200);
    push(&scene, TEMPLATE);
    scene.apply(&checked(&scene, &page));
    scene.delivered(1);
    let before = state(&scene);
    page.answers(503);
    let more = "
  More:
    Type: AWS::SSM::Parameter
    Properties: {Name: !Sub \"${AWS::StackName}-more\", Type: String, Value: new}
Outputs:";
    push(&scene, &TEMPLATE.replace("\nOutputs:", more));
    // The spec permits no deletion, but the resource is the run's own.
    scene.stalled("RolledBack", &["r2 was rolled back, r1 serves"]);
    assert_eq!(state(&scene), before);
    assert_eq!(parameter(&scene, "dev", "more"), None);
}

#[test]
fn failed_check_of_a_new_stack_deletes_it() {
    let scene = Scene::new("stk-check-first");
    let page = Page::open(503);
    push(&scene, TEMPLATE);
    scene.apply(&checked(&scene, &page));
    scene.stalled("RolledBack", &["no Release serves", "answered 503"]);
    assert!(described(&scene, "dev").is_none());
    assert_eq!(setting(&scene, "dev"), None);
    let inventory = scene.target("dev").status.unwrap().inventory;
    assert!(inventory.is_empty(), "{inventory:?}");
}

#[test]
fn failed_stack_restores_the_function_beside_it() {
    let scene = Scene::new("stk-with-function");
    push_both(&scene, &package("v1"), TEMPLATE);
    scene.apply(&both(&scene));
    scene.delivered(1);
    let before = state(&scene);
    push_both(&scene, &package("v2"), &breaking("Create"));
    scene.stalled("RolledBack", &REASON);
    assert_eq!(state(&scene), before);
    scene.still_serves("dev", "v1");
}

#[test]
fn failed_first_release_deletes_function_and_stack() {
    let scene = Scene::new("stk-first-both");
    push_both(&scene, &package("v1"), &breaking("Create"));
    scene.apply(&both(&scene));
    scene.stalled("RolledBack", &REASON);
    assert!(described(&scene, "dev").is_none());
    assert!(is_gone(&scene, "dev", &scene.function()));
}

#[test]
fn abort_cancels_the_update_in_progress() {
    let (scene, _) = running("stk-abort");
    let before = state(&scene);
    let hold = hold(&scene, "Setting", During::Update);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &TEMPLATE.replace("hello", "bye"));
    wait_reached(&scene, &hold);
    scene.annotate(annotation::ABORT, "it takes too long");
    scene.stalled("RolledBack", &["it was aborted by sluice.dev/abort"]);
    assert_eq!(count(&scene, mark, "CancelUpdateStack"), 1);
    assert_eq!(executed(&scene, mark), 1);
    assert_eq!(status(&scene, "dev"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(state(&scene), before);
}

#[test]
fn abort_deletes_a_stack_that_is_being_created() {
    let scene = Scene::new("stk-abort-new");
    let hold = hold(&scene, "Setting", During::Create);
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["dev"]));
    wait_reached(&scene, &hold);
    scene.annotate(annotation::ABORT, "not this one");
    scene.stalled("RolledBack", &["it was aborted by sluice.dev/abort"]);
    assert!(described(&scene, "dev").is_none());
    assert_eq!(setting(&scene, "dev"), None);
}

#[test]
fn lost_replies_execute_each_change_set_once() {
    let scene = Scene::new("stk-replies");
    let faults = scene.environment.lab.aws.faults();
    let lost = |operation: &str| {
        let on = Pattern::operation("cloudformation", operation).about(&name(&scene));
        faults.add(Rule::once(on, Action::LoseReply))
    };
    let lost = ["CreateChangeSet", "ExecuteChangeSet"].map(lost);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["dev"]));
    scene.delivered(1);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
    assert_eq!(lost.map(|fault| fault.hits()), [1, 1]);
    // CloudFormation shows that the lost call was carried out: it is not repeated.
    assert_eq!(executed(&scene, mark), 1);
    wait_no_change_sets(&scene, "dev");
}
