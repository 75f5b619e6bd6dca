//! Deletions in AWS for which an Account requires approval.

use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{DeletionPolicy, Deployment, Goal, Target, condition};
use sluice_lab::{aws::Settle, lab::wait_for};

use super::{
    LIMIT,
    account_requirements::{strict, to},
    gates::{allow_approvals, approval, by_approvers, counted, create, waiting},
    run,
    scene::{NAME, Scene, assert_contains, gone, lambda},
};

/// The name of the second function.
fn extra(scene: &Scene<'_>) -> String {
    format!("{}-extra", scene.team.namespace)
}

/// The Deployment with a second function.
fn with_extra(scene: &Scene<'_>, mut wanted: Value) -> Value {
    let component = json!({"name": "extra", "lambda": lambda(&extra(scene))});
    wanted["spec"]["components"]
        .as_array_mut()
        .unwrap()
        .push(component);
    wanted
}

fn is_there(scene: &Scene<'_>, function: &str) -> bool {
    let lambda = scene.environment.lab.lambda("prod", "eu-west-1").unwrap();
    run(lambda.get_function().function_name(function).send()).is_ok()
}

#[test]
fn deletion_waits_for_the_accounts_approval() {
    let scene = Scene::new("asks-deletion");
    allow_approvals(&scene);
    let account = strict(&scene, &json!({"deletion": by_approvers()}));
    scene.push("v1");
    let mut wanted = to(&scene, &account, None);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&with_extra(&scene, wanted.clone()));
    // A Release that deletes nothing needs no approval.
    scene.delivered(1);

    // The plan shows the deletion of the removed component, and the approval of the plan covers it.
    scene.apply(&wanted);
    let asker = format!("Account {account}, for the deletion");
    let waits = waiting(
        &scene,
        2,
        "WaitingForApproval",
        &["0 of 1 approvals", &asker],
    );
    let plan = scene.target(&account).status.unwrap_or_default().plan;
    let changes = plan.expect("a plan").changes;
    assert!(
        changes
            .iter()
            .any(|it| it.action == "Delete" && it.resource == extra(&scene))
    );
    assert!(is_there(&scene, &extra(&scene)));
    create(&scene, &approval(&waits, "Approve"));
    scene.delivered(2);
    let left = wait_for("the removed function is deleted", LIMIT, || {
        let there = is_there(&scene, &extra(&scene));
        if there {
            Err("it still exists".to_owned())
        } else {
            Ok(())
        }
    });
    left.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));

    // The deletion of the Deployment needs approval, too, for each Target in the Account.
    run(scene
        .api::<Deployment>()
        .delete(NAME, &DeleteParams::default()))
    .unwrap();
    let parts = [
        "deleting asks-deletion-api",
        asker.as_str(),
        "kubectl auth whoami",
    ];
    let message = scene.stalled("DeletionStalled", &parts);
    assert_contains(&message, &["0 of 1 approvals"]);
    scene.serves("prod", "v1");
    let deletion = scene.target(&account).status.unwrap_or_default().deletion;
    let deletion = deletion.expect("a deletion that waits");
    let mut yes: Value = serde_json::from_str(&approval(&waits, "Approve")).unwrap();
    yes["spec"]["releaseRef"] = json!({"name": deletion.release.name, "uid": deletion.release.uid});
    yes["spec"]["stageDigest"] = json!(deletion.digest);
    let name = create(&scene, &yes.to_string());
    gone(&scene.api::<Deployment>(), NAME);
    assert!(!is_there(&scene, &scene.function()));
    counted(&scene, &name, "True", "Used");
}

#[test]
fn abandoned_deletion_changes_nothing_in_aws() {
    let scene = Scene::new("abandon-gated");
    let account = strict(&scene, &json!({"deletion": by_approvers()}));
    scene.push("v1");
    let mut wanted = to(&scene, &account, None);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);
    // Deleting the Target itself does not bypass the approval.
    let targets = scene.api::<Target>();
    let name = scene.target(&account).metadata.name.unwrap_or_default();
    run(targets.delete(&name, &DeleteParams::default())).unwrap();
    run(scene
        .api::<Deployment>()
        .delete(NAME, &DeleteParams::default()))
    .unwrap();
    scene.stalled("DeletionStalled", &["deleting abandon-gated-api"]);
    scene.annotate("sluice.dev/abandon", "true");
    gone(&scene.api::<Deployment>(), NAME);
    scene.serves("prod", "v1");
}

#[test]
fn approved_plan_that_keeps_a_function_never_deletes_it() {
    let scene = Scene::new("keep-approved");
    allow_approvals(&scene);
    let lab = &scene.environment.lab;
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    scene.apply(&with_extra(&scene, wanted.clone()));
    scene.delivered(1);
    wanted["spec"]["stages"][1]["gate"] = by_approvers();
    scene.apply(&wanted);
    waiting(&scene, 2, "WaitingForApproval", &[]);
    scene.push("v2");
    let waits = waiting(&scene, 3, "WaitingForApproval", &[]);
    let plan = scene.target("prod").status.unwrap_or_default().plan;
    let changes = plan.expect("a plan").changes;
    assert!(
        changes
            .iter()
            .any(|it| it.action == "Keep" && it.resource == extra(&scene))
    );
    let slowly = Settle {
        update: Duration::from_mins(10),
        ..Settle::default()
    };
    lab.aws.set_settle_of(&scene.function(), slowly);
    let mark = lab.aws.mark();
    create(&scene, &approval(&waits, "Approve"));
    let begun = wait_for("the code update has begun", LIMIT, || {
        scene
            .lambda_calls(mark)
            .named("lambda", "UpdateFunctionCode")
            .next()
            .map(drop)
    });
    begun.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
    // The policy changes while the stage is rolling out.
    scene.merge(&json!({"spec": {"deletionPolicy": "Delete"}}));
    let found = wait_for("the Target knows the new policy", LIMIT, || {
        let target = scene.target("prod");
        let goal = target.spec.run.as_ref().map(|run| run.goal);
        match (target.spec.deletion_policy, goal) {
            (DeletionPolicy::Delete, Some(Goal::Deliver)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
    lab.aws.set_settle_of(&scene.function(), Settle::default());
    lab.aws.settle_now(&scene.function());
    scene.delivered(3);
    let pruned = wait_for("the Target releases the orphaned function", LIMIT, || {
        let inventory = scene.target("prod").status.unwrap_or_default().inventory;
        if inventory.iter().any(|item| item.name == extra(&scene)) {
            Err(format!("{inventory:?}"))
        } else {
            Ok(())
        }
    });
    pruned.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
    assert!(
        is_there(&scene, &extra(&scene)),
        "the approved plan keeps it"
    );
    scene.condition(condition::READY, "True", "Delivered");
}
