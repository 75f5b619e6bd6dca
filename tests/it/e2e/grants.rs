//! The withdrawal of a grant takes effect at once, for rollbacks and removals, too.

use std::time::Duration;

use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Account, Deployment, Target};
use sluice_lab::{aws::Settle, lab::wait_for};

use super::{
    LIMIT,
    aws::{copy_dev_account, deployment_in_account},
    run,
    scene::{NAME, Scene, assert_contains, gone},
};

/// Replaces the grants of the Account.
fn grant(scene: &Scene<'_>, account: &str, grants: &Value) {
    let accounts: Api<Account> = Api::all(scene.environment.client.clone());
    let replaced = wait_for("the Account is changed", LIMIT, || {
        let mut found = run(accounts.get(account)).map_err(|e| e.to_string())?;
        found.spec.grants = serde_json::from_value(grants.clone()).unwrap();
        run(accounts.replace(account, &PostParams::default(), &found)).map_err(|e| e.to_string())
    });
    replaced.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// A grant for the team's namespace of functions that match `pattern`.
fn functions(scene: &Scene<'_>, pattern: &str) -> Value {
    let labels = json!({"kubernetes.io/metadata.name": scene.team.namespace});
    json!([{
        "namespaceSelector": {"matchLabels": labels}, "functions": [pattern], "roles": ["*"],
    }])
}

/// A team with v1 in an Account of its own that grants its function.
fn running(namespace: &str) -> (Scene<'static>, String) {
    let scene = Scene::new(namespace);
    let account = copy_dev_account(&scene, |spec| {
        spec["grants"] = functions(&scene, &format!("{namespace}-*"));
    });
    scene.push("v1");
    let mut wanted = deployment_in_account(&scene, &account);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);
    (scene, account)
}

/// Waits until the Target is Stalled with `NotGranted`.
#[track_caller]
fn not_granted(scene: &Scene<'_>, parts: &[&str]) {
    let stalled = wait_for("the Target is Stalled with NotGranted", LIMIT, || {
        let targets = scene.list::<Target>();
        let conditions = targets
            .iter()
            .filter_map(|target| target.status.as_ref())
            .flat_map(|status| &status.conditions);
        let all: Vec<_> = conditions
            .map(|one| (one.type_.clone(), one.reason.clone(), one.message.clone()))
            .collect();
        let found = all
            .iter()
            .find(|(kind, reason, _)| kind == "Stalled" && reason == "NotGranted");
        found
            .map(|(_, _, message)| message.clone())
            .ok_or_else(|| format!("{all:?}"))
    });
    assert_contains(
        &stalled.unwrap_or_else(|e| panic!("{e}\n{}", scene.log())),
        parts,
    );
}

#[test]
fn rollback_stalls_without_a_grant_and_continues_with_one() {
    let (scene, account) = running("grant-back");
    let aws = &scene.environment.lab.aws;
    let slowly = Settle {
        update: Duration::from_mins(10),
        ..Settle::default()
    };
    aws.set_settle_of(&scene.function(), slowly);
    let mark = aws.mark();
    scene.push("v2");
    let begun = wait_for("the code update has begun", LIMIT, || {
        let calls = scene.lambda_calls(mark);
        calls.named("lambda", "UpdateFunctionCode").next().map(drop)
    });
    begun.unwrap();
    grant(&scene, &account, &functions(&scene, "other-*"));
    let parts = ["no grant", &scene.function(), "r2 stays as it is"];
    not_granted(&scene, &parts);
    scene.stalled("TargetStalled", &parts);
    aws.set_settle_of(&scene.function(), Settle::default());
    aws.settle_now(&scene.function());
    // Sluice sends no calls, however often it reconciles.
    let mark = aws.mark();
    scene.poll_gitlab("once more");
    assert!(scene.lambda_calls(mark).is_empty());
    scene.serves("dev", "v1");

    grant(&scene, &account, &functions(&scene, "grant-back-*"));
    scene.stalled("RolledBack", &["no grant"]);
    scene.serves("dev", "v1");
    scene.serves_unqualified("dev", "v1");
}

#[test]
fn removal_stalls_without_a_grant_and_can_be_abandoned() {
    let (scene, account) = running("grant-removal");
    grant(&scene, &account, &functions(&scene, "other-*"));
    let mark = scene.environment.lab.aws.mark();
    let deployments = scene.api::<Deployment>();
    run(deployments.delete(NAME, &DeleteParams::default())).unwrap();
    let parts = ["no grant", &scene.function(), "sluice.dev/abandon"];
    scene.stalled("DeletionStalled", &parts);
    not_granted(&scene, &parts);
    assert!(scene.lambda_calls(mark).is_empty());
    scene.annotate("sluice.dev/abandon", "true");
    gone(&deployments, NAME);
    scene.serves("dev", "v1");
}

#[test]
fn sessions_in_aws_name_the_namespace_and_the_deployment() {
    let scene = Scene::running("named-session");
    let calls = scene.environment.lab.aws.calls_since(0);
    let named = calls
        .named("sts", "AssumeRole")
        .filter(|call| call.qualifier.as_deref() == Some("sluice.named-session.checkout"))
        .count();
    assert!(named >= 1, "no session has the tenant's name");
}
