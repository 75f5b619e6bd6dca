//! Preflight reports problems of later stages before the first one starts.

use serde_json::{Value, json};
use sluice::api::v1alpha1::Target;
use sluice_lab::gitlab::{JobEnd, JobSpec, zip};

use super::{
    aws::copy_dev_account,
    gates::{by_approvers, gated, waiting},
    scene::{NAME, Scene},
};

/// Dev, then `production` in the Account prod.
fn two_stages(scene: &Scene<'_>) -> Value {
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["stages"][1]["name"] = json!("production");
    wanted
}

/// Asserts that no Target exists and AWS got no call.
#[track_caller]
fn untouched(scene: &Scene<'_>, mark: usize) {
    let targets = scene.list::<Target>();
    assert!(targets.is_empty(), "{targets:?}");
    let calls = scene.lambda_calls(mark);
    assert!(calls.is_empty(), "{calls:?}");
    let outcomes = scene.releases()[0]
        .status
        .clone()
        .unwrap_or_default()
        .stages;
    assert!(outcomes.is_empty(), "{outcomes:?}");
}

#[test]
fn invalid_later_stage_fails_preflight_before_dev_changes() {
    let scene = Scene::new("later-wrong");
    let mark = scene.environment.lab.aws.mark();
    let named = |padding: usize| format!("later-wrong-{}-$(stage.name)", "a".repeat(padding));
    let mut wanted = two_stages(&scene);
    let name = &mut wanted["spec"]["components"][0]["lambda"]["functionName"];
    // 59 characters in dev, 66 in production.
    *name = json!(named(43));
    scene.push("v1");
    scene.apply(&wanted);
    let parts = [
        "production: spec.components[api].lambda.functionName",
        "this has 66 characters",
    ];
    scene.stalled("PreflightFailed", &parts);
    scene.event("Deployment", "Warning", "PreflightFailed", &parts);
    untouched(&scene, mark);

    wanted["spec"]["components"][0]["lambda"]["functionName"] = json!(named(41));
    scene.apply(&wanted);
    scene.delivered(2);
    let name = named(41).replace("$(stage.name)", "production");
    scene.answers("prod", &name, Some("live"), "v1");
}

#[test]
fn preflight_reports_all_aws_limits_after_substitution() {
    let scene = Scene::new("aws-limits");
    let mark = scene.environment.lab.aws.mark();
    let mut wanted = two_stages(&scene);
    let lambda = &mut wanted["spec"]["components"][0]["lambda"];
    lambda["description"] = json!(format!("{} $(source.commit)", "d".repeat(230)));
    lambda["tags"] = json!({"Owner": "a,b;c*#"});
    lambda["environment"] = json!({"BIG": "x".repeat(4095)});
    scene.push("v1");
    scene.apply(&wanted);
    scene.stalled(
        "PreflightFailed",
        &[
            "dev: spec.components[api].lambda.environment: the variables have",
            "dev: spec.components[api].lambda.tags: \"Owner\": ',' is not allowed",
            "dev: spec.components[api].lambda.description: it has 271 characters",
            "production: spec.components[api].lambda.environment",
            "and 1 more problem",
        ],
    );
    untouched(&scene, mark);
}

#[test]
fn two_accounts_with_one_id_must_not_share_a_function() {
    let scene = Scene::new("one-function");
    let mark = scene.environment.lab.aws.mark();
    // Another Account with the same account id.
    let account = copy_dev_account(&scene, |_| ());
    let mut wanted = two_stages(&scene);
    wanted["spec"]["stages"][1]["targets"][0]["account"] = json!(account);
    scene.push("v1");
    scene.apply(&wanted);
    scene.stalled(
        "PreflightFailed",
        &[
            "production: spec.components[api].lambda.functionName",
            "function one-function-api is also that of component api in stage dev",
            "make the names differ",
        ],
    );
    untouched(&scene, mark);
}

#[test]
fn missing_grant_of_a_later_stage_holds_the_release() {
    let scene = Scene::new("later-grant");
    let mark = scene.environment.lab.aws.mark();
    let grants = |functions: &'static str| {
        let prod = scene
            .environment
            .lab
            .get_json("account", None, "prod")
            .unwrap();
        copy_dev_account(&scene, |spec| {
            *spec = prod["spec"].clone();
            spec["grants"] =
                json!([{"namespaceSelector": {}, "functions": [functions], "roles": ["*"]}]);
        })
    };
    let account = grants("other-*");
    let mut wanted = two_stages(&scene);
    wanted["spec"]["stages"][1]["targets"][0]["account"] = json!(account);
    scene.push("v1");
    scene.apply(&wanted);
    let parts = ["production: ", "no grant", "ask the platform team"];
    scene.stalled("PreflightFailed", &parts);
    untouched(&scene, mark);

    grants("*");
    scene.delivered(1);
    scene.serves("dev", "v1");
    scene.serves("prod", "v1");
    assert_eq!(scene.releases().len(), 1, "{NAME} needed no new Release");
}

#[test]
fn archive_with_backslashes_is_refused_with_the_reason() {
    let scene = Scene::new("backslashes");
    let lab = &scene.environment.lab;
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["artifacts"] = json!([{"name": "site", "job": {"name": "build-site"}}]);
    wanted["spec"]["components"] = json!([{"name": "site", "s3": {
        "bucket": lab.site_bucket("dev").unwrap(),
        "prefix": scene.team.namespace,
        "artifact": "site",
        "path": "public/",
    }}]);
    let archive = zip(&[("public\\index.html", b"x")]);
    let job = JobSpec::new("build-site", "package").ends(JobEnd::uploads(archive));
    lab.gitlab.push(scene.team.project, "main", "Change");
    lab.gitlab
        .run_pipeline(scene.team.project, "main", vec![job]);
    scene.apply(&wanted);
    scene.stalled(
        "InvalidArtifact",
        &[
            "spec.components[site].s3.artifact",
            "artifact site of component site (job build-site)",
            "has backslashes in its name",
        ],
    );
}

#[test]
fn missing_alarm_is_reported_before_the_approval() {
    let scene = Scene::new("no-alarm");
    let mut wanted = gated(&scene, &by_approvers());
    wanted["spec"]["stages"][1]["checks"] =
        json!([{"name": "errors", "alarms": {"names": ["no-alarm-$(stage.name)"]}}]);
    scene.push("v1");
    scene.apply(&wanted);
    let parts = [
        "can't be planned",
        "spec.stages[prod].checks[errors].alarms",
        "there is no alarm no-alarm-prod",
    ];
    waiting(&scene, 1, "TargetStalled", &parts);

    wanted["spec"]["stages"][1]
        .as_object_mut()
        .unwrap()
        .remove("checks");
    scene.apply(&wanted);
    waiting(&scene, 2, "WaitingForApproval", &["0 of 1 approvals"]);
}
