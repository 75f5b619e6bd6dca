//! AWS refuses a call, or does not answer.

use aws_sdk_lambda::types::FunctionConfiguration;
use serde_json::{Value, json};
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    kube::User,
    lab::{condition_of, wait_for},
};

use super::{
    LIMIT, run,
    scene::{Scene, assert_contains},
};

/// Creates an Account like dev's, changed by `edit`. Returns its name.
pub fn copy_dev_account(scene: &Scene<'_>, edit: impl FnOnce(&mut Value)) -> String {
    let lab = &scene.environment.lab;
    let mut account = lab.get_json("account", None, "dev").unwrap();
    let name = scene.team.namespace.clone();
    account["metadata"] = json!({"name": name});
    account.as_object_mut().unwrap().remove("status");
    edit(&mut account["spec"]);
    lab.kube.apply(User::Admin, &account.to_string()).unwrap();
    name
}

/// A Deployment whose only target is in `account`.
pub fn deployment_in_account(scene: &Scene<'_>, account: &str) -> Value {
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["stages"][0]["targets"][0]["account"] = json!(account);
    wanted
}

/// Waits until the Account is not Ready with `reason`.
#[track_caller]
fn not_ready(scene: &Scene<'_>, account: &str, reason: &str, parts: &[&str]) {
    let what = format!("Account {account} is not Ready because of {reason}");
    let message = wait_for(&what, LIMIT, || {
        let object = scene.environment.lab.get_json("account", None, account)?;
        let ready = condition_of(&object, "Ready").cloned().unwrap_or_default();
        if ready["status"] == "False" && ready["reason"] == reason {
            Ok(ready["message"].to_string())
        } else {
            Err(sluice_lab::error::LabError::new(ready.to_string()))
        }
    });
    assert_contains(&message.unwrap_or_else(|e| panic!("{e}")), parts);
}

#[test]
fn account_id_mismatch_blocks_all_calls() {
    let scene = Scene::new("wrong-account");
    let prod = scene.environment.lab.account_id("prod").unwrap();
    let account = copy_dev_account(&scene, |spec| spec["accountId"] = json!(prod));
    let parts = ["222222222222", "333333333333"];
    not_ready(&scene, &account, "WrongAccount", &parts);
    let mark = scene.environment.lab.aws.mark();
    scene.push("v1");
    scene.apply(&deployment_in_account(&scene, &account));
    scene.stalled("TargetStalled", &parts);
    scene.event("Target", "Warning", "WrongAccount", &parts);
    scene.event("Deployment", "Warning", "TargetStalled", &parts);
    let calls = scene.lambda_calls(mark);
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn unassumable_role_is_named_and_recovers() {
    let scene = Scene::new("no-role");
    let missing_role = "arn:aws:iam::222222222222:role/missing";
    let mut role_arn = Value::Null;
    let account = copy_dev_account(&scene, |spec| {
        let role = &mut spec["credentials"]["assumeRole"]["roleArn"];
        role_arn = role.clone();
        *role = json!(missing_role);
    });
    let parts = ["sts:AssumeRole", missing_role];
    not_ready(&scene, &account, "AccessDenied", &parts);
    scene.push("v1");
    scene.apply(&deployment_in_account(&scene, &account));
    scene.stalled("TargetStalled", &parts);
    scene.event("Target", "Warning", "AccessDenied", &parts);
    scene.event("Deployment", "Warning", "TargetStalled", &parts);

    copy_dev_account(&scene, |spec| {
        spec["credentials"]["assumeRole"]["roleArn"] = role_arn;
    });
    scene.delivered(1);
    scene.serves("dev", "v1");
}

#[test]
fn missing_grant_names_whom_to_ask() {
    let scene = Scene::new("no-grant");
    let account = copy_dev_account(&scene, |spec| {
        spec["grants"] =
            json!([{"namespaceSelector": {}, "functions": ["other-*"], "roles": ["*"]}]);
    });
    let mark = scene.environment.lab.aws.mark();
    scene.push("v1");
    scene.apply(&deployment_in_account(&scene, &account));
    let parts = ["no grant", "no-grant-api", "ask the platform team"];
    scene.stalled("PreflightFailed", &parts);
    scene.event("Deployment", "Warning", "PreflightFailed", &parts);
    assert!(scene.lambda_calls(mark).is_empty());
}

#[test]
fn namespace_without_grants_stores_nothing() {
    let scene = Scene::new("no-grant-at-all");
    let grant = |selector: Value| json!([{"namespaceSelector": selector, "functions": ["*"], "roles": ["*"]}]);
    let to_others = grant(json!({"matchLabels": {"team": "another"}}));
    let account = copy_dev_account(&scene, |spec| spec["grants"] = to_others);
    let lab = &scene.environment.lab;
    let mark = lab.aws.mark();
    let gitlab_mark = lab.gitlab.mark();
    scene.push("v1");
    scene.apply(&deployment_in_account(&scene, &account));
    let parts = ["no-grant-at-all", "ask the platform team", "spec.grants"];
    scene.stalled("NotGranted", &parts);
    scene.event("Deployment", "Warning", "NotGranted", &parts);
    assert!(scene.releases().is_empty());
    let project = format!("/projects/{}/jobs/", scene.team.project.0);
    let requests = lab.gitlab.requests_since(gitlab_mark);
    assert!(
        !requests
            .iter()
            .any(|request| request.path.contains(&project))
    );
    let stored = lab.aws.calls_since(mark).of_service("s3").writes();
    let stored = stored.only(|call| call.resource.contains("artifacts/"));
    let ours = stored.only(|call| {
        call.resource
            .contains(&format!("/{}/", scene.team.project.0))
    });
    assert!(ours.is_empty(), "{ours:?}");

    copy_dev_account(&scene, |spec| spec["grants"] = grant(json!({})));
    scene.delivered(1);
    scene.serves("dev", "v1");
}

#[test]
fn missing_account_is_named() {
    let scene = Scene::new("no-account");
    scene.push("v1");
    scene.apply(&deployment_in_account(&scene, "nowhere"));
    let parts = ["nowhere", "ask the platform team"];
    scene.stalled("AccountNotFound", &parts);
    scene.event("Deployment", "Warning", "AccountNotFound", &parts);
    copy_dev_account(&scene, |_| ());
    scene.apply(&deployment_in_account(&scene, "no-account"));
    scene.delivered(1);
    scene.serves("dev", "v1");
}

#[test]
fn unassumable_execution_role_is_rolled_back_at_the_deadline() {
    let scene = Scene::running("no-exec-role");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["progressDeadline"] = json!("10s");
    wanted["spec"]["components"][0]["lambda"]["role"] = json!("not-created");
    scene.apply(&wanted);
    let parts = [
        "no progress for 10s",
        "cannot be assumed by Lambda",
        "lambda.amazonaws.com",
    ];
    scene.stalled("RolledBack", &parts);
    scene.event("Deployment", "Warning", "RolledBack", &parts);
    scene.still_serves("dev", "v1");
}

/// The configurations of all versions of the function, `$LATEST` included.
fn list_versions(scene: &Scene<'_>) -> Vec<FunctionConfiguration> {
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    let listed = run(lambda
        .list_versions_by_function()
        .function_name(scene.function())
        .send());
    listed.unwrap().versions.unwrap_or_default()
}

/// Delivers v1 and v2 while one call fails once. Each version must be published exactly once.
fn survives(namespace: &str, operation: &str, action: &Action) {
    let scene = Scene::new(namespace);
    let rule = |about: &str| {
        Rule::once(
            Pattern::operation("lambda", operation).about(about),
            action.clone(),
        )
    };
    let fault = scene
        .environment
        .lab
        .aws
        .faults()
        .add(rule(&scene.function()));
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    scene.serves("dev", "v1");
    scene.push("v2");
    scene.delivered(2);
    scene.serves("dev", "v2");
    assert_eq!(fault.hits(), 1, "{operation}");
    let versions: Vec<_> = list_versions(&scene)
        .into_iter()
        .filter_map(|it| it.version)
        .collect();
    assert_eq!(versions, ["$LATEST", "1", "2"], "each was published once");
}

#[test]
fn lost_reply_to_create_function_is_observed() {
    survives("lost-create", "CreateFunction", &Action::LoseReply);
}

#[test]
fn lost_reply_to_update_function_code_is_observed() {
    survives("lost-code", "UpdateFunctionCode", &Action::LoseReply);
}

#[test]
fn lost_reply_to_publish_version_is_observed() {
    survives("lost-publish", "PublishVersion", &Action::LoseReply);
}

#[test]
fn lost_reply_to_create_alias_is_observed() {
    survives("lost-alias", "CreateAlias", &Action::LoseReply);
}

#[test]
fn lost_reply_to_update_alias_is_observed() {
    survives("lost-move", "UpdateAlias", &Action::LoseReply);
}

#[test]
fn throttling_and_service_failures_are_retried() {
    survives("throttled", "UpdateFunctionCode", &Action::Throttle);
    let failure = Action::respond(500, "ServiceException", "An error occurred");
    survives("failing", "PublishVersion", &failure);
}
