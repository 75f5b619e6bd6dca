//! A new version that fails its checks is rolled back.

use serde_json::{Value, json};
use sluice::api::v1alpha1::{annotation, condition};
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    lab::{package, package_answering, package_of},
};

use super::scene::{NAME, Scene, condition_in, smoke};

/// v1 passes the check. The next version fails it and is rolled back, code and alias. The version after that
/// is delivered.
fn rolls_back(namespace: &str, check: &Value, bad: &[u8], parts: &[&str]) {
    let scene = Scene::new(namespace);
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["stages"][0]["checks"] = json!([check]);
    // Longer than any check waits.
    wanted["spec"]["components"][0]["lambda"]["timeout"] = json!(60);
    scene.apply(&wanted);
    scene.delivered(1);

    let mark = scene.environment.lab.aws.mark();
    scene.push_package(bad);
    let mut parts = parts.to_vec();
    parts.push("check smoke failed before traffic on version 2");
    let message = scene.stalled("RolledBack", &parts);
    assert!(
        message.starts_with("dev: r2 was rolled back, r1 serves: "),
        "{message}"
    );
    scene.event("Deployment", "Warning", "RolledBack", &parts);
    scene.event("Target", "Warning", "RollingBack", &parts);
    scene.event("Target", "Warning", "RolledBack", &parts);
    scene.still_serves("dev", "v1");
    scene.serves("prod", "v1");
    let prod = scene.environment.lab.account_id("prod").unwrap();
    let in_prod = scene
        .lambda_calls(mark)
        .only(|call| call.account.as_deref() == Some(prod));
    assert!(in_prod.is_empty(), "prod was never touched: {in_prod:?}");

    let release = scene.releases().pop().unwrap().status.unwrap();
    assert_eq!(release.summary.as_deref(), Some("dev RolledBack"));
    let status = scene.wait(NAME, "a status", |deployment| deployment.status.clone());
    assert_eq!(status.live.as_deref(), Some("dev=r1 prod=r1"));

    scene.push("v3");
    scene.delivered(3);
    scene.serves("dev", "v3");
    scene.serves("prod", "v3");
}

#[test]
fn function_error_fails_the_check_and_rolls_back() {
    let bad = package_of("def handler(event, context):\n    raise ValueError('no such cart')\n");
    rolls_back(
        "check-error",
        &smoke(),
        &bad,
        &["the function failed", "no such cart"],
    );
}

#[test]
fn wrong_answer_fails_the_check_and_rolls_back() {
    let bad = package_answering(&json!({"statusCode": 500}));
    rolls_back(
        "check-wrong",
        &smoke(),
        &bad,
        &["/statusCode is 500, not 200"],
    );
}

#[test]
fn late_answer_fails_the_check_and_rolls_back() {
    let bad = package_of(
        "import time\n\n\ndef handler(event, context):\n    time.sleep(50)\n    return {'statusCode': 200}\n",
    );
    let mut check = smoke();
    check["invoke"]["timeout"] = json!("20s");
    rolls_back("check-late", &check, &bad, &["no answer within 20s"]);
}

#[test]
fn service_error_and_lost_answer_are_inconclusive() {
    let scene = Scene::new("check-unheard");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["stages"][0]["checks"] = json!([smoke()]);
    let invoke = || Pattern::operation("lambda", "Invoke").about(&scene.function());
    let faults = scene.environment.lab.aws.faults();
    let down = Action::respond(503, "ServiceException", "Service is unavailable.");
    // The first remaining rule handles a call.
    let faults = [
        faults.add(Rule::once(invoke(), down)),
        faults.add(Rule::once(invoke(), Action::LoseReply)),
    ];
    scene.apply(&wanted);
    scene.delivered(1);
    assert_eq!(faults.map(|fault| fault.hits()), [1, 1]);
}

#[test]
fn code_that_fails_to_start_is_rolled_back() {
    let bad = package_of("raise RuntimeError('no way up')\n");
    rolls_back(
        "check-start",
        &smoke(),
        &bad,
        &["the function failed", "no way up"],
    );
}

#[test]
fn failed_first_release_leaves_nothing_behind() {
    let scene = Scene::new("check-first");
    scene.push_package(&package_answering(&json!({"statusCode": 500})));
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["stages"][0]["checks"] = json!([smoke()]);
    scene.apply(&wanted);
    scene.stalled("RolledBack", &["no Release serves", "/statusCode is 500"]);
    scene.condition(condition::AVAILABLE, "False", "NoLiveRelease");
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    let found = super::run(lambda.get_function().function_name(scene.function()).send());
    assert!(
        found
            .unwrap_err()
            .into_service_error()
            .is_resource_not_found_exception(),
        "the created function is deleted again"
    );
    scene.push_package(&package("v2"));
    scene.delivered(2);
}

#[test]
fn abort_takes_effect_during_an_invocation() {
    let scene = Scene::new("check-slow");
    let mut check = smoke();
    check["invoke"]["timeout"] = json!("15m");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["stages"][0]["checks"] = json!([check]);
    wanted["spec"]["components"][0]["lambda"]["timeout"] = json!(900);
    scene.push("v1");
    scene.apply(&wanted);
    scene.delivered(1);
    // Longer than any test waits.
    let slow = package_of(
        "import time\n\n\ndef handler(event, context):\n    time.sleep(800)\n    return {'statusCode': 200}\n",
    );
    scene.push_package(&slow);
    scene.wait(NAME, "the Target waits for the answer", |_| {
        let status = scene.target("dev").status?;
        let ready = condition_in(&status.conditions, condition::READY)?;
        let says = ready.message.contains("the answer to check smoke");
        (ready.reason == "WaitingForChecks" && says).then_some(())
    });
    scene.annotate(annotation::ABORT, "it takes too long");
    scene.stalled("RolledBack", &["it was aborted by sluice.dev/abort"]);
    scene.still_serves("dev", "v1");
}
