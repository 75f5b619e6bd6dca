//! Traffic moves in steps: analysed, paused, promoted early and restored.

use serde_json::{Value, json};
use sluice::api::v1alpha1::{Deployment, condition};
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    lab::{Alarm, package},
};

use super::{
    aws_state::{alarm, routed, versions, wait_routed, wait_settled},
    functions::{push, two, worker},
    run,
    scene::{NAME, Scene, condition_in},
};

/// A canary of these steps: weight and bake.
pub fn canary(steps: &[(i32, &str)]) -> Value {
    let step = |(weight, bake): &(i32, &str)| json!({"weight": weight, "bake": bake});
    json!({"canary": {"steps": steps.iter().map(step).collect::<Vec<_>>()}})
}

/// A team with v1 in dev and that rollout, and its Deployment.
fn running(namespace: &str, rollout: &Value) -> (Scene<'static>, Value) {
    let scene = Scene::new(namespace);
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["stages"][0]["rollout"] = rollout.clone();
    scene.apply(&wanted);
    scene.delivered(1);
    (scene, wanted)
}

/// [`running`], with a check of an alarm.
fn watched(namespace: &str, on_failure: &str) -> (Scene<'static>, Alarm) {
    let scene = Scene::new(namespace);
    let alarm = alarm(&scene, "dev");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev"]);
    let stage = &mut wanted["spec"]["stages"][0];
    stage["rollout"] = canary(&[(10, "20s")]);
    stage["checks"] = json!([{"name": "errors", "alarms": {"names": [alarm.name]}}]);
    wanted["spec"]["rollback"] = json!({"onFailure": on_failure});
    scene.apply(&wanted);
    scene.delivered(1);
    (scene, alarm)
}

fn is_live(deployment: &Deployment, live: &str) -> bool {
    let status = deployment.status.as_ref();
    status.and_then(|status| status.live.as_deref()) == Some(live)
}

#[test]
fn alias_with_provisioned_concurrency_moves_all_at_once() {
    let (scene, mut wanted) = running("provisioned", &canary(&[(10, "1s")]));
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    let provision = lambda
        .put_provisioned_concurrency_config()
        .function_name(scene.function())
        .qualifier("live")
        .provisioned_concurrent_executions(2);
    run(provision.send()).unwrap();
    let mark = scene.environment.lab.aws.mark();
    scene.push("v2");
    scene.stalled(
        "DeliveryFailed",
        &[
            "provisioned-api",
            "provisioned concurrency (2)",
            "rollout.allAtOnce",
        ],
    );
    assert!(scene.lambda_calls(mark).writes().is_empty());
    scene.serves("dev", "v1");

    wanted["spec"]["stages"][0]["rollout"] = json!({"allAtOnce": {}});
    let mark = scene.environment.lab.aws.mark();
    scene.apply(&wanted);
    scene.delivered(3);
    scene.serves("dev", "v2");
    assert_eq!(routed(&scene, "dev", &scene.function()), "2");
    // Sluice waits for Lambda to move the traffic of the provisioned alias.
    let calls = scene.lambda_calls(mark);
    let reads = calls.named("lambda", "GetProvisionedConcurrencyConfig");
    assert_ne!(reads.count(), 0);
}

#[test]
fn canary_moves_both_functions_step_by_step() {
    let scene = Scene::new("canary");
    let mut wanted = two(&scene);
    wanted["spec"]["stages"][0]["rollout"] = canary(&[(10, "3s"), (50, "3s")]);
    push(&scene, &package("v1"), &package("v1"));
    scene.apply(&wanted);
    scene.delivered(1);
    let functions = [scene.function(), worker(&scene)];
    for function in &functions {
        assert_eq!(
            routed(&scene, "dev", function),
            "1",
            "a new function has nothing to move from"
        );
    }

    push(&scene, &package("v2"), &package("v2"));
    let mut seen = [vec!["1".to_owned()], vec!["1".to_owned()]];
    scene.wait(NAME, "all of the traffic has moved", |deployment| {
        let live = is_live(deployment, "dev=r2");
        for (function, seen) in functions.iter().zip(&mut seen) {
            let now = routed(&scene, "dev", function);
            if seen.last() != Some(&now) {
                seen.push(now);
            }
        }
        live.then_some(())
    });
    for seen in seen {
        assert_eq!(seen, ["1", "1, 10 % to 2", "1, 50 % to 2", "2"]);
    }
    scene.delivered(2);
    for function in &functions {
        scene.answers("dev", function, Some("live"), "v2");
        assert_eq!(versions(&scene, "dev", function), ["1", "2"]);
    }
}

#[test]
fn alarm_during_the_bake_rolls_back() {
    let (scene, alarm) = watched("canary-alarm", "Automatic");
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    alarm.turn_red("the test says so").unwrap();
    let parts = [
        "check errors failed",
        &alarm.name,
        "ALARM",
        "the test says so",
    ];
    scene.stalled("RolledBack", &parts);
    scene.event("Deployment", "Warning", "RolledBack", &[&alarm.name]);
    scene.still_serves("dev", "v1");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1");

    // A red alarm has no verdict on the next release.
    let mark = scene.environment.lab.aws.mark();
    scene.push("v3");
    let parts = ["r3", "was in ALARM before", "alreadyInAlarm"];
    scene.stalled("DeliveryFailed", &parts);
    assert!(scene.lambda_calls(mark).writes().is_empty());

    alarm.turn_green("the test says so").unwrap();
    wait_settled(&alarm);
    scene.annotate("sluice.dev/retry", "it is green again");
    scene.delivered(3);
    scene.serves("dev", "v3");
}

#[test]
fn held_release_keeps_its_weight_until_aborted() {
    let (scene, alarm) = watched("held", "Hold");
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    alarm.turn_red("the test says so").unwrap();
    scene.stalled(
        "Held",
        &[&alarm.name, "sluice.dev/promote", "sluice.dev/abort"],
    );
    scene.condition(condition::AVAILABLE, "True", "Serving");
    assert_eq!(scene.run_in_dev().step, "Held");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1, 10 % to 2");

    scene.annotate("sluice.dev/abort", "enough");
    scene.stalled("RolledBack", &["r2 was rolled back, r1 serves"]);
    scene.still_serves("dev", "v1");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1");
}

#[test]
fn held_release_continues_when_promoted() {
    let (scene, alarm) = watched("held-promoted", "Hold");
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    alarm.turn_red("the test says so").unwrap();
    scene.stalled("Held", &[&alarm.name]);
    scene.annotate("sluice.dev/promote", "the alarm is of something else");
    scene.delivered(2);
    scene.serves("dev", "v2");
    assert_eq!(routed(&scene, "dev", &scene.function()), "2");
}

#[test]
fn retry_of_a_held_run_restarts_its_bake() {
    let (scene, alarm) = watched("held-retried", "Hold");
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    let held = |attempt: i64| {
        scene.wait(NAME, "it is held", |_| {
            let run = scene.target("dev").status?.run?;
            (run.attempt == attempt && run.step == "Held").then_some(run)
        })
    };
    alarm.turn_red("the test says so").unwrap();
    let first = held(1);
    alarm.turn_green("the test says so").unwrap();
    wait_settled(&alarm);
    scene.annotate("sluice.dev/retry", "it is green again");
    let watched = scene.wait(NAME, "the checks are evaluated anew", |_| {
        let run = scene.target("dev").status?.run?;
        let traffic = run.traffic.clone()?;
        let anew = run.attempt == 2 && run.step == "Promote" && traffic.evaluations > 0;
        anew.then_some(run)
    });
    assert!(watched.started_at > first.progressed_at);
    // An alarm that turns red from now on counts.
    alarm.turn_red("once more").unwrap();
    let second = held(2);
    let message = second.message.unwrap_or_default();
    assert!(message.contains("once more"), "{message}");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1, 10 % to 2");

    alarm.turn_green("the test says so").unwrap();
    wait_settled(&alarm);
    scene.annotate("sluice.dev/retry", "and now?");
    scene.delivered(2);
    scene.serves("dev", "v2");
}

#[test]
fn paused_rollout_takes_no_step_until_resumed() {
    let (scene, _) = running("paused", &canary(&[(10, "15s"), (50, "1s")]));
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    scene.annotate("sluice.dev/pause", "lunch");
    scene.condition(condition::RECONCILING, "True", "Paused");
    // The Target reports it when the bake is over and the next step is due.
    scene.wait(NAME, "the Target is paused", |_| {
        let status = scene.target("dev").status?;
        let ready = condition_in(&status.conditions, condition::READY)?;
        (ready.reason == "Paused").then_some(())
    });
    let traffic = scene.run_in_dev().traffic.unwrap();
    assert!(traffic.baked_seconds >= 15, "{traffic:?}");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1, 10 % to 2");

    scene.annotate("sluice.dev/resume", "back from lunch");
    let deployment = scene.delivered(2);
    scene.serves("dev", "v2");
    assert!(!deployment.status.unwrap().paused);
}

#[test]
fn promote_command_skips_the_bake() {
    let (scene, _) = running("hurried-on", &canary(&[(10, "24h"), (50, "24h")]));
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    let mark = scene.environment.lab.aws.mark();
    scene.annotate("sluice.dev/promote", "it looks good");
    scene.delivered(2);
    scene.serves("dev", "v2");
    let moves = scene.lambda_calls(mark);
    assert_eq!(moves.named("lambda", "UpdateAlias").count(), 1);
}

#[test]
fn abort_restores_a_rollout_in_progress() {
    let (scene, _) = running("aborted", &canary(&[(10, "24h")]));
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    scene.annotate("sluice.dev/abort", "wrong branch");
    scene.stalled("RolledBack", &["it was aborted by sluice.dev/abort"]);
    scene.still_serves("dev", "v1");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1");
    // The command is handled: it does not abort the next release.
    scene.push("v3");
    wait_routed(&scene, "dev", "1, 10 % to 3");
    scene.annotate("sluice.dev/promote", "the right one");
    scene.delivered(3);
    scene.serves("dev", "v3");
}

#[test]
fn failed_restore_is_reported_and_completed_by_a_retry() {
    let (scene, _) = running("not-put-back", &canary(&[(10, "24h")]));
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 10 % to 2");
    let function = scene.function();
    let denial = Action::respond(
        403,
        "AccessDeniedException",
        "User is not authorized to perform: lambda:UpdateAlias",
    );
    let moves = Pattern::operation("lambda", "UpdateAlias").about(&function);
    let faults = scene.environment.lab.aws.faults();
    let fault = faults.add(Rule::always(moves, denial));
    scene.annotate("sluice.dev/abort", "wrong branch");
    let traffic = format!("traffic of {function}:live is version 1 (10 % to 2), not version 1");
    let code = format!("code of {function} is");
    scene.stalled("RollbackFailed", &["lambda:UpdateAlias", &traffic, &code]);
    let found = scene.run_in_dev().differences;
    let fields: Vec<_> = found.iter().filter_map(|it| it.field.as_deref()).collect();
    assert_eq!(fields, ["traffic", "code"]);

    fault.remove();
    scene.annotate("sluice.dev/retry", "allowed now");
    scene.stalled("RolledBack", &["it was aborted by sluice.dev/abort"]);
    scene.still_serves("dev", "v1");
    let run = scene.run_in_dev();
    assert!(run.differences.is_empty());
    let restored = &run.restored[0];
    let alias = (format!("{function}:live"), "version 1".to_owned());
    assert_eq!((restored.resource.clone(), restored.state.clone()), alias);
}

#[test]
fn linear_rollout_moves_in_equal_steps() {
    let linear = json!({"linear": {"increment": 40, "interval": "2s"}});
    let (scene, _) = running("linear", &linear);
    let mark = scene.environment.lab.aws.mark();
    scene.push("v2");
    wait_routed(&scene, "dev", "1, 40 % to 2");
    wait_routed(&scene, "dev", "1, 80 % to 2");
    scene.delivered(2);
    scene.serves("dev", "v2");
    let moves = scene.lambda_calls(mark);
    assert_eq!(moves.named("lambda", "UpdateAlias").count(), 3);
}
