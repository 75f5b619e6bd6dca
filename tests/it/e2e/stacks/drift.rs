//! Drift of stacks: reported, and corrected where the policy says so.

use serde_json::{Value, json};
use sluice::api::v1alpha1::{annotation, condition};
use sluice_lab::lab::wait_for;

use super::{
    emulator::setting,
    fixture::{
        TEMPLATE, calls, change_externally, check_drift, client, deployment, executed, name,
        nothing_written, push, spec, state, template, wait_gone,
    },
};
use crate::e2e::{
    LIMIT, run,
    scene::{Scene, assert_contains},
};

/// A team with a stack in dev, whose spec has the parameter `Text`, and that drift policy. Drift checks are only those
/// that a test requests: they would use up the budget of CloudFormation's calls, which all tests share.
fn running(namespace: &str, policy: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    let mut wanted = deployment(&scene, &["dev"]);
    wanted["spec"]["drift"] = json!({"interval": "1h", "policy": policy});
    spec(&mut wanted)["parameters"] = json!({"Text": "ours"});
    push(&scene, TEMPLATE);
    scene.apply(&wanted);
    scene.delivered(1);
    scene
}

/// The fields that the Target reports as different.
fn fields(scene: &Scene<'_>) -> Vec<Value> {
    let drift = scene.target("dev").status.unwrap().drift;
    let differences = drift.unwrap_or_default().differences;
    differences.into_iter().map(|it| json!(it.field)).collect()
}

#[test]
fn external_change_of_a_parameter_is_reported() {
    let scene = running("stk-drift-value", "Report");
    let mark = scene.environment.lab.aws.mark();
    change_externally(&scene, "dev", "theirs", None);
    check_drift(&scene, "after the change");
    let message = scene.condition(condition::DRIFTED, "True", "Drifted");
    let text = format!("parameters.Text of {} is theirs, not ours", name(&scene));
    assert_contains(&message, &[&text, "changed at 20"]);
    scene.event("Target", "Warning", "Drifted", &[&text]);
    assert_eq!(fields(&scene), [json!("parameters.Text")]);
    scene.condition(condition::READY, "True", "Delivered");
    nothing_written(&scene, mark);

    change_externally(&scene, "dev", "ours", None);
    check_drift(&scene, "after the change was undone");
    scene.condition(condition::DRIFTED, "False", "InSync");
    nothing_written(&scene, mark);
}

#[test]
fn external_change_of_the_template_is_reported() {
    let scene = running("stk-drift-template", "Report");
    let theirs = TEMPLATE.replace("Default: 5", "Default: 6");
    change_externally(&scene, "dev", "ours", Some(&theirs));
    check_drift(&scene, "after the change");
    scene.condition(condition::DRIFTED, "True", "Drifted");
    assert_eq!(fields(&scene), [json!("template")]);
}

#[test]
fn external_deletion_is_reported() {
    let scene = running("stk-drift-gone", "Report");
    let delete = client(&scene, "dev").delete_stack();
    run(delete.stack_name(name(&scene)).send()).unwrap();
    wait_gone(&scene, "dev");
    check_drift(&scene, "after the deletion");
    let message = scene.condition(condition::DRIFTED, "True", "Drifted");
    assert_contains(&message, &[&format!("{} is gone", name(&scene))]);
}

#[test]
fn drift_is_corrected_where_the_policy_is_correct() {
    let scene = running("stk-correct", "Correct");
    let before = state(&scene);
    let mark = scene.environment.lab.aws.mark();
    let theirs = TEMPLATE.replace("# no number", "# theirs");
    let theirs = theirs.replace("Default: 5", "Default: 6");
    change_externally(&scene, "dev", "theirs", Some(&theirs));
    scene.annotate(annotation::RECONCILE, "after the change");
    scene.event("Deployment", "Normal", "Correcting", &["checkout-1"]);
    scene.event("Target", "Normal", "Corrected", &["r1 serves"]);
    let found = wait_for("the stack is as the Release says", LIMIT, || {
        let now = state(&scene);
        if now == before {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
    scene.condition(condition::DRIFTED, "False", "InSync");
    assert_eq!(executed(&scene, mark), 1);
    assert_eq!(template(&scene, "dev"), TEMPLATE);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("ours"));
    assert_eq!(scene.releases().len(), 1, "drift creates no Release");
}

#[test]
fn drift_check_takes_two_reads() {
    let scene = running("stk-drift-costs", "Report");
    check_drift(&scene, "first");
    let mark = scene.environment.lab.aws.mark();
    check_drift(&scene, "second");
    let names = calls(&scene, mark).names();
    let expected = [
        "cloudformation:DescribeStacks",
        "cloudformation:GetTemplate",
    ];
    assert_eq!(names, expected);
}
