//! An object that the controller cannot parse is isolated, and all others are delivered.
//!
//! The schema rejects such objects, so the test relaxes it for a moment, as an earlier or later version of
//! the definition might.

use k8s_openapi::{
    api::events::v1::Event,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use sluice::api::v1alpha1::Deployment;
use sluice_lab::lab::wait_for;

use super::{
    Environment, LIMIT, exclusive_lab, run,
    scene::{Scene, assert_contains},
};

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

#[test]
fn malformed_object_does_not_affect_others() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "malformed");
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);

    store_unreadable(&environment, &scene);
    let message = stalled_message(&scene);
    assert_contains(&message, &["spec.source", "can't read", "correct it"]);
    scene.event("Deployment", "Warning", "Malformed", &["spec.source"]);
    scene.push("v2");
    scene.delivered(2);
    scene.serves("dev", "v2");

    // A controller that finds the object at startup isolates it as well.
    {
        let mut controller = environment.lab.controller();
        controller.kill().unwrap();
        controller.start().unwrap();
        controller.wait_ready(LIMIT).unwrap();
    }
    scene.push("v3");
    scene.delivered(3);
    scene.serves("dev", "v3");

    let api = dynamic(&scene);
    let mut good = scene.deployment(&["prod"]);
    good["metadata"]["name"] = json!("broken");
    let patch = json!([{"op": "replace", "path": "/spec", "value": good["spec"]}]);
    let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
    run(api.patch("broken", &PatchParams::default(), &patch)).unwrap();
    scene.delivered_of("broken", 1);
    scene.serves("prod", "v3");
}

fn dynamic(scene: &Scene<'_>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<Deployment>(&());
    Api::namespaced_with(
        scene.environment.client.clone(),
        &scene.team.namespace,
        &resource,
    )
}

/// The message of the object's condition Stalled.
fn stalled_message(scene: &Scene<'_>) -> String {
    let api = dynamic(scene);
    let found = wait_for("the malformed object is Stalled", LIMIT, || {
        let object = run(api.get("broken")).map_err(|e| e.to_string())?;
        let object = serde_json::to_value(&object).map_err(|e| e.to_string())?;
        let stalled = sluice_lab::lab::condition_of(&object, "Stalled").cloned();
        let stalled = stalled.filter(|it| it["reason"] == "Malformed" && it["status"] == "True");
        let events = scene.list::<Event>().len();
        stalled
            .and_then(|it| it["message"].as_str().map(str::to_owned))
            .ok_or_else(|| format!("{} with {events} Events", object["status"]))
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.environment.lab.log_tail(20)))
}

/// Stores a Deployment whose source is a string under a relaxed schema, then restores the schema.
fn store_unreadable(environment: &Environment, scene: &Scene<'_>) {
    let definitions = Api::<CustomResourceDefinition>::all(environment.client.clone());
    let name = "deployments.sluice.dev";
    let definition = serde_json::to_value(run(definitions.get(name)).unwrap()).unwrap();
    let strict = definition.pointer(SPEC).unwrap().clone();
    let put = |schema: &Value| {
        let patch = json!([{"op": "replace", "path": SPEC, "value": schema}]);
        let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
        run(definitions.patch(name, &PatchParams::default(), &patch)).unwrap();
    };
    put(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": "broken", "namespace": scene.team.namespace},
        "spec": {"source": "the main branch"},
    }))
    .unwrap();
    let api = dynamic(scene);
    // The API server applies a new schema a moment after it is written.
    let stored = wait_for("the laxer schema is in force", LIMIT, || {
        run(api.create(&PostParams::default(), &object))
    });
    put(&strict);
    stored.unwrap_or_else(|e| panic!("{e}"));
}
