//! Unmanaged functions and functions of other owners stay untouched unless adoption is allowed.

use std::collections::HashMap;

use aws_sdk_lambda::{
    primitives::Blob,
    types::{FunctionCode, Runtime},
};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Deployment, Target, condition};
use sluice_lab::lab::package;

use super::{
    aws::{copy_dev_account, deployment_in_account},
    aws_state::versions,
    run,
    scene::{NAME, Scene, gone, smoke},
};

/// Creates the team's function outside Sluice, with a tag, version 1 and the alias `live`.
fn create_unmanaged(scene: &Scene<'_>) {
    let lab = &scene.environment.lab;
    let lambda = lab.lambda("dev", "eu-west-1").unwrap();
    let create = lambda
        .create_function()
        .function_name(scene.function())
        .runtime(Runtime::from("python3.13"))
        .handler("app.handler")
        .role(&lab.aws.dev().execution_role_arn)
        .memory_size(256)
        .tags("team", "shop")
        .publish(true)
        .code(
            FunctionCode::builder()
                .zip_file(Blob::new(package("theirs")))
                .build(),
        );
    run(create.send()).unwrap();
    let alias = lambda
        .create_alias()
        .function_name(scene.function())
        .name("live")
        .function_version("1");
    run(alias.send()).unwrap();
}

/// The function's tags and memory.
fn tags_and_memory(scene: &Scene<'_>) -> (HashMap<String, String>, Option<i32>) {
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    let get = lambda.get_function().function_name(scene.function());
    let found = run(get.send()).unwrap();
    let memory = found.configuration.and_then(|it| it.memory_size);
    (found.tags.unwrap_or_default(), memory)
}

/// A Deployment with `adopt`, in an Account whose grants have this `mayAdopt`.
fn adopting(scene: &Scene<'_>, may_adopt: bool) -> Value {
    let account = copy_dev_account(scene, |spec| {
        for grant in spec["grants"].as_array_mut().unwrap() {
            grant["mayAdopt"] = json!(may_adopt);
        }
    });
    let mut wanted = deployment_in_account(scene, &account);
    wanted["spec"]["components"][0]["adopt"] = json!(true);
    wanted
}

#[test]
fn unmanaged_function_is_adopted_if_spec_and_grant_allow_it() {
    let scene = Scene::new("adopted");
    create_unmanaged(&scene);
    let mark = scene.environment.lab.aws.mark();
    scene.push("v1");
    let mut wanted = adopting(&scene, false);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.stalled(
        "PreflightFailed",
        &["adopted-api", "Account adopted", "mayAdopt"],
    );
    assert!(scene.lambda_calls(mark).writes().is_empty());

    adopting(&scene, true);
    scene.delivered(1);
    scene.serves("dev", "v1");
    scene.serves_unqualified("dev", "v1");
    let (tags, _) = tags_and_memory(&scene);
    assert_eq!(tags.get("team").map(String::as_str), Some("shop"));
    assert_eq!(tags.get("sluice.dev/name").map(String::as_str), Some(NAME));
    let target = scene.list::<Target>().remove(0);
    let status = target.status.unwrap();
    assert!(!status.inventory[0].created);
    let plan = status.plan.unwrap();
    assert_eq!(plan.changes[0].action, "Adopt");
    assert_eq!(versions(&scene, "dev", &scene.function()), ["1", "2"]);

    let api = scene.api::<Deployment>();
    run(api.delete(NAME, &DeleteParams::background())).unwrap();
    gone(&api, NAME);
    scene.serves("dev", "v1");
}

#[test]
fn adoption_of_unqualified_invocations_needs_allow_unqualified() {
    let scene = Scene::new("unqualified");
    create_unmanaged(&scene);
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    let permission = lambda
        .add_permission()
        .function_name(scene.function())
        .statement_id("uploads")
        .action("lambda:InvokeFunction")
        .principal("s3.amazonaws.com");
    run(permission.send()).unwrap();
    let mark = scene.environment.lab.aws.mark();
    scene.push("v1");
    let mut wanted = adopting(&scene, true);
    scene.apply(&wanted);
    scene.stalled(
        "DeliveryFailed",
        &[
            "the permission uploads of s3.amazonaws.com",
            "allowUnqualified",
        ],
    );
    assert!(scene.lambda_calls(mark).writes().is_empty());

    wanted["spec"]["components"][0]["allowUnqualified"] = json!(true);
    scene.apply(&wanted);
    scene.delivered(2);
    scene.serves("dev", "v1");
}

#[test]
fn failed_adoption_restores_the_function() {
    let scene = Scene::new("adopt-back");
    create_unmanaged(&scene);
    let before = tags_and_memory(&scene);
    scene.push("v1");
    let mut wanted = adopting(&scene, true);
    let mut check = smoke();
    check["invoke"]["expect"]["equals"] = json!(418);
    wanted["spec"]["stages"][0]["checks"] = json!([check]);
    scene.apply(&wanted);
    scene.stalled("RolledBack", &["smoke"]);
    scene.serves("dev", "theirs");
    scene.serves_unqualified("dev", "theirs");
    assert_eq!(tags_and_memory(&scene), before);
    let target = scene.list::<Target>().remove(0);
    assert!(target.status.unwrap().inventory.is_empty());
}

#[test]
fn function_of_another_deployment_is_never_adopted() {
    let scene = Scene::running("adopt-owned");
    let mark = scene.environment.lab.aws.mark();
    let mut other = adopting(&scene, true);
    other["metadata"]["name"] = "other".into();
    scene.apply(&other);
    let parts = [
        "adopt-owned-api",
        "is owned by Deployment adopt-owned/checkout",
    ];
    scene.stalled_of("other", "DeliveryFailed", &parts);
    assert!(scene.lambda_calls(mark).writes().is_empty());
    scene.still_serves("dev", "v1");
}

#[test]
fn unmanaged_function_is_refused_without_adopt() {
    let scene = Scene::new("not-ours");
    let lab = &scene.environment.lab;
    let lambda = lab.lambda("dev", "eu-west-1").unwrap();
    create_unmanaged(&scene);
    let mark = lab.aws.mark();
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    let parts = [
        "not-ours-api",
        "was not created by Sluice",
        "choose another name",
        "set adopt",
        "mayAdopt",
    ];
    scene.stalled("DeliveryFailed", &parts);
    scene.event("Deployment", "Warning", "DeliveryFailed", &parts);
    scene.event("Target", "Warning", "DeliveryFailed", &parts);
    scene.condition(condition::AVAILABLE, "False", "NoLiveRelease");
    scene.answers("dev", &scene.function(), None, "theirs");
    let writes = scene.lambda_calls(mark).writes();
    assert!(writes.is_empty(), "{writes:?}");

    run(lambda
        .delete_function()
        .function_name(scene.function())
        .send())
    .unwrap();
    scene.annotate("sluice.dev/retry", "it is gone");
    scene.delivered(1);
    scene.serves("dev", "v1");
}

#[test]
fn second_deployment_of_a_function_is_refused() {
    let scene = Scene::running("two-owners");
    let mark = scene.environment.lab.aws.mark();
    let mut other = scene.deployment(&["dev"]);
    other["metadata"]["name"] = "other".into();
    scene.apply(&other);
    let parts = [
        "two-owners-api",
        "is owned by Deployment two-owners/checkout",
    ];
    scene.stalled_of("other", "DeliveryFailed", &parts);
    scene.event("Deployment", "Warning", "DeliveryFailed", &parts);
    assert!(scene.lambda_calls(mark).writes().is_empty());
    scene.still_serves("dev", "v1");
    scene.push("v2");
    scene.delivered_of(NAME, 2);
    scene.serves("dev", "v2");
}
