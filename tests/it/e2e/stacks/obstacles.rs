//! What prevents the delivery of a stack is reported before anything is written to CloudFormation.

use serde_json::{Value, json};

use super::{
    emulator::setting,
    fixture::{
        TEMPLATE, calls, client, deployment, described, name, nothing_written, push, running, spec,
        wait_gone, wait_status,
    },
};
use crate::e2e::{
    aws::copy_dev_account,
    run,
    scene::{Scene, assert_contains},
};

/// Asserts that the Release of this template and Deployment fails for that reason, without a write.
#[track_caller]
fn refused(
    namespace: &str,
    template: &str,
    edit: impl FnOnce(&mut Value),
    reason: &str,
    parts: &[&str],
) {
    let scene = Scene::new(namespace);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, template);
    let mut wanted = deployment(&scene, &["dev"]);
    edit(&mut wanted);
    scene.apply(&wanted);
    scene.stalled(reason, parts);
    scene.event("Deployment", "Warning", reason, parts);
    nothing_written(&scene, mark);
    assert!(described(&scene, "dev").is_none());
}

/// A template with one more parameter.
fn with_parameter(declaration: &str) -> String {
    TEMPLATE.replace(
        "Resources:\n",
        &format!("  Size: {declaration}\nResources:\n"),
    )
}

#[test]
fn missing_capability_is_named() {
    let role = "
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: \"2012-10-17\"
        Statement:
          - {Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}
Outputs:";
    let template = TEMPLATE.replace("\nOutputs:", role);
    refused(
        "stk-capability",
        &template,
        |_| (),
        "DeliveryFailed",
        &[
            "the template needs CAPABILITY_IAM",
            "add it to spec.components[infra].cloudFormation.capabilities",
        ],
    );
    let scene = Scene::new("stk-capable");
    push(&scene, &template);
    let mut wanted = deployment(&scene, &["dev"]);
    // The one for named resources includes that for others.
    spec(&mut wanted)["capabilities"] = json!(["CAPABILITY_NAMED_IAM"]);
    scene.apply(&wanted);
    scene.delivered(1);
}

#[test]
fn unknown_parameter_is_named_with_the_declared_ones() {
    refused(
        "stk-unknown",
        TEMPLATE,
        |wanted| spec(wanted)["parameters"] = json!({"Dalay": "7"}),
        "DeliveryFailed",
        &[
            "the template has no parameter Dalay",
            "it declares Account, Delay, Text",
            "correct spec.components[infra].cloudFormation.parameters",
        ],
    );
}

#[test]
fn missing_parameter_is_named() {
    refused(
        "stk-missing",
        &with_parameter("{Type: String}"),
        |_| (),
        "DeliveryFailed",
        &[
            "the template's parameter Size has no default",
            "set it in spec.components[infra].cloudFormation.parameters",
        ],
    );
}

#[test]
fn new_stack_has_no_previous_value() {
    refused(
        "stk-previous",
        &with_parameter("{Type: String}"),
        |wanted| spec(wanted)["usePrevious"] = json!(["Size"]),
        "DeliveryFailed",
        &["parameter Size can't keep its value, because the stack has none"],
    );
}

#[test]
fn parameter_with_value_and_use_previous_fails_the_preflight() {
    refused(
        "stk-twice",
        TEMPLATE,
        |wanted| {
            spec(wanted)["usePrevious"] = json!(["Delay"]);
            spec(wanted)["parameters"] = json!({"Delay": "7"});
        },
        "PreflightFailed",
        &[
            "spec.components[infra].cloudFormation.usePrevious",
            "Delay has a value in parameters too",
        ],
    );
}

#[test]
fn invalid_yaml_is_reported_with_its_line() {
    refused(
        "stk-yaml",
        "Resources:\n  Queue: {Type: AWS::SQS::Queue\n",
        |_| (),
        "DeliveryFailed",
        &[
            "infra/template.yaml in artifact infra of job infra",
            "can't be used",
            "YAML not well-formed",
        ],
    );
}

#[test]
fn missing_template_is_reported_with_similar_names() {
    refused(
        "stk-path",
        TEMPLATE,
        |wanted| spec(wanted)["template"] = json!("infra/templates.yaml"),
        "DeliveryFailed",
        &[
            "artifact infra of job infra",
            "there is no file infra/templates.yaml in it, but infra/template.yaml",
        ],
    );
}

#[test]
fn archive_and_template_are_told_apart() {
    refused(
        "stk-is-archive",
        TEMPLATE,
        |wanted| {
            spec(wanted).as_object_mut().unwrap().remove("template");
        },
        "InvalidArtifact",
        &[
            "artifact infra of component infra (job infra)",
            "it is a zip archive: set template to the path of the template in it",
        ],
    );
    refused(
        "stk-is-template",
        TEMPLATE,
        |wanted| {
            wanted["spec"]["artifacts"][0]["job"]["path"] = json!("infra/template.yaml");
        },
        "InvalidArtifact",
        &[
            "infra/template.yaml can't be found in it",
            "omit template if the artifact is the template itself",
        ],
    );
}

#[test]
fn stack_of_another_deployment_is_refused() {
    let (scene, mut other) = running("stk-owned");
    let mark = scene.environment.lab.aws.mark();
    other["metadata"]["name"] = json!("other");
    spec(&mut other)["parameters"] = json!({"Text": "other"});
    scene.apply(&other);
    let stack = name(&scene);
    let parts = [
        &*stack,
        "can't be deployed",
        "is owned by Deployment stk-owned/checkout",
    ];
    scene.stalled_of("other", "DeliveryFailed", &parts);
    nothing_written(&scene, mark);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
}

#[test]
fn unmanaged_stack_is_refused() {
    let scene = Scene::new("stk-unmanaged");
    let create = client(&scene, "dev")
        .create_stack()
        .stack_name(name(&scene))
        .template_body(TEMPLATE.replace("hello", "theirs"));
    run(create.send()).unwrap();
    wait_status(&scene, "dev", "CREATE_COMPLETE");
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["dev"]));
    let stack = name(&scene);
    let parts = [&*stack, "was not created by Sluice", "choose another name"];
    scene.stalled("DeliveryFailed", &parts);
    nothing_written(&scene, mark);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("theirs"));

    run(client(&scene, "dev")
        .delete_stack()
        .stack_name(name(&scene))
        .send())
    .unwrap();
    wait_gone(&scene, "dev");
    scene.annotate("sluice.dev/retry", "it is gone");
    scene.delivered(1);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
}

/// A Deployment in an Account of its own with this grant.
fn with_grant(scene: &Scene<'_>, grant: &Value) -> Value {
    let account = copy_dev_account(scene, |spec| spec["grants"] = json!([grant]));
    let mut wanted = deployment(scene, &["dev"]);
    wanted["spec"]["stages"][0]["targets"][0]["account"] = json!(account);
    wanted
}

/// A grant for all namespaces of this stack with this role.
fn grant(stack: &str, role: &str) -> Value {
    json!({"namespaceSelector": {}, "stacks": [stack], "stackRoles": [role]})
}

/// Asserts that the team's stack is not delivered under this grant, and is under another one.
#[track_caller]
fn not_granted(namespace: &str, stack: &str, role: &str) {
    let scene = Scene::new(namespace);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&with_grant(&scene, &grant(stack, role)));
    let what = format!(
        "Account {namespace} has no grant that lets namespace {namespace} use stack {} with role cfn-exec",
        name(&scene)
    );
    let parts = [
        "spec.components[infra].cloudFormation.stackName",
        &*what,
        "ask the platform team",
    ];
    scene.stalled("PreflightFailed", &parts);
    let calls = calls(&scene, mark);
    assert!(calls.is_empty(), "{calls:?}");

    with_grant(&scene, &grant(&name(&scene), "cfn-*"));
    scene.delivered(1);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
}

#[test]
fn stack_needs_a_grant() {
    not_granted("stk-no-grant", "lab-other-*", "*");
}

#[test]
fn role_needs_a_grant() {
    not_granted("stk-no-role", "lab-*", "other-*");
}

#[test]
fn role_of_another_account_fails_the_preflight() {
    refused(
        "stk-other-role",
        TEMPLATE,
        |wanted| spec(wanted)["role"] = json!("arn:aws:iam::333333333333:role/cfn-exec"),
        "PreflightFailed",
        &[
            "spec.components[infra].cloudFormation.role",
            "is not a role of account 222222222222",
        ],
    );
}

#[test]
fn obstacle_of_an_update_leaves_the_stack_alone() {
    let (scene, _) = running("stk-bad-update");
    let mark = scene.environment.lab.aws.mark();
    push(&scene, "Resources: none\n");
    let message = scene.stalled(
        "DeliveryFailed",
        &["can't be used", "Template format error"],
    );
    assert_contains(&message, &["r2 was not delivered, r1 serves"]);
    nothing_written(&scene, mark);
    push(&scene, &TEMPLATE.replace("hello", "good"));
    scene.delivered(3);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("good"));
}

#[test]
fn parameter_of_systems_manager_needs_a_grant() {
    let scene = Scene::new("stk-no-ssm");
    let template = TEMPLATE.replace(
        "Resources:\n",
        "  Other: {Type: AWS::SSM::Parameter::Value<String>, Default: /of/another/team}\nResources:\n",
    );
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &template);
    scene.apply(&deployment(&scene, &["dev"]));
    scene.stalled(
        "TargetStalled",
        &["namespace stk-no-ssm use parameter /of/another/team"],
    );
    nothing_written(&scene, mark);
}
