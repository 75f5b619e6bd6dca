//! Stacks that another tool created are adopted without a change of their tags.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::Tag;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use sluice::api::v1alpha1::Deployment;

use super::{
    emulator::setting,
    fixture::{
        TEMPLATE, client, deployment, described, name, nothing_written, push, status, tags,
        template, wait_status,
    },
};
use crate::e2e::{
    aws::copy_dev_account,
    run,
    scene::{NAME, Scene, gone},
};

/// Creates the team's stack without Sluice.
fn create(scene: &Scene<'_>) {
    let tag = Tag::builder().key("team").value("shop").build();
    let create = client(scene, "dev").create_stack();
    let create = create.stack_name(name(scene)).template_body(TEMPLATE);
    run(create.tags(tag).send()).expect("a stack");
    wait_status(scene, "dev", "CREATE_COMPLETE");
}

/// A Deployment that adopts the stack, in an Account that allows it.
fn adopting(scene: &Scene<'_>) -> Value {
    let account = copy_dev_account(scene, |spec| spec["grants"][0]["mayAdopt"] = json!(true));
    let mut wanted = deployment(scene, &["dev"]);
    wanted["spec"]["stages"][0]["targets"][0]["account"] = json!(account);
    wanted["spec"]["components"][0]["adopt"] = json!(true);
    wanted
}

fn team() -> BTreeMap<String, String> {
    BTreeMap::from([("team".to_owned(), "shop".to_owned())])
}

#[test]
fn stack_of_another_tool_is_adopted_changed_and_left_in_place() {
    let scene = Scene::new("stk-adopt");
    create(&scene);
    let second = TEMPLATE.replace("hello", "adopted");
    push(&scene, &second);
    let mut wanted = adopting(&scene);
    wanted["spec"]["components"][0]["cloudFormation"]["tags"] = json!({"team": "shop"});
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("adopted"));
    assert_eq!(template(&scene, "dev"), second);
    assert_eq!(tags(&scene, "dev"), team(), "no tags of the owner");
    // From now on, it is the Deployment's own.
    wanted["spec"]["components"][0]["adopt"] = json!(false);
    scene.apply(&wanted);
    push(&scene, &TEMPLATE.replace("hello", "again"));
    scene.delivered(3);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("again"));

    let api = scene.api::<Deployment>();
    run(api.delete(NAME, &DeleteParams::default())).unwrap();
    gone(&api, NAME);
    assert_eq!(
        status(&scene, "dev"),
        "UPDATE_COMPLETE",
        "an adopted stack stays"
    );
}

#[test]
fn stack_is_adopted_only_with_spec_and_grant() {
    let scene = Scene::new("stk-unadopted");
    create(&scene);
    push(&scene, &TEMPLATE.replace("hello", "refused"));
    let mark = scene.environment.lab.aws.mark();
    let mut wanted = deployment(&scene, &["dev"]);
    scene.apply(&wanted);
    scene.stalled(
        "DeliveryFailed",
        &["was not created by Sluice", "adopt", "mayAdopt"],
    );
    wanted["spec"]["components"][0]["adopt"] = json!(true);
    scene.apply(&wanted);
    scene.stalled(
        "PreflightFailed",
        &["adopt is set", "no grant with mayAdopt for stack"],
    );
    nothing_written(&scene, mark);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
    assert!(described(&scene, "dev").is_some());
}
