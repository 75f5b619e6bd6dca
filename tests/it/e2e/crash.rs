//! The controller is killed during a delivery, and the next one finishes it without doing anything twice.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    lab::{Alarm, package, package_answering, wait_for},
};

use super::{
    Environment, LIMIT,
    aws_state::{alarm, routed, wait_routed},
    exclusive_lab,
    rollout::canary,
    run,
    scene::{NAME, Scene, smoke},
};

/// Kills the controller as soon as it has made that call to AWS, and starts it again.
///
/// AWS delays its answer, so that the killed process never learns the outcome.
fn kill_at(
    environment: &Environment,
    scene: &Scene<'_>,
    mark: usize,
    service: &str,
    operation: &str,
) {
    let seen = wait_for(&format!("{operation} is called"), LIMIT, || {
        let calls = environment.lab.aws.calls_since(mark).of_service(service);
        let about = scene.team.namespace.as_str();
        let found = calls
            .named(service, operation)
            .any(|call| call.resource.contains(about));
        if found { Ok(()) } else { Err(scene.log()) }
    });
    seen.unwrap_or_else(|e| panic!("{e}"));
    kill_and_start(environment, || ());
}

/// Kills the controller, and starts it again after `meanwhile`.
fn kill_and_start(environment: &Environment, meanwhile: impl FnOnce()) {
    let mut controller = environment.lab.controller();
    controller.kill().unwrap();
    meanwhile();
    controller.start().unwrap();
    controller.wait_ready(LIMIT).unwrap();
}

/// Delays the answer to one call of an operation on the team's objects.
fn slow(scene: &Scene<'_>, service: &str, operation: &str) -> sluice_lab::aws::Fault {
    let on = Pattern::operation(service, operation).about(&scene.team.namespace);
    let late = Action::delay(std::time::Duration::from_millis(500));
    scene.environment.lab.aws.faults().add(Rule::once(on, late))
}

/// The number of published versions with that package's code.
fn published(scene: &Scene<'_>, package: &[u8]) -> usize {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, package);
    let wanted = STANDARD.encode(digest.as_ref());
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    let listed = run(lambda
        .list_versions_by_function()
        .function_name(scene.function())
        .send());
    let versions = listed.unwrap().versions.unwrap_or_default();
    versions
        .iter()
        .filter(|it| it.version.as_deref() != Some("$LATEST"))
        .filter(|it| it.code_sha256.as_ref() == Some(&wanted))
        .count()
}

/// Kills the controller at that operation, in the first delivery or in that of v2.
fn survives_a_kill_at(namespace: &str, first: bool, service: &str, operation: &str) {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, namespace);
    let wanted = scene.deployment(&["dev"]);
    let mut revision = 1;
    if !first {
        scene.push("v1");
        scene.apply(&wanted);
        scene.delivered(1);
        revision = 2;
    }
    let _late = slow(&scene, service, operation);
    let mark = environment.lab.aws.mark();
    let code = package("after");
    scene.push_package(&code);
    scene.apply(&wanted);
    kill_at(&environment, &scene, mark, service, operation);
    scene.delivered(revision);
    scene.serves("dev", "after");
    scene.serves_unqualified("dev", "after");
    assert_eq!(published(&scene, &code), 1, "published once");
    let releases = i64::try_from(scene.releases().len()).unwrap();
    assert_eq!(releases, revision, "released once");
}

#[test]
fn kill_during_artifact_upload_is_recovered() {
    survives_a_kill_at("kill-store", true, "s3", "PutObject");
}

#[test]
fn kill_during_create_function_is_recovered() {
    survives_a_kill_at("kill-create", true, "lambda", "CreateFunction");
}

#[test]
fn kill_during_create_alias_is_recovered() {
    survives_a_kill_at("kill-alias", true, "lambda", "CreateAlias");
}

#[test]
fn kill_during_code_update_is_recovered() {
    survives_a_kill_at("kill-code", false, "lambda", "UpdateFunctionCode");
}

#[test]
fn kill_during_publish_version_is_recovered() {
    survives_a_kill_at("kill-publish", false, "lambda", "PublishVersion");
}

#[test]
fn kill_during_traffic_shift_is_recovered() {
    survives_a_kill_at("kill-move", false, "lambda", "UpdateAlias");
}

#[test]
fn kill_during_restore_is_recovered() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "kill-restore");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["stages"][0]["checks"] = serde_json::json!([smoke()]);
    scene.push("v1");
    scene.apply(&wanted);
    scene.delivered(1);

    let bad = package_answering(&serde_json::json!({"statusCode": 500}));
    let update = Pattern::operation("lambda", "UpdateFunctionCode").about("kill-restore");
    let late = Action::delay(std::time::Duration::from_millis(500));
    // The first update is the delivery's; the second restores the former code.
    let second = Rule {
        skip: 1,
        ..Rule::once(update, late)
    };
    let fault = environment.lab.aws.faults().add(second);
    scene.push_package(&bad);
    let hit = wait_for("the former code is restored", LIMIT, || {
        if fault.hits() == 1 {
            Ok(())
        } else {
            Err(scene.log())
        }
    });
    hit.unwrap_or_else(|e| panic!("{e}"));
    kill_and_start(&environment, || ());
    scene.stalled("RolledBack", &["/statusCode is 500", "r1 serves"]);
    scene.still_serves("dev", "v1");
    assert_eq!(published(&scene, &bad), 1);
}

/// A team with v1 in dev and a canary of v2 that bakes for that long, with an alarm as its check.
fn baking<'a>(environment: &'a Environment, namespace: &str, bake: &str) -> (Scene<'a>, Alarm) {
    let scene = Scene::within(environment, namespace);
    let alarm = alarm(&scene, "dev");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev"]);
    let stage = &mut wanted["spec"]["stages"][0];
    stage["rollout"] = canary(&[(10, bake)]);
    stage["checks"] = serde_json::json!([{"name": "errors", "alarms": {"names": [alarm.name]}}]);
    scene.apply(&wanted);
    scene.delivered(1);
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    scene.wait(NAME, "a check was evaluated during the bake", |_| {
        let traffic = scene.target("dev").status?.run?.traffic?;
        (traffic.evaluations >= 1).then_some(())
    });
    (scene, alarm)
}

#[test]
fn kill_during_bake_is_recovered() {
    let environment = exclusive_lab();
    let (scene, _alarm) = baking(&environment, "kill-bake", "10s");
    let mark = environment.lab.aws.mark();
    kill_and_start(&environment, || ());
    scene.delivered(2);
    scene.serves("dev", "v2");
    scene.serves_unqualified("dev", "v2");
    assert_eq!(routed(&scene, "dev", &scene.function()), "2");
    let calls = scene.lambda_calls(mark).writes();
    assert_eq!(calls.names(), ["lambda:UpdateAlias"], "one remaining move");
}

#[test]
fn alarm_that_was_red_while_the_controller_was_down_counts() {
    let environment = exclusive_lab();
    let (scene, alarm) = baking(&environment, "kill-alarm", "20s");
    kill_and_start(&environment, || {
        alarm.turn_red("the test says so").unwrap();
        alarm.turn_green("the test says so").unwrap();
    });
    scene.stalled("RolledBack", &[&alarm.name, "entered ALARM"]);
    scene.still_serves("dev", "v1");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1");
}
