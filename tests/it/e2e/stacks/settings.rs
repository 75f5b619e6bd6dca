//! Parameters: per stage, substituted, kept, secret, and from other components.

use serde_json::json;
use sluice::api::v1alpha1::condition;
use sluice_lab::{aws::Calls, lab::package};

use super::{
    emulator::{queue_delay, setting},
    fixture::{
        TEMPLATE, both, breaking, calls, check_drift, deployment, executed, nothing_written,
        outputs, parameters, push, push_both, spec, state, tags,
    },
};
use crate::e2e::{run, scene::Scene};

#[test]
fn parameters_and_tags_differ_between_stages() {
    let scene = Scene::new("stk-stages");
    let mut wanted = deployment(&scene, &["dev", "prod"]);
    spec(&mut wanted)["parameters"] = json!({"Text": "$(stage.name)-$(release.revision)"});
    spec(&mut wanted)["tags"] = json!({"tier": "none", "team": "shop"});
    wanted["spec"]["stages"][1]["overrides"] = json!([{
        "component": "infra",
        "cloudFormation": {"parameters": {"Delay": "9"}, "tags": {"tier": "gold"}},
    }]);
    push(&scene, TEMPLATE);
    scene.apply(&wanted);
    scene.delivered(1);
    for (account, delay, text, tier) in [
        ("dev", "5", "dev-1", "none"),
        ("prod", "9", "prod-1", "gold"),
    ] {
        let found = parameters(&scene, account);
        assert_eq!(found["Delay"], delay, "{account}");
        assert_eq!(found["Text"], text, "{account}");
        assert_eq!(queue_delay(&scene, account).as_deref(), Some(delay));
        assert_eq!(setting(&scene, account).as_deref(), Some(text));
        let tags = tags(&scene, account);
        assert_eq!(tags["tier"], tier, "{account}");
        assert_eq!(tags["team"], "shop", "{account}");
    }
}

#[test]
fn parameter_gets_the_output_of_a_function_that_serves() {
    let scene = Scene::new("stk-levels");
    let mut wanted = both(&scene);
    wanted["spec"]["components"][1]["dependsOn"] = json!(["api"]);
    wanted["spec"]["components"][1]["cloudFormation"]["parameters"] =
        json!({"Text": "$(components.api.outputs.version)"});
    push_both(&scene, &package("v1"), TEMPLATE);
    scene.apply(&wanted);
    scene.delivered(1);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("1"));

    // The template stays: the stack changes because the function does, and after it.
    let mark = scene.environment.lab.aws.mark();
    push_both(&scene, &package("v2"), TEMPLATE);
    scene.delivered(2);
    scene.serves("dev", "v2");
    assert_eq!(setting(&scene, "dev").as_deref(), Some("2"));
    let at = |calls: Calls, operation: &str| {
        let mut found = calls.iter().filter(|call| call.operation == operation);
        found.next().map(|call| call.at)
    };
    let moved = at(scene.lambda_calls(mark), "UpdateAlias");
    let changed = at(calls(&scene, mark), "ExecuteChangeSet");
    assert!(moved < changed, "{moved:?} {changed:?}");
    assert!(moved.is_some());
    let plan = scene.target("dev").status.unwrap().plan.unwrap();
    let text = "will update stack lab-stk-levels once outputs of other components are known";
    assert!(plan.summary.contains(text), "{}", plan.summary);
}

#[test]
fn stack_of_a_higher_level_is_in_sync_after_its_template_has_changed() {
    let scene = Scene::new("stk-upper");
    let mut wanted = both(&scene);
    wanted["spec"]["components"][1]["dependsOn"] = json!(["api"]);
    wanted["spec"]["components"][1]["cloudFormation"]["parameters"] =
        json!({"Text": "$(components.api.outputs.version)"});
    push_both(&scene, &package("v1"), TEMPLATE);
    scene.apply(&wanted);
    scene.delivered(1);
    let second = TEMPLATE.replace("Default: 5", "Default: 9");
    push_both(&scene, &package("v2"), &second);
    scene.delivered(2);
    check_drift(&scene, "after both have changed");
    scene.condition(condition::DRIFTED, "False", "InSync");

    // Nothing differs from what that run left.
    let mark = scene.environment.lab.aws.mark();
    push_both(&scene, &package("v2"), &second);
    scene.delivered(3);
    nothing_written(&scene, mark);
}

#[test]
fn failed_stack_of_a_higher_level_restores_the_function() {
    let scene = Scene::new("stk-upper-fails");
    let mut wanted = both(&scene);
    wanted["spec"]["components"][1]["dependsOn"] = json!(["api"]);
    push_both(&scene, &package("v1"), TEMPLATE);
    scene.apply(&wanted);
    scene.delivered(1);
    let before = state(&scene);
    push_both(
        &scene,
        &package("v2"),
        &breaking("Create").replace("hello", "bye"),
    );
    scene.stalled("RolledBack", &["the quota is exhausted"]);
    scene.still_serves("dev", "v1");
    assert_eq!(state(&scene), before);
}

#[test]
fn function_gets_the_name_of_a_stack() {
    let scene = Scene::new("stk-below");
    let mut wanted = both(&scene);
    wanted["spec"]["components"][0]["dependsOn"] = json!(["infra"]);
    wanted["spec"]["components"][0]["lambda"]["description"] =
        json!("$(components.infra.outputs.stackName)");
    push_both(&scene, &package("v1"), TEMPLATE);
    scene.apply(&wanted);
    scene.delivered(1);
    let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
    let get = lambda.get_function().function_name(scene.function());
    let found = run(get.send()).unwrap().configuration;
    let description = found.and_then(|it| it.description);
    assert_eq!(description.as_deref(), Some("lab-stk-below"));
}

#[test]
fn function_gets_the_outputs_of_a_stack_once_it_serves() {
    let scene = Scene::new("stk-out-env");
    let mut wanted = both(&scene);
    wanted["spec"]["components"][0]["dependsOn"] = json!(["infra"]);
    wanted["spec"]["components"][0]["lambda"]["environment"] =
        json!({"TEXT": "is $(components.infra.outputs.Text)"});
    let with_output = TEMPLATE.replace("Outputs:\n", "Outputs:\n  Text: {Value: !Ref Text}\n");
    let text_of_function = || {
        let lambda = scene.environment.lab.lambda("dev", "eu-west-1").unwrap();
        let get = lambda.get_function().function_name(scene.function());
        let found = run(get.qualifier("live").send()).unwrap().configuration;
        let variables = found.and_then(|it| it.environment?.variables);
        variables.and_then(|it| it.get("TEXT").cloned())
    };
    push_both(&scene, &package("v1"), &with_output);
    scene.apply(&wanted);
    scene.delivered(1);
    assert_eq!(text_of_function().as_deref(), Some("is hello"));

    push_both(&scene, &package("v1"), &with_output.replace("hello", "bye"));
    scene.delivered(2);
    assert_eq!(text_of_function().as_deref(), Some("is bye"));
    check_drift(&scene, "with an output");
    scene.condition(condition::DRIFTED, "False", "InSync");

    // An output that does not exist fails the run, and both are as before.
    push_both(&scene, &package("v1"), &TEMPLATE.replace("hello", "again"));
    let missing = "$(components.infra.outputs.Text) is not known, although its component serves";
    scene.stalled("RolledBack", &[missing]);
    assert_eq!(text_of_function().as_deref(), Some("is bye"));
    assert_eq!(setting(&scene, "dev").as_deref(), Some("bye"));
}

#[test]
fn secret_parameter_keeps_its_value_and_is_never_shown() {
    let scene = Scene::new("stk-secret");
    let template = TEMPLATE
        .replace(
            "Resources:\n",
            "  Key: {Type: String, NoEcho: true}\nResources:\n",
        )
        .replace("Value: !Ref Text", "Value: !Ref Key");
    let mut wanted = deployment(&scene, &["dev"]);
    spec(&mut wanted)["parameters"] = json!({"Key": "value-of-the-key"});
    push(&scene, &template);
    scene.apply(&wanted);
    scene.delivered(1);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("value-of-the-key"));
    let target = serde_json::to_string(&scene.target("dev")).unwrap();
    let events = scene.list::<k8s_openapi::api::events::v1::Event>();
    let events = serde_json::to_string(&events).unwrap();
    let log = scene.environment.lab.controller().logs();
    for text in [&target, &events, &log] {
        assert!(!text.contains("value-of-the-key"), "{text}");
    }

    // From now on, the spec does not have it.
    spec(&mut wanted)
        .as_object_mut()
        .unwrap()
        .remove("parameters");
    spec(&mut wanted)["usePrevious"] = json!(["Key"]);
    let mark = scene.environment.lab.aws.mark();
    scene.apply(&wanted);
    scene.delivered(2);
    assert_eq!(executed(&scene, mark), 0);
    push(&scene, &template.replace("Default: 5", "Default: 9"));
    scene.delivered(3);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("value-of-the-key"));
    assert_eq!(queue_delay(&scene, "dev").as_deref(), Some("9"));
    check_drift(&scene, "with a hidden value");
    scene.condition(condition::DRIFTED, "False", "InSync");
    assert!(outputs(&scene, "dev").contains_key("Url"));
}
