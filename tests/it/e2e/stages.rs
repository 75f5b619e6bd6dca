//! Several targets in a stage, and what a failure in one stage means for the others.

use serde_json::json;
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    lab::package_answering,
};

use super::scene::{Scene, smoke};

#[test]
fn when_one_target_of_a_stage_fails_the_other_goes_back_too() {
    let scene = Scene::new("two-targets");
    scene.push("v1");
    let mut wanted = scene.deployment(&["all"]);
    wanted["spec"]["stages"][0]["targets"] = json!([
        {"account": "dev", "region": "eu-west-1"},
        {"account": "prod", "region": "eu-west-1"},
    ]);
    scene.apply(&wanted);
    scene.delivered(1);

    let lab = &scene.world.lab;
    let in_prod = Pattern {
        account: Some(lab.account_id("prod").unwrap().to_owned()),
        ..Pattern::operation("lambda", "PublishVersion").about(&scene.function())
    };
    let refusal = Action::respond(
        400,
        "CodeStorageExceededException",
        "Code storage limit exceeded.",
    );
    let fault = lab.aws.faults().add(Rule::always(in_prod, refusal));
    scene.push("v2");
    let parts = [
        "prod/eu-west-1",
        "lambda:PublishVersion",
        "Code storage limit exceeded",
    ];
    scene.stalled("RolledBack", &parts);
    scene.event("Deployment", "Warning", "RolledBack", &parts);
    for account in ["dev", "prod"] {
        scene.still_serves(account, "v1");
    }
    fault.remove();
    scene.push("v3");
    scene.delivered(3);
    scene.serves("dev", "v3");
    scene.serves("prod", "v3");
}

#[test]
fn a_later_stage_that_fails_leaves_the_earlier_one_as_it_is() {
    let scene = Scene::new("second-stage");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["stages"][1]["checks"] = json!([smoke()]);
    scene.apply(&wanted);
    scene.delivered(1);
    scene.push_package(&package_answering(
        &json!({"statusCode": 503, "version": "v2"}),
    ));
    let message = scene.stalled("RolledBack", &["prod: r2 was taken back, r1 serves", "503"]);
    scene.event("Deployment", "Warning", "RolledBack", &[&message]);
    scene.still_serves("dev", "v2");
    scene.still_serves("prod", "v1");
    let status = scene.releases().pop().unwrap().status.unwrap();
    let summary = status.summary.unwrap();
    assert_eq!(summary, "dev Succeeded, prod RolledBack");
}
