//! Components that are stacks of a cloud assembly.

use serde_json::{Value, json};

use super::*;
use crate::api::v1alpha1::Component;

/// A component that is this stack of the assembly.
fn component(name: &str, cdk: &Value) -> Component {
    let component = json!({"name": name, "cloudFormation": {
        "stackName": format!("checkout-{name}"), "artifact": "api", "role": "cfn-exec", "cdk": cdk,
    }});
    serde_json::from_value(component).expect("a component")
}

/// A Release of these components, whose artifact has an assembly: in each stage of the app, `Api` depends on `Data`.
fn release_of(components: Vec<Component>) -> ReleaseSpec {
    let stack = |stage: &str, name: &str, environment: &str, depends_on: &[String]| {
        json!({
            "name": format!("{stage}/{name}"), "id": format!("{stage}{name}1A2B"), "stackName": format!("{stage}-{name}"),
            "environment": environment, "template": format!("cdk.out/assembly-{stage}/{name}.template.json"),
            "dependsOn": depends_on,
        })
    };
    let of_stage = |stage: &str, environment: &str| {
        let data = [format!("{stage}/Data")];
        [
            stack(stage, "Api", environment, &data),
            stack(stage, "Data", environment, &[]),
        ]
    };
    let dev = of_stage("dev", "aws://unknown-account/unknown-region");
    let prod = of_stage("prod", "aws://333333333333/eu-west-1");
    let stacks: Vec<Value> = dev.into_iter().chain(prod).collect();
    let mut release = release(json!({}), json!({}));
    let assembly = json!({"folder": "cdk.out", "stacks": stacks});
    release.artifacts[0].assemblies = vec![serde_json::from_value(assembly).expect("an assembly")];
    release.template.components = components;
    release
}

fn levels_of(components: Vec<Component>) -> Vec<(String, usize)> {
    let desired = work_out(&release_of(components)).expect("a desired state");
    let components = desired.components.into_iter();
    components.map(|it| (it.name, it.level)).collect()
}

#[test]
fn stack_comes_after_the_stacks_that_it_depends_on() {
    let api = || component("api", &json!({"stack": "$(stage.name)/Api"}));
    let data =
        |assembly: &str| component("data", &json!({"stack": "dev/Data", "assembly": assembly}));
    let both = levels_of(vec![api(), data("./cdk.out/")]);
    assert_eq!(both, [("api".into(), 1), ("data".into(), 0)]);
    assert_eq!(levels_of(vec![api()]), [("api".into(), 0)]);
}

#[test]
fn stack_waits_for_the_exports_of_those_that_it_depends_on() {
    let api = component("api", &json!({"stack": "dev/Api"}));
    let data = component("data", &json!({"stack": "dev/Data"}));
    let desired = work_out(&release_of(vec![api, data])).expect("a desired state");
    let waits = |at: usize| {
        let needed = desired.components[at].needed_outputs();
        needed.into_iter().map(ToString::to_string).collect()
    };
    let (of_api, of_data): (Vec<String>, Vec<String>) = (waits(0), waits(1));
    assert_eq!(of_api, ["components.data.outputs.*"]);
    assert!(of_data.is_empty());
}

#[test]
fn stack_that_the_target_can_not_have_is_refused_with_its_field() {
    let refusal = |cdk: Value| {
        let release = release_of(vec![component("api", &cdk)]);
        work_out(&release).expect_err("a refusal").to_string()
    };
    let field = "spec.components[api].cloudFormation.cdk.stack";
    for (cdk, parts) in [
        (
            json!({"stack": "Dev/Api"}),
            [field, "no stack Dev/Api; it has dev/Api, dev/Data"],
        ),
        (
            json!({"stack": "prod/Api"}),
            [field, "was synthesized for aws://333333333333/eu-west-1"],
        ),
        (
            json!({"stack": "dev/Api", "assembly": "other"}),
            [field, "without the assembly other"],
        ),
        (
            json!({"stack": "dev/Api", "qualifier": "team1"}),
            [
                "cloudFormation.cdk.qualifier",
                "with the CDK qualifier team1",
            ],
        ),
    ] {
        let refusal = refusal(cdk);
        assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
    }
}

#[test]
fn pattern_of_stacks_stands_for_one_component_each() {
    let mut all = component("app", &json!({"stack": "$(stage.name)/*"}));
    let Some(spec) = &mut all.cloud_formation else {
        panic!("a stack");
    };
    spec.stack_name = "checkout-$(stack.name)".into();
    let after: Component = serde_json::from_value(json!({
        "name": "after", "dependsOn": ["app"], "lambda": {
            "functionName": "checkout-after", "artifact": "api", "runtime": "python3.13", "handler": "app.handler",
            "role": "lambda-exec",
        },
    }))
    .expect("a component");
    let desired = work_out(&release_of(vec![all, after])).expect("a desired state");
    let found: Vec<(&str, String, usize)> = (desired.components.iter())
        .map(|it| (it.name.as_str(), it.resource(), it.level))
        .collect();
    assert_eq!(
        found,
        [
            ("app-dev-api", "checkout-dev-Api".into(), 1),
            ("app-dev-data", "checkout-dev-Data".into(), 0),
            ("after", "checkout-after".into(), 2),
        ]
    );
}

#[test]
fn overrides_of_a_pattern_apply_to_each_of_its_stacks() {
    let mut all = component("app", &json!({"stack": "dev/*"}));
    if let Some(spec) = &mut all.cloud_formation {
        spec.stack_name = "checkout-$(stack.name)".into();
    }
    let mut release = release_of(vec![all]);
    release.template.stages[0].overrides = vec![
        serde_json::from_value(
            json!({"component": "app", "cloudFormation": {"tags": {"team": "shop"}}}),
        )
        .expect("an override"),
    ];
    let desired = work_out(&release).expect("a desired state");
    for component in desired.components {
        let Workload::CloudFormation(stack) = component.workload else {
            panic!("a stack");
        };
        assert_eq!(stack.settings.tags["team"], "shop");
    }
}

#[test]
fn pattern_that_matches_no_stack_is_refused_with_those_that_exist() {
    let release = release_of(vec![component("app", &json!({"stack": "test/*"}))]);
    let refusal = work_out(&release).expect_err("a refusal").to_string();
    assert!(refusal.contains("cdk.stack"), "{refusal}");
    assert!(refusal.contains("it has dev/Api, dev/Data"), "{refusal}");
}
