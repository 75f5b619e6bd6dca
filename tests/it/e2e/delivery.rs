//! Deliveries without failures.

use serde_json::json;
use sluice::api::v1alpha1::condition;

use super::scene::{Scene, assert_contains, smoke};

#[test]
fn deliveries_go_stage_by_stage() {
    let scene = Scene::new("first");
    let pipeline = scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["stages"][0]["checks"] = json!([smoke()]);
    scene.apply(&wanted);
    let deployment = scene.delivered(1);
    scene.serves("dev", "v1");
    scene.serves("prod", "v1");

    let status = deployment.status.unwrap();
    assert_eq!(status.live.as_deref(), Some("dev=r1 prod=r1"));
    assert_eq!(status.summary.as_deref(), Some("r1 serves in every stage"));
    assert_eq!(
        status.source.unwrap().pipeline_id,
        i64::try_from(pipeline.0).unwrap()
    );
    scene.condition(condition::AVAILABLE, "True", "Serving");
    scene.event("Deployment", "Normal", "Released", &["checkout-1"]);
    scene.event("Deployment", "Normal", "Delivered", &["r1 serves"]);
    scene.event("Deployment", "Normal", "Delivered", &["dev: r1 serves"]);
    dev_came_before_prod(&scene, 1);

    scene.push("v2");
    scene.delivered(2);
    scene.serves("dev", "v2");
    scene.serves("prod", "v2");
    dev_came_before_prod(&scene, 2);
    assert_eq!(scene.releases().len(), 2, "both Releases are kept");
}

/// Asserts that prod began only after dev had succeeded.
fn dev_came_before_prod(scene: &Scene<'_>, revision: i64) {
    let run = |account| {
        let run = scene.target(account).status.unwrap().run.unwrap();
        assert_eq!(run.release.revision, revision);
        run
    };
    let (dev, prod) = (run("dev"), run("prod"));
    let dev_ended = dev.finished_at.unwrap().0;
    assert!(
        dev_ended <= prod.started_at.0,
        "prod began {} and dev ended {dev_ended}",
        prod.started_at.0
    );
}

#[test]
fn every_account_runs_the_bytes_that_gitlab_built() {
    let scene = Scene::new("same-bytes");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["stages"][1]["targets"] = json!([
        {"account": "prod", "region": "eu-west-1"},
        {"account": "prod", "region": "us-east-1"},
    ]);
    scene.apply(&wanted);
    scene.delivered(1);
    let release = &scene.releases()[0];
    let digest = release.spec.artifacts[0].sha256.clone();
    for target in scene.list::<sluice::api::v1alpha1::Target>() {
        let components = target.status.unwrap().run.unwrap().components;
        assert_eq!(components[0].code_sha256.as_ref(), Some(&digest));
    }
    let answer = scene
        .environment
        .lab
        .invoke_in("prod", "us-east-1", &scene.function(), Some("live"))
        .unwrap();
    assert_eq!(answer["version"], "v1");
}

#[test]
fn template_edit_creates_a_release_without_gitlab() {
    let scene = Scene::new("template");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["source"]["interval"] = json!("24h");
    wanted["spec"]["components"][0]["lambda"]["environment"] =
        json!({"STAGE": "$(stage.name)", "LOG_LEVEL": "info"});
    wanted["spec"]["stages"][1]["overrides"] = json!([{
        "component": "api",
        "lambda": {"memorySize": 256, "timeout": 7, "environment": {"LOG_LEVEL": "error"}},
    }]);
    scene.apply(&wanted);
    scene.delivered(1);
    configured(&scene, "dev", 128, 3, "info");
    configured(&scene, "prod", 256, 7, "error");

    // GitLab is unreachable: a Release does not need it any more.
    let project = format!("/projects/{}/", scene.team.project.0);
    let fault = sluice_lab::gitlab::FaultRule::on(&project, sluice_lab::gitlab::FaultAction::Drop);
    let _away = scene.environment.lab.gitlab.faults().add(fault);
    wanted["spec"]["components"][0]["lambda"]["memorySize"] = json!(512);
    scene.apply(&wanted);
    scene.delivered(2);
    configured(&scene, "dev", 512, 3, "info");
    configured(&scene, "prod", 256, 7, "error");
    let releases = scene.releases();
    assert_eq!(
        releases[0].spec.artifacts[0].sha256,
        releases[1].spec.artifacts[0].sha256
    );
    assert_eq!(
        releases[0].spec.source.pipeline_id,
        releases[1].spec.source.pipeline_id
    );
}

/// Asserts the configuration of the live version.
fn configured(scene: &Scene<'_>, account: &str, memory: i32, timeout: i32, log_level: &str) {
    let lambda = scene.environment.lab.lambda(account, "eu-west-1").unwrap();
    let call = lambda
        .get_function_configuration()
        .function_name(scene.function())
        .qualifier("live")
        .send();
    let found = super::run(call).unwrap();
    assert_eq!(found.memory_size, Some(memory), "{account}");
    assert_eq!(found.timeout, Some(timeout), "{account}");
    let variables = found.environment.unwrap().variables.unwrap();
    assert_eq!(variables["LOG_LEVEL"], log_level, "{account}");
    assert_eq!(variables["STAGE"], account);
}

#[test]
fn environment_values_are_never_shown() {
    let scene = Scene::new("secretive");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["components"][0]["lambda"]["environment"] = json!({"KEY": "value-of-the-key"});
    wanted["spec"]["stages"][0]["checks"] = json!([smoke()]);
    scene.apply(&wanted);
    let mut deployment = scene.delivered(1);
    deployment.spec.components.clear();
    let target = serde_json::to_string(&scene.target("dev")).unwrap();
    let status = serde_json::to_string(&deployment.status).unwrap();
    let events =
        serde_json::to_string(&scene.list::<k8s_openapi::api::events::v1::Event>()).unwrap();
    let log = scene.environment.lab.controller().logs();
    for (source, text) in [
        ("the Target", &target),
        ("the status", &status),
        ("Events", &events),
        ("the log", &log),
    ] {
        assert!(!text.contains("value-of-the-key"), "{source}: {text}");
        assert!(!text.contains(&scene.team.token), "{source}: {text}");
    }
}

#[test]
fn suspended_deployment_starts_nothing_until_resumed() {
    let scene = Scene::running("suspended");
    scene.merge(&json!({"spec": {"suspend": true}}));
    let message = scene.condition(condition::READY, "True", "Suspended");
    assert_contains(&message, &["spec.suspend"]);
    let mark = scene.environment.lab.aws.mark();
    scene.push("v2");
    // The handled command shows that Sluice polled GitLab after the pipeline existed.
    scene.poll_gitlab("look");
    assert_eq!(scene.releases().len(), 1);
    assert!(scene.lambda_calls(mark).writes().is_empty());
    scene.serves("dev", "v1");

    scene.merge(&json!({"spec": {"suspend": false}}));
    scene.delivered(2);
    scene.serves("dev", "v2");
}

#[test]
fn reconcile_annotation_polls_gitlab_at_once() {
    let scene = Scene::new("reconcile");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["source"]["interval"] = json!("24h");
    scene.apply(&wanted);
    scene.delivered(1);
    scene.push("v2");
    scene.poll_gitlab("now");
    scene.delivered(2);
    scene.serves("dev", "v2");
}
