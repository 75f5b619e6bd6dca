//! Several functions in one Deployment: all of them move, or none.

use serde_json::{Value, json};
use sluice::api::v1alpha1::condition;
use sluice_lab::{
    gitlab::{JobEnd, JobSpec, zip},
    lab::{package, package_answering},
};

use super::{
    run,
    scene::{Scene, lambda, smoke},
};

/// Two components with an artifact each, and a check of the second.
pub fn two(scene: &Scene<'_>) -> Value {
    let mut wanted = scene.deployment(&["dev"]);
    let artifact = |name: &str| json!({"name": name, "job": {"name": "package", "path": format!("dist/{name}.zip")}});
    wanted["spec"]["artifacts"] = json!([artifact("api"), artifact("worker")]);
    let mut worker = lambda(&worker(scene));
    worker["artifact"] = json!("worker");
    wanted["spec"]["components"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "worker", "lambda": worker}));
    let mut check = smoke();
    check["invoke"]["component"] = json!("worker");
    wanted["spec"]["stages"][0]["checks"] = json!([check]);
    wanted
}

/// The name of the second function.
pub fn worker(scene: &Scene<'_>) -> String {
    format!("{}-worker", scene.team.namespace)
}

/// A pipeline that builds both packages.
pub fn push(scene: &Scene<'_>, api: &[u8], worker: &[u8]) {
    let gitlab = &scene.environment.lab.gitlab;
    gitlab.push(scene.team.project, "main", "Change both");
    let archive = zip(&[("dist/api.zip", api), ("dist/worker.zip", worker)]);
    let job = JobSpec::new("package", "package").ends(JobEnd::uploads(archive));
    gitlab.run_pipeline(scene.team.project, "main", vec![job]);
}

#[test]
fn failure_of_one_function_restores_both() {
    let scene = Scene::new("two-functions");
    push(&scene, &package("v1"), &package("v1"));
    scene.apply(&two(&scene));
    scene.delivered(1);
    push(
        &scene,
        &package("v2"),
        &package_answering(&json!({"statusCode": 500})),
    );
    let parts = ["check smoke failed before traffic", "/statusCode is 500"];
    scene.stalled("RolledBack", &parts);
    scene.event("Deployment", "Warning", "RolledBack", &parts);
    scene.condition(condition::AVAILABLE, "True", "Serving");
    for function in [scene.function(), worker(&scene)] {
        scene.answers("dev", &function, Some("live"), "v1");
        scene.answers("dev", &function, None, "v1");
    }
    push(&scene, &package("v3"), &package("v3"));
    scene.delivered(3);
    for function in [scene.function(), worker(&scene)] {
        scene.answers("dev", &function, Some("live"), "v3");
    }
}

#[test]
fn failure_of_one_new_function_deletes_both() {
    let scene = Scene::new("two-new-functions");
    push(
        &scene,
        &package("v1"),
        &package_answering(&json!({"statusCode": 500})),
    );
    scene.apply(&two(&scene));
    scene.stalled("RolledBack", &["no Release serves", "/statusCode is 500"]);
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    for function in [scene.function(), worker(&scene)] {
        let found = run(lambda.get_function().function_name(&function).send());
        let error = found.unwrap_err().into_service_error();
        assert!(
            error.is_resource_not_found_exception(),
            "{function}: {error}"
        );
    }
}

#[test]
fn removed_tag_leaves_the_function_and_external_tags_stay() {
    let scene = Scene::new("tag-removed");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["drift"] = json!({"interval": "1s", "policy": "Report"});
    wanted["spec"]["components"][0]["lambda"]["tags"] = json!({"team": "x"});
    scene.push("v1");
    scene.apply(&wanted);
    scene.delivered(1);
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    let get = || run(lambda.get_function().function_name(scene.function()).send()).unwrap();
    let arn = get().configuration.unwrap().function_arn.unwrap();
    run(lambda
        .tag_resource()
        .resource(arn)
        .tags("cost", "42")
        .send())
    .unwrap();

    let spec = wanted["spec"]["components"][0]["lambda"].as_object_mut();
    spec.unwrap().remove("tags");
    scene.apply(&wanted);
    scene.delivered(2);
    let tags = get().tags.unwrap_or_default();
    assert!(!tags.contains_key("team"), "{tags:?}");
    assert_eq!(tags.get("cost").map(String::as_str), Some("42"));
    let plan = scene.target("dev").status.unwrap().plan.unwrap();
    assert!(plan.summary.contains("tags.team"), "{}", plan.summary);
    scene.poll_gitlab("check");
    scene.condition(condition::DRIFTED, "False", "InSync");
}
