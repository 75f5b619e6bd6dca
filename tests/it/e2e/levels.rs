//! Functions that depend on each other, and functions and targets that are removed from the spec.

use std::collections::HashMap;

use serde_json::{Value, json};
use sluice::api::v1alpha1::Target;
use sluice_lab::{
    gitlab::{JobEnd, JobSpec, zip},
    lab::{package, package_answering, wait_for},
};

use super::{
    LIMIT,
    aws_state::{is_gone, routed},
    functions::{push, two, worker},
    scene::{Scene, gone, lambda},
};

const NAMES: [&str; 3] = ["api", "worker", "front"];

fn function(scene: &Scene<'_>, name: &str) -> String {
    format!("{}-{name}", scene.team.namespace)
}

/// Two functions, and a third that depends on both and is checked.
fn three(scene: &Scene<'_>) -> Value {
    let mut wanted = scene.deployment(&["dev"]);
    let artifact = |name: &&str| json!({"name": name, "job": {"name": "package", "path": format!("dist/{name}.zip")}});
    let component = |name: &&str| {
        let mut lambda = lambda(&function(scene, name));
        lambda["artifact"] = json!(name);
        json!({"name": name, "lambda": lambda})
    };
    wanted["spec"]["artifacts"] = NAMES.iter().map(artifact).collect();
    wanted["spec"]["components"] = NAMES.iter().map(component).collect();
    wanted["spec"]["components"][2]["dependsOn"] = json!(["api", "worker"]);
    wanted["spec"]["stages"][0]["checks"] = json!([{
        "name": "smoke",
        "invoke": {"component": "front", "expect": {"path": "/statusCode", "equals": 200}},
    }]);
    wanted
}

/// A pipeline with one package for the lower two functions, and another for `front`.
fn push_three(scene: &Scene<'_>, lower: &[u8], front: &[u8]) {
    let gitlab = &scene.environment.lab.gitlab;
    gitlab.push(scene.team.project, "main", "Change all three");
    let archive = zip(&[
        ("dist/api.zip", lower),
        ("dist/worker.zip", lower),
        ("dist/front.zip", front),
    ]);
    let job = JobSpec::new("package", "package").ends(JobEnd::uploads(archive));
    gitlab.run_pipeline(scene.team.project, "main", vec![job]);
}

#[test]
fn failure_of_the_upper_level_restores_the_lower_one() {
    let scene = Scene::new("levels");
    push_three(&scene, &package("v1"), &package("v1"));
    scene.apply(&three(&scene));
    scene.delivered(1);

    let mark = scene.environment.lab.aws.mark();
    let bad = package_answering(&json!({"statusCode": 500, "version": "v2"}));
    push_three(&scene, &package("v2"), &bad);
    scene.stalled("RolledBack", &["check smoke failed", "/statusCode is 500"]);
    for name in NAMES {
        scene.answers("dev", &function(&scene, name), Some("live"), "v1");
        scene.answers("dev", &function(&scene, name), None, "v1");
        assert_eq!(routed(&scene, "dev", &function(&scene, name)), "1");
    }
    // The lower level served before the upper one changed, and was restored.
    let calls = scene.lambda_calls(mark).writes();
    let of = |name: &str, operation: &'static str| {
        let function = function(&scene, name);
        let calls =
            calls.only(|call| call.operation == operation && call.resource.contains(&function));
        calls.iter().map(|call| call.at).collect::<Vec<_>>()
    };
    let touched = of("front", "UpdateFunctionCode")[0];
    for name in ["api", "worker"] {
        let moves = of(name, "UpdateAlias");
        assert_eq!(moves.len(), 2, "moved and restored");
        assert!(
            moves[0] < touched && touched < moves[1],
            "{moves:?} {touched}"
        );
    }
    assert!(of("front", "UpdateAlias").is_empty());

    push_three(&scene, &package("v3"), &package("v3"));
    scene.delivered(3);
    for name in NAMES {
        scene.answers("dev", &function(&scene, name), Some("live"), "v3");
    }
}

/// Waits until the function does not exist.
#[track_caller]
fn wait_gone(scene: &Scene<'_>, account: &str, function: &str) {
    let what = format!("{function} in {account} is gone");
    let seen = wait_for(&what, LIMIT, || {
        is_gone(scene, account, function).then_some(())
    });
    seen.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// The environment of a function's live version.
fn environment(scene: &Scene<'_>, function: &str) -> HashMap<String, String> {
    let client = scene.environment.lab.lambda("dev", "eu-west-1");
    let client = client.expect("a client");
    let reading = client
        .get_function_configuration()
        .function_name(function)
        .qualifier("live")
        .send();
    let found = super::run(reading).expect("the function").environment;
    found.and_then(|it| it.variables).unwrap_or_default()
}

#[test]
fn outputs_of_a_function_reach_its_dependents() {
    let scene = Scene::new("outputs");
    let mut wanted = three(&scene);
    wanted["spec"]["components"][2]["lambda"]["environment"] = json!({
        "API": "$(components.api.outputs.version)",
        "WORKER": "$(components.worker.outputs.aliasArn)",
    });
    push_three(&scene, &package("v1"), &package("v1"));
    scene.apply(&wanted);
    scene.delivered(1);
    let front = function(&scene, "front");
    let seen = environment(&scene, &front);
    assert_eq!(seen.get("API").map(String::as_str), Some("1"));
    let worker = seen.get("WORKER").cloned().unwrap_or_default();
    let end = format!(":function:{}:live", function(&scene, "worker"));
    assert!(worker.starts_with("arn:aws:lambda:eu-west-1:"), "{worker}");
    assert!(worker.ends_with(&end), "{worker}");

    // The code of `front` stays as it is: it changes because `api` does.
    push_three(&scene, &package("v2"), &package("v1"));
    scene.delivered(2);
    let seen = environment(&scene, &front);
    assert_eq!(seen.get("API").map(String::as_str), Some("2"));
}

#[test]
fn removed_function_is_deleted_once_the_release_serves() {
    let scene = Scene::new("dropped");
    push(&scene, &package("v1"), &package("v1"));
    let mut wanted = two(&scene);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);

    let mut without = wanted.clone();
    without["spec"]["components"].as_array_mut().unwrap().pop();
    without["spec"]["artifacts"].as_array_mut().unwrap().pop();
    let check = |status: i32| {
        json!([{
            "name": "smoke",
            "invoke": {"component": "api", "expect": {"path": "/statusCode", "equals": status}},
        }])
    };
    without["spec"]["components"][0]["lambda"]["description"] = json!("Without the worker");
    without["spec"]["stages"][0]["checks"] = check(418);
    scene.apply(&without);
    scene.stalled("RolledBack", &["r2 was rolled back, r1 serves", "418"]);
    scene.answers("dev", &worker(&scene), Some("live"), "v1");

    without["spec"]["stages"][0]["checks"] = check(200);
    scene.apply(&without);
    scene.delivered(3);
    wait_gone(&scene, "dev", &worker(&scene));
    scene.serves("dev", "v1");
    let left = wait_for("the Target has one function left", LIMIT, || {
        let inventory = scene.target("dev").status.unwrap().inventory;
        let names: Vec<_> = inventory.into_iter().map(|item| item.component).collect();
        if names == ["api"] {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
    left.unwrap();
}

#[test]
fn removed_function_stays_with_policy_retain() {
    let scene = Scene::new("dropped-kept");
    push(&scene, &package("v1"), &package("v1"));
    let mut wanted = two(&scene);
    scene.apply(&wanted);
    scene.delivered(1);
    wanted["spec"]["components"].as_array_mut().unwrap().pop();
    wanted["spec"]["artifacts"].as_array_mut().unwrap().pop();
    wanted["spec"]["stages"][0]["checks"] = json!([]);
    scene.apply(&wanted);
    scene.delivered(2);
    let left = wait_for("the Target no longer owns it", LIMIT, || {
        let inventory = scene.target("dev").status.unwrap().inventory;
        (inventory.len() == 1).then_some(())
    });
    left.unwrap();
    scene.answers("dev", &worker(&scene), Some("live"), "v1");
}

#[test]
fn removed_target_is_deleted_with_its_resources() {
    let scene = Scene::new("dropped-target");
    scene.push("v1");
    let mut wanted = scene.deployment(&["all"]);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    wanted["spec"]["stages"][0]["targets"] = json!([
        {"account": "dev", "region": "eu-west-1"},
        {"account": "prod", "region": "eu-west-1"},
    ]);
    scene.apply(&wanted);
    scene.delivered(1);
    let prod = scene.target("prod").metadata.name.unwrap();
    wanted["spec"]["stages"][0]["targets"]
        .as_array_mut()
        .unwrap()
        .pop();
    scene.apply(&wanted);
    scene.delivered(2);
    gone(&scene.api::<Target>(), &prod);
    assert!(is_gone(&scene, "prod", &scene.function()));
    scene.serves("dev", "v1");
}
