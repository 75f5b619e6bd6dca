//! The CloudFormation templates of docs/aws: what they create is sufficient for deliveries.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Capability, Parameter, StackStatus};
use kube::api::DeleteParams;
use serde_json::json;
use sluice::api::v1alpha1::Deployment;
use sluice_lab::{
    error::LabError,
    lab::{HUB_REGION, package, wait_for},
};

use super::fixture::{TEMPLATE, both, client, push_both, status};
use crate::e2e::{
    LIMIT,
    aws::copy_dev_account,
    run,
    scene::{NAME, Scene, gone},
};

const HUB: &str = include_str!("../../../../docs/aws/hub.yaml");
const TARGET: &str = include_str!("../../../../docs/aws/target.yaml");
const EXTERNAL_ID: &str = "a-long-random-word";

/// Creates a stack from a template with these parameters, as a platform team does. Returns its outputs.
fn create(
    scene: &Scene<'_>,
    account: &str,
    (name, template): (&str, &str),
    parameters: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let client = client(scene, account);
    let parameters = parameters.iter().map(|(key, value)| {
        let parameter = Parameter::builder();
        parameter
            .parameter_key(*key)
            .parameter_value(*value)
            .build()
    });
    let create = client
        .create_stack()
        .stack_name(name)
        .template_body(template)
        .capabilities(Capability::CapabilityNamedIam)
        .set_parameters(Some(parameters.collect()));
    run(create.send()).expect("a stack");
    let created = wait_for(&format!("stack {name} is created"), LIMIT, || {
        let found = run(client.describe_stacks().stack_name(name).send());
        let stack = found.ok().and_then(|it| it.stacks?.pop());
        match stack {
            Some(stack) if stack.stack_status == Some(StackStatus::CreateComplete) => Ok(stack),
            other => Err(LabError::new(format!("{other:?}"))),
        }
    });
    let outputs = created.unwrap_or_else(|e| panic!("{e}")).outputs;
    let outputs = outputs.into_iter().flatten();
    outputs
        .filter_map(|output| Some((output.output_key?, output.output_value?)))
        .collect()
}

#[test]
fn role_of_the_documented_template_delivers_functions_and_stacks() {
    let scene = Scene::new("iam-target");
    let hub = scene.environment.lab.account_id("hub").unwrap();
    let mut outputs = create(
        &scene,
        "dev",
        ("sluice-target", TARGET),
        &[
            ("Hub", &format!("arn:aws:iam::{hub}:user/sluice")),
            ("ExternalId", EXTERNAL_ID),
            ("Functions", "iam-target-*"),
            ("ExecutionRoles", "lambda-exec"),
            ("Stacks", "lab-iam-target*"),
            ("StackRoles", "cfn-exec"),
            ("CdkQualifier", "hnb659fds"),
        ],
    );
    let role = outputs.remove("RoleArn").expect("RoleArn");
    let bucket = outputs.remove("ArtifactBucket").expect("ArtifactBucket");
    let account = copy_dev_account(&scene, |spec| {
        spec["credentials"]["assumeRole"]["roleArn"] = json!(role);
        spec["credentials"]["assumeRole"]["externalId"] = json!(EXTERNAL_ID);
        spec["regions"] = json!([{"name": HUB_REGION, "artifactBucket": bucket}]);
    });
    let mut wanted = both(&scene);
    wanted["spec"]["stages"][0]["targets"][0]["account"] = json!(account);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    push_both(&scene, &package("v1"), TEMPLATE);
    scene.apply(&wanted);
    scene.delivered(1);
    push_both(&scene, &package("v2"), &TEMPLATE.replace("hello", "again"));
    scene.delivered(2);
    scene.serves("dev", "v2");
    assert_eq!(status(&scene, "dev"), "UPDATE_COMPLETE");
    let api = scene.api::<Deployment>();
    run(api.delete(NAME, &DeleteParams::default())).unwrap();
    gone(&api, NAME);
}

#[test]
fn template_of_the_hub_creates_its_role_and_bucket() {
    let scene = Scene::new("iam-hub");
    let outputs = create(
        &scene,
        "hub",
        ("sluice-hub", HUB),
        &[
            ("Issuer", "oidc.example.com/id/ABC"),
            (
                "Accounts",
                "arn:aws:iam::222222222222:role/sluice,arn:aws:iam::333333333333:role/sluice",
            ),
        ],
    );
    let hub = scene.environment.lab.account_id("hub").unwrap();
    let role = format!("arn:aws:iam::{hub}:role/sluice");
    assert_eq!(outputs.get("RoleArn"), Some(&role));
    let bucket = format!("sluice-{hub}-{HUB_REGION}");
    assert_eq!(outputs.get("ArtifactBucket"), Some(&bucket));
}
