//! The plan of a stack is a change set: exactly that one is approved and executed.

use serde_json::Value;
use sluice::api::v1alpha1::PlannedChange;

use super::{
    emulator::setting,
    fixture::{
        TEMPLATE, change_externally, change_sets, client, count, deployment, described, executed,
        name, push, status, wait_gone, wait_no_change_sets,
    },
};
use crate::e2e::{
    gates::{allow_approvals, approval, by_approvers, counted, create, waiting},
    run,
    scene::{NAME, Scene, assert_contains},
};

/// A Deployment of the stack to prod, behind a gate with an approval.
fn gated(scene: &Scene<'_>) -> Value {
    let mut wanted = deployment(scene, &["prod"]);
    wanted["spec"]["stages"][0]["gate"] = by_approvers();
    wanted
}

/// A team with [`TEMPLATE`] delivered to prod, which has a gate from now on.
fn running(namespace: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    allow_approvals(&scene);
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["prod"]));
    scene.delivered(1);
    wait_no_change_sets(&scene, "prod");
    scene.apply(&gated(&scene));
    scene
}

/// The plan of the Target in prod, as `action resource field: from → to`.
fn changes(scene: &Scene<'_>) -> Vec<String> {
    let plan = scene.target("prod").status.unwrap().plan.unwrap();
    let one = |it: &PlannedChange| {
        format!(
            "{} {} {}: {} → {}",
            it.action,
            it.resource,
            it.field.as_deref().unwrap_or("-"),
            it.from.as_deref().unwrap_or("-"),
            it.to.as_deref().unwrap_or("-")
        )
    };
    plan.changes.iter().map(one).collect()
}

/// The ARN of the only change set of the team's stack in prod.
fn change_set(scene: &Scene<'_>) -> String {
    let all = change_sets(scene, "prod");
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].change_set_id.clone().expect("an ARN")
}

#[test]
fn approved_change_set_is_the_one_that_is_executed() {
    let scene = running("stk-approved");
    let mark = scene.environment.lab.aws.mark();
    push(
        &scene,
        &TEMPLATE
            .replace("Default: 5", "Default: 9")
            .replace("hello", "bye"),
    );
    let held = waiting(&scene, 2, "WaitingForApproval", &["0 of 1 approvals"]);
    let stack = name(&scene);
    let planned = [
        format!("Update {stack}/Queue (AWS::SQS::Queue) /Properties/DelaySeconds: 5 → 9"),
        format!("Update {stack}/Setting (AWS::SSM::Parameter) /Properties/Value: hello → bye"),
    ];
    assert_eq!(changes(&scene), planned);
    let text = "prod/eu-west-1: infra: will update 2 resources";
    assert_contains(&held.plan.join("; "), &[text]);
    assert_eq!(executed(&scene, mark), 0);
    let arn = change_set(&scene);

    let approved = create(&scene, &approval(&held, "Approve"));
    scene.delivered(2);
    counted(&scene, &approved, "True", "Used");
    assert_eq!(setting(&scene, "prod").as_deref(), Some("bye"));
    assert_eq!(executed(&scene, mark), 1);
    assert_eq!(count(&scene, mark, "CreateChangeSet"), 1);
    let stack = described(&scene, "prod").expect("the stack");
    assert_eq!(stack.change_set_id.as_deref(), Some(&*arn));
}

#[test]
fn plan_of_a_new_stack_lists_its_resources() {
    let scene = Scene::new("stk-new-plan");
    allow_approvals(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&gated(&scene));
    let held = waiting(&scene, 1, "WaitingForApproval", &["0 of 1 approvals"]);
    let stack = name(&scene);
    let planned = [
        format!("Create {stack}/Queue (AWS::SQS::Queue) -: - → -"),
        format!("Create {stack}/Setting (AWS::SSM::Parameter) -: - → -"),
    ];
    assert_eq!(changes(&scene), planned);
    let text = format!("infra: will create stack {stack} with 2 resources");
    assert_contains(&held.plan.join("; "), &[&text]);
    assert_eq!(status(&scene, "prod"), "REVIEW_IN_PROGRESS");
    assert_eq!(setting(&scene, "prod"), None, "nothing exists yet");

    create(&scene, &approval(&held, "Approve"));
    scene.delivered(1);
    assert_eq!(setting(&scene, "prod").as_deref(), Some("hello"));
    assert_eq!(executed(&scene, mark), 1);
    assert_eq!(count(&scene, mark, "CreateChangeSet"), 1);
}

#[test]
fn external_change_before_the_approval_needs_another_one() {
    let scene = running("stk-changed-plan");
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &TEMPLATE.replace("Default: 5", "Default: 9"));
    let first = waiting(&scene, 2, "WaitingForApproval", &["0 of 1 approvals"]);
    // The plan does not have this change, which the Release would undo.
    change_externally(&scene, "prod", "theirs", None);
    create(&scene, &approval(&first, "Approve"));
    let second = scene.wait(NAME, "the new plan waits for an approval", |deployment| {
        let stage = deployment.status.as_ref()?.stages.first()?;
        let waiting = stage.waiting.clone()?;
        let is_new = waiting.digest.is_some() && waiting.digest != first.digest;
        (waiting.reason == "WaitingForApproval" && is_new).then_some(waiting)
    });
    assert_eq!(executed(&scene, mark), 0);
    assert_eq!(setting(&scene, "prod").as_deref(), Some("theirs"));
    let all = changes(&scene).join("; ");
    assert_contains(&all, &["/Properties/Value: theirs → hello", "5 → 9"]);

    create(&scene, &approval(&second, "Approve"));
    scene.delivered(2);
    assert_eq!(setting(&scene, "prod").as_deref(), Some("hello"));
    assert_eq!(executed(&scene, mark), 1);
    wait_no_change_sets(&scene, "prod");
}

#[test]
fn deleted_change_set_is_created_again_for_the_same_approval() {
    let scene = running("stk-lost-set");
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &TEMPLATE.replace("hello", "bye"));
    let held = waiting(&scene, 2, "WaitingForApproval", &["0 of 1 approvals"]);
    let delete = client(&scene, "prod").delete_change_set();
    run(delete.change_set_name(change_set(&scene)).send()).unwrap();
    create(&scene, &approval(&held, "Approve"));
    scene.delivered(2);
    assert_eq!(setting(&scene, "prod").as_deref(), Some("bye"));
    assert_eq!(executed(&scene, mark), 1);
    assert_eq!(count(&scene, mark, "CreateChangeSet"), 2);
}

#[test]
fn rejected_release_leaves_no_change_set_and_no_stack() {
    let scene = Scene::new("stk-rejected");
    allow_approvals(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&gated(&scene));
    let held = waiting(&scene, 1, "WaitingForApproval", &["0 of 1 approvals"]);
    create(&scene, &approval(&held, "Reject"));
    scene.stalled("Rejected", &["approver rejected checkout-1"]);
    wait_gone(&scene, "prod");
    assert_eq!(executed(&scene, mark), 0);
    scene.wait(NAME, "no proposal is on record", |_| {
        let status = scene.target("prod").status?;
        status.proposals.is_empty().then_some(())
    });
}

#[test]
fn rejected_update_leaves_the_stack_as_it_is() {
    let scene = running("stk-no-update");
    push(&scene, &TEMPLATE.replace("hello", "bye"));
    let held = waiting(&scene, 2, "WaitingForApproval", &["0 of 1 approvals"]);
    create(&scene, &approval(&held, "Reject"));
    scene.stalled("Rejected", &["approver rejected checkout-2"]);
    wait_no_change_sets(&scene, "prod");
    assert_eq!(status(&scene, "prod"), "CREATE_COMPLETE");
    assert_eq!(setting(&scene, "prod").as_deref(), Some("hello"));
}

#[test]
fn superseded_release_leaves_only_the_newer_change_set() {
    let scene = Scene::new("stk-superseded");
    allow_approvals(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&gated(&scene));
    waiting(&scene, 1, "WaitingForApproval", &["0 of 1 approvals"]);
    push(&scene, &TEMPLATE.replace("hello", "newer"));
    let held = waiting(&scene, 2, "WaitingForApproval", &["0 of 1 approvals"]);
    scene.wait(NAME, "the former change set is gone", |_| {
        let recorded = scene.target("prod").status?.proposals;
        let is_left = recorded.len() == 1 && change_sets(&scene, "prod").len() == 1;
        is_left.then_some(())
    });
    create(&scene, &approval(&held, "Approve"));
    scene.delivered(2);
    assert_eq!(setting(&scene, "prod").as_deref(), Some("newer"));
    assert_eq!(executed(&scene, mark), 1);
    wait_no_change_sets(&scene, "prod");
}

#[test]
fn replacement_is_refused_before_anyone_is_asked() {
    let scene = running("stk-gate-replace");
    let named = TEMPLATE.replacen(
        "    Properties:\n",
        "    Properties:\n      QueueName: !Sub \"${AWS::StackName}-new\"\n",
        1,
    );
    push(&scene, &named);
    let parts = [
        "can't be planned",
        "it would replace Queue",
        "allow.replacement",
    ];
    waiting(&scene, 2, "TargetStalled", &parts);
}
