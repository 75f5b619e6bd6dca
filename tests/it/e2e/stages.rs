//! Several targets in a stage, and what a failure in one stage means for the others.

use serde_json::{Value, json};
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    lab::package_answering,
};

use super::{
    aws_state::{routed, wait_routed},
    rollout::canary,
    scene::{NAME, Scene, smoke},
};

/// A Deployment of one stage with a target in dev and one in prod.
fn both(scene: &Scene<'_>) -> Value {
    let mut wanted = scene.deployment(&["all"]);
    wanted["spec"]["stages"][0]["targets"] = json!([
        {"account": "dev", "region": "eu-west-1"},
        {"account": "prod", "region": "eu-west-1"},
    ]);
    wanted
}

/// Matches calls to Lambda in prod about the team's function, of one operation or of all.
fn in_prod(scene: &Scene<'_>, operation: Option<&str>) -> Pattern {
    Pattern {
        service: Some("lambda".to_owned()),
        operation: operation.map(str::to_owned),
        resource_contains: Some(scene.function()),
        account: Some(scene.environment.lab.account_id("prod").unwrap().to_owned()),
        ..Pattern::default()
    }
}

fn refusal() -> Action {
    Action::respond(
        400,
        "CodeStorageExceededException",
        "Code storage limit exceeded.",
    )
}

#[test]
fn failure_of_one_target_restores_the_whole_stage() {
    let scene = Scene::new("two-targets");
    scene.push("v1");
    scene.apply(&both(&scene));
    scene.delivered(1);

    let lab = &scene.environment.lab;
    let publish = in_prod(&scene, Some("PublishVersion"));
    let fault = lab.aws.faults().add(Rule::always(publish, refusal()));
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
fn failure_of_a_later_stage_leaves_the_earlier_one_live() {
    let scene = Scene::new("second-stage");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["stages"][1]["checks"] = json!([smoke()]);
    scene.apply(&wanted);
    scene.delivered(1);
    scene.push_package(&package_answering(
        &json!({"statusCode": 503, "version": "v2"}),
    ));
    let message = scene.stalled(
        "RolledBack",
        &["prod: r2 was rolled back, r1 serves", "503"],
    );
    scene.event("Deployment", "Warning", "RolledBack", &[&message]);
    scene.still_serves("dev", "v2");
    scene.still_serves("prod", "v1");
    let status = scene.releases().pop().unwrap().status.unwrap();
    let summary = status.summary.unwrap();
    assert_eq!(summary, "dev Succeeded, prod RolledBack");
}

#[test]
fn unreachable_target_does_not_block_the_restore_of_others() {
    let scene = Scene::new("unreachable");
    let lab = &scene.environment.lab;
    let alarm = super::aws_state::alarm(&scene, "dev");
    lab.alarm("prod", &alarm.name).unwrap();
    scene.push("v1");
    let mut wanted = both(&scene);
    let stage = &mut wanted["spec"]["stages"][0];
    stage["rollout"] = canary(&[(10, "24h")]);
    stage["checks"] = json!([{"name": "errors", "alarms": {"names": [alarm.name]}}]);
    scene.apply(&wanted);
    scene.delivered(1);
    scene.push("v2");
    for account in ["dev", "prod"] {
        wait_routed(&scene, account, "1, 10 % to 2");
    }
    let away = Rule::always(in_prod(&scene, None), Action::DropRequest);
    let fault = lab.aws.faults().add(away);
    alarm.turn_red("the test says so").unwrap();
    wait_routed(&scene, "dev", "1");
    scene.wait(NAME, "dev is restored and prod is not", |deployment| {
        let is = &deployment.status.as_ref()?.stages.first()?.state;
        let run = scene.target("dev").status?.run?;
        (is == "RollingBack" && run.step == "RolledBack").then_some(())
    });
    assert_eq!(routed(&scene, "prod", &scene.function()), "1, 10 % to 2");
    fault.remove();
    scene.stalled("RolledBack", &["dev/eu-west-1", "the test says so"]);
    for account in ["dev", "prod"] {
        scene.still_serves(account, "v1");
        assert_eq!(routed(&scene, account, &scene.function()), "1");
    }
}

#[test]
fn rollback_target_policy_keeps_the_other_targets_live() {
    let scene = Scene::new("for-itself");
    scene.push("v1");
    let mut wanted = both(&scene);
    wanted["spec"]["stages"][0]["onTargetFailure"] = json!("RollbackTarget");
    scene.apply(&wanted);
    scene.delivered(1);
    let publish = in_prod(&scene, Some("PublishVersion"));
    let fault = scene
        .environment
        .lab
        .aws
        .faults()
        .add(Rule::always(publish, refusal()));
    scene.push("v2");
    scene.stalled("RolledBack", &["prod/eu-west-1", "lambda:PublishVersion"]);
    scene.serves("dev", "v2");
    scene.serves("prod", "v1");
    scene.serves_unqualified("prod", "v1");
    fault.remove();
    scene.push("v3");
    scene.delivered(3);
    for account in ["dev", "prod"] {
        scene.serves(account, "v3");
    }
}

#[test]
fn max_concurrent_targets_limits_the_stage() {
    let scene = Scene::new("in-turn");
    scene.push("v1");
    let mut wanted = both(&scene);
    let stage = &mut wanted["spec"]["stages"][0];
    stage["maxConcurrentTargets"] = json!(1);
    stage["rollout"] = canary(&[(10, "24h")]);
    scene.apply(&wanted);
    scene.delivered(1);
    let mark = scene.environment.lab.aws.mark();
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    scene.annotate("sluice.dev/promote", "on to the other one");
    scene.delivered(2);
    let calls = scene.lambda_calls(mark).writes();
    let at = |account: &str| {
        let id = scene.environment.lab.account_id(account).unwrap();
        let calls = calls.only(|call| call.account.as_deref() == Some(id));
        calls.iter().map(|call| call.at).collect::<Vec<_>>()
    };
    let (dev, prod) = (at("dev"), at("prod"));
    assert!(dev.last() < prod.first(), "{dev:?} {prod:?}");
    for account in ["dev", "prod"] {
        scene.serves(account, "v2");
    }
}
