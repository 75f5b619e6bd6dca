//! What belongs to somebody else is left alone.

use aws_sdk_lambda::{
    primitives::Blob,
    types::{FunctionCode, Runtime},
};
use sluice::api::v1alpha1::condition;
use sluice_lab::lab::package;

use super::{
    run,
    scene::{NAME, Scene},
};

#[test]
fn a_function_that_exists_already_is_not_taken() {
    let scene = Scene::new("not-ours");
    let lab = &scene.world.lab;
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
    let mark = lab.aws.mark();
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    let parts = [
        "not-ours-api",
        "was not created by Sluice",
        "choose another name",
    ];
    scene.stalled("DeliveryFailed", &parts);
    scene.event("Deployment", "Warning", "DeliveryFailed", &parts);
    scene.event("Target", "Warning", "DeliveryFailed", &parts);
    scene.condition(condition::AVAILABLE, "False", "NothingServes");
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
fn two_deployments_of_one_function_are_told_apart() {
    let scene = Scene::running("two-owners");
    let mark = scene.world.lab.aws.mark();
    let mut other = scene.deployment(&["dev"]);
    other["metadata"]["name"] = "other".into();
    scene.apply(&other);
    let parts = [
        "two-owners-api",
        "belongs to Deployment two-owners/checkout",
    ];
    scene.stalled_of("other", "DeliveryFailed", &parts);
    scene.event("Deployment", "Warning", "DeliveryFailed", &parts);
    assert!(scene.lambda_calls(mark).writes().is_empty());
    scene.still_serves("dev", "v1");
    scene.push("v2");
    scene.delivered_of(NAME, 2);
    scene.serves("dev", "v2");
}
