//! Drift: Sluice detects and reports external changes in AWS, and corrects them where the spec says so.

use aws_sdk_lambda::types::Environment;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Target, annotation, condition};
use sluice_lab::{
    aws::{Action, Calls, Pattern, Rule},
    lab::{HUB_REGION, wait_for},
};

use super::{
    LIMIT,
    aws_state::{alarm, versions, wait_routed},
    run,
    scene::{NAME, Scene, assert_contains, condition_in},
};

/// A team with v1 and then v2 delivered to dev, and that drift policy.
fn running(namespace: &str, interval: &str, policy: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["drift"] = json!({"interval": interval, "policy": policy});
    wanted["spec"]["components"][0]["lambda"]["environment"] = json!({"TOKEN": "hunter2"});
    scene.apply(&wanted);
    for revision in 1..=2 {
        scene.push(&format!("v{revision}"));
        scene.delivered(revision);
    }
    scene
}

/// Moves the alias, as an external change.
fn move_alias(scene: &Scene<'_>, version: &str) {
    let lambda = scene.environment.lab.lambda("dev", HUB_REGION).unwrap();
    let update = lambda
        .update_alias()
        .function_name(scene.function())
        .name("live")
        .function_version(version);
    run(update.send()).unwrap();
}

/// Changes memory and environment, as an external change.
fn change_configuration(scene: &Scene<'_>) {
    let lambda = scene.environment.lab.lambda("dev", HUB_REGION).unwrap();
    let update = lambda
        .update_function_configuration()
        .function_name(scene.function())
        .memory_size(512)
        .environment(Environment::builder().variables("TOKEN", "hunter3").build());
    run(update.send()).unwrap();
}

fn memory(scene: &Scene<'_>) -> Option<i32> {
    let lambda = scene.environment.lab.lambda("dev", HUB_REGION).unwrap();
    let get = lambda.get_function().function_name(scene.function());
    run(get.send()).unwrap().configuration?.memory_size
}

/// The differences that the Target reports, as `resource field: expected → found`.
fn found(target: &Target) -> Vec<String> {
    let drift = target.status.clone().unwrap().drift.unwrap_or_default();
    let one = |it: &sluice::api::v1alpha1::Difference| {
        format!(
            "{} {}: {} → {}",
            it.resource,
            it.field.as_deref().unwrap_or("-"),
            it.expected.as_deref().unwrap_or("-"),
            it.found.as_deref().unwrap_or("-")
        )
    };
    drift.differences.iter().map(one).collect()
}

fn drifted_status(scene: &Scene<'_>) -> Vec<String> {
    let target = scene.target("dev");
    let conditions = target.status.unwrap().conditions;
    let drifted = condition_in(&conditions, condition::DRIFTED);
    drifted.into_iter().map(|it| it.status.clone()).collect()
}

#[test]
fn alias_drift_is_reported_and_not_corrected() {
    let scene = running("drift-alias", "1h", "Report");
    let mark = scene.environment.lab.aws.mark();
    move_alias(&scene, "1");
    scene.annotate(annotation::RECONCILE, "check");
    let message = scene.condition(condition::DRIFTED, "True", "Drifted");
    let parts = ["dev: version of drift-alias-api:live is 1, not 2"];
    assert_contains(&message, &parts);
    scene.event("Target", "Warning", "Drifted", &["drift-alias-api:live"]);
    scene.event("Deployment", "Warning", "Drifted", &parts);
    assert_eq!(
        found(&scene.target("dev")),
        ["drift-alias-api:live version: 2 → 1"]
    );
    scene.condition(condition::READY, "True", "Delivered");
    let writes = scene.lambda_calls(mark).writes();
    assert!(writes.is_empty(), "{writes:?}");

    move_alias(&scene, "2");
    scene.annotate(annotation::RECONCILE, "check again");
    scene.condition(condition::DRIFTED, "False", "InSync");
    scene.event("Target", "Normal", "InSync", &["what r2 left"]);
    scene.event("Deployment", "Normal", "InSync", &[]);
    assert!(found(&scene.target("dev")).is_empty());
}

#[test]
fn configuration_drift_is_reported_without_secrets() {
    let scene = running("drift-settings", "1s", "Report");
    change_configuration(&scene);
    let message = scene.condition(condition::DRIFTED, "True", "Drifted");
    let parts = [
        "memorySize of drift-settings-api is 512, not 128",
        "changed at 20",
    ];
    assert_contains(&message, &parts);
    let target = scene.target("dev");
    assert_eq!(
        found(&target),
        [
            "drift-settings-api memorySize: 128 → 512",
            "drift-settings-api environment.TOKEN: a value → another value",
        ]
    );
    let text = serde_json::to_string(&target.status).unwrap();
    assert!(!text.contains("hunter"), "{text}");
    let drift = target.status.unwrap().drift.unwrap();
    assert!(
        drift.differences[0].changed_at.is_some(),
        "Lambda says when"
    );
}

#[test]
fn drift_is_corrected_where_the_policy_is_correct() {
    let scene = running("drift-correct", "1s", "Correct");
    move_alias(&scene, "1");
    change_configuration(&scene);
    scene.event("Deployment", "Normal", "Correcting", &["checkout-2"]);
    scene.event("Target", "Normal", "Corrected", &["r2 serves"]);
    wait_routed(&scene, "dev", "2");
    scene.condition(condition::DRIFTED, "False", "InSync");
    scene.delivered(2);
    assert_eq!(memory(&scene), Some(128));
    scene.serves("dev", "v2");
    scene.serves_unqualified("dev", "v2");
    assert_eq!(versions(&scene, "dev", &scene.function()), ["1", "2"]);
    let target = scene.target("dev");
    let assigned = target.spec.run.unwrap();
    assert_eq!((assigned.attempt, assigned.correction), (2, 1));
    let run = target.status.unwrap().run.unwrap();
    assert!(run.snapshot.is_some(), "the drift can be restored");
    assert_eq!(scene.releases().len(), 2, "drift creates no Release");
}

#[test]
fn drift_is_corrected_while_an_alarm_is_red() {
    let scene = Scene::new("drift-alarm");
    let alarm = alarm(&scene, "dev");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["drift"] = json!({"interval": "1s", "policy": "Correct"});
    let check = json!({"name": "errors", "alarms": {"names": [alarm.name]}});
    wanted["spec"]["stages"][0]["checks"] = json!([check]);
    scene.apply(&wanted);
    for revision in 1..=2 {
        scene.push(&format!("v{revision}"));
        scene.delivered(revision);
    }
    alarm.turn_red("because of what comes now").unwrap();
    move_alias(&scene, "1");
    scene.event("Target", "Normal", "Corrected", &["r2 serves"]);
    wait_routed(&scene, "dev", "2");
    scene.delivered(2);
}

#[test]
fn drift_is_not_corrected_while_paused() {
    let scene = running("drift-paused", "1s", "Correct");
    scene.annotate(annotation::PAUSE, "hands off");
    scene.wait(NAME, "it is paused", |it| {
        it.status.as_ref()?.paused.then_some(())
    });
    move_alias(&scene, "1");
    scene.condition(condition::DRIFTED, "True", "Drifted");
    scene.poll_gitlab("one more pass");
    assert_eq!(scene.target("dev").spec.run.unwrap().attempt, 1);
    wait_routed(&scene, "dev", "1");
    scene.annotate(annotation::RESUME, "go on");
    wait_routed(&scene, "dev", "2");
}

/// Waits until Sluice has read the team's function `times` times since that mark.
fn wait_reads(scene: &Scene<'_>, mark: usize, times: usize) -> Calls {
    let found = wait_for("drift checks go on", LIMIT, || {
        let calls = scene.lambda_calls(mark);
        let reads = calls.named("lambda", "GetFunction").count();
        if reads >= times {
            Ok(calls)
        } else {
            Err(reads)
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()))
}

#[test]
fn drift_check_takes_two_reads_and_no_writes() {
    let scene = running("drift-costs", "1s", "Report");
    scene.condition(condition::DRIFTED, "False", "InSync");
    let before = scene.target("dev").metadata.resource_version;
    let mark = scene.environment.lab.aws.mark();
    let calls = wait_reads(&scene, mark, 3);
    assert_eq!(calls.writes().names(), [""; 0]);
    let names = calls.names();
    let of = |name: &str| names.iter().filter(|it| *it == name).count();
    let (functions, aliases) = (of("lambda:GetFunction"), of("lambda:GetAlias"));
    assert_eq!(functions + aliases, names.len(), "{names:?}");
    assert!(functions.abs_diff(aliases) <= 1, "{names:?}");
    assert_eq!(scene.target("dev").metadata.resource_version, before);
}

#[test]
fn no_reads_between_drift_checks_or_with_policy_ignore() {
    let scene = running("drift-idle", "1s", "Ignore");
    let mark = scene.environment.lab.aws.mark();
    move_alias(&scene, "1");
    scene.poll_gitlab("first poll");
    scene.poll_gitlab("second poll");
    assert_eq!(scene.lambda_calls(mark).names(), [""; 0]);
    assert_eq!(drifted_status(&scene), [""; 0]);

    // From now on Sluice checks for drift, but only once per hour.
    scene.merge(&json!({"spec": {"drift": {"interval": "1h", "policy": "Report"}}}));
    scene.condition(condition::DRIFTED, "True", "Drifted");
    let mark = scene.environment.lab.aws.mark();
    // Two edits that request no drift check.
    for interval in ["1h", "2h"] {
        scene.merge(&json!({"spec": {"drift": {"interval": interval}}}));
        scene.wait(NAME, "the edit is observed", |it| {
            let seen = it.status.as_ref()?.observed_generation;
            (seen == it.metadata.generation).then_some(())
        });
    }
    assert_eq!(scene.lambda_calls(mark).names(), [""; 0]);

    scene.merge(&json!({"spec": {"drift": {"policy": "Ignore"}}}));
    scene.wait(NAME, "the condition Drifted is gone", |it| {
        let conditions = &it.status.as_ref()?.conditions;
        condition_in(conditions, condition::DRIFTED)
            .is_none()
            .then_some(())
    });
    assert_eq!(drifted_status(&scene), [""; 0]);
}

#[test]
fn denied_drift_check_is_not_in_sync() {
    let scene = running("drift-denied", "1h", "Report");
    let denied = Action::respond(403, "AccessDeniedException", "not authorized");
    let pattern = Pattern::operation("lambda", "GetFunction").about(&scene.function());
    let fault = scene
        .environment
        .lab
        .aws
        .faults()
        .add(Rule::always(pattern, denied));
    scene.annotate(annotation::RECONCILE, "check");
    let message = scene.condition(condition::DRIFTED, "Unknown", "AccessDenied");
    assert_contains(&message, &["drift-denied-api", "not authorized"]);
    scene.condition(condition::READY, "True", "Delivered");
    assert!(fault.hits() > 0);
    fault.remove();
    scene.annotate(annotation::RECONCILE, "again");
    scene.condition(condition::DRIFTED, "False", "InSync");
}

#[test]
fn edit_of_the_drift_policy_creates_no_release() {
    let scene = Scene::running("drift-edit");
    scene.merge(&json!({"spec": {"drift": {"interval": "3h", "policy": "Correct"}}}));
    let follows = |target: &Target| -> Option<Value> {
        serde_json::to_value(target.spec.drift.as_ref()?).ok()
    };
    let found = wait_for("the Target follows", LIMIT, || {
        let drift = follows(&scene.target("dev")).unwrap_or_default();
        if drift == json!({"interval": "3h", "policy": "Correct"}) {
            Ok(())
        } else {
            Err(drift.to_string())
        }
    });
    found.unwrap_or_else(|e| panic!("{e}"));
    scene.poll_gitlab("one more pass");
    assert_eq!(scene.releases().len(), 1);
}
