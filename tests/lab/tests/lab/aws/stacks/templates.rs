//! Templates: their text, their transforms and their summary.

use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, StackStatus, TemplateStage,
};
use serde_json::json;

use super::{
    super::{refusal, refusal_code},
    TestStack, parameter,
};

#[tokio::test]
async fn the_original_template_is_returned_byte_for_byte() {
    let stack = TestStack::new("lab-templates-bytes").await;
    let body = "# Größe & <b>\r\nResources:\n  A:\n    Type: AWS::SSM::Parameter\n    Properties:\n      \
                Type: String\n      Value: !Sub '${AWS::StackName} > 1'  \n\n\n";
    let request = stack.request("release", ChangeSetType::Create, &json!({}));
    let change_set = stack.ready(request.template_body(body)).await;
    let get = || {
        stack
            .client
            .get_template()
            .stack_name(&stack.name)
            .template_stage(TemplateStage::Original)
    };
    let of_set = get().change_set_name("release").send().await.unwrap();
    assert_eq!(of_set.template_body.as_deref(), Some(body));
    stack.execute(&change_set).await;
    assert_eq!(stack.settled().await, StackStatus::CreateComplete);
    let of_stack = get().send().await.unwrap();
    assert_eq!(of_stack.template_body.as_deref(), Some(body));
    assert_eq!(of_stack.stages_available().len(), 2);
    assert_eq!(stack.value("A").await, "lab-templates-bytes > 1");
}

#[tokio::test]
async fn a_sam_template_is_transformed() {
    let stack = TestStack::new("lab-templates-sam").await;
    let function = json!({
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "Handler": "index.handler",
            "InlineCode": "def handler(event, context): return 'sam'",
            "Role": stack.cloud.dev().execution_role_arn,
            "AutoPublishAlias": "live",
        },
    });
    let template = json!({
        "Transform": "AWS::Serverless-2016-10-31",
        "Globals": { "Function": { "Runtime": "python3.13" } },
        "Resources": { "Fn": function },
    });
    // CAPABILITY_AUTO_EXPAND is not needed for change sets.
    let change_set = stack
        .ready(stack.request("release", ChangeSetType::Create, &template))
        .await;
    let mut types: Vec<String> = super::changes(&change_set)
        .into_iter()
        .filter_map(|change| change.resource_type)
        .collect();
    types.sort();
    let expected = [
        "AWS::Lambda::Alias",
        "AWS::Lambda::Function",
        "AWS::Lambda::Version",
    ];
    assert_eq!(types, expected);
    stack.execute(&change_set).await;
    assert_eq!(stack.settled().await, StackStatus::CreateComplete);
    let processed = stack.client.get_template().stack_name(&stack.name);
    let processed = processed
        .template_stage(TemplateStage::Processed)
        .send()
        .await
        .unwrap();
    let processed = processed.template_body.unwrap();
    assert!(processed.contains("AWS::Lambda::Function") && !processed.contains("AWS::Serverless"));

    let direct = stack
        .root()
        .create_stack()
        .stack_name("lab-templates-sam-direct");
    let direct = direct.template_body(template.to_string()).send();
    let message = "Requires capabilities : [CAPABILITY_AUTO_EXPAND]".to_owned();
    assert_eq!(
        refusal(direct.await),
        ("InsufficientCapabilitiesException".to_owned(), message)
    );
}

#[tokio::test]
async fn a_failed_transform_fails_the_change_set() {
    let stack = TestStack::new("lab-templates-transform").await;
    let function =
        json!({ "Type": "AWS::Serverless::Function", "Properties": { "Colour": "blue" } });
    let template =
        json!({ "Transform": "AWS::Serverless-2016-10-31", "Resources": { "Fn": function } });
    let failed = stack
        .ready(stack.request("release", ChangeSetType::Create, &template))
        .await;
    assert_eq!(failed.status, Some(ChangeSetStatus::Failed));
    let reason = failed.status_reason.unwrap();
    let start = "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application Specification \
                 document.";
    assert!(
        reason.starts_with(start) && reason.contains("[Fn]"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_summary_names_parameters_capabilities_and_types() {
    let stack = TestStack::new("lab-templates-summary").await;
    let template = json!({
        "Description": "A service",
        "Metadata": { "owner": "shop" },
        "Parameters": {
            "Size": { "Type": "Number", "Default": 2, "Description": "How many" },
            "Secret": { "Type": "String", "NoEcho": true },
            "Stage": { "Type": "String", "Default": "dev", "AllowedValues": ["dev", "prod"] },
        },
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            "Bucket": { "Type": "AWS::S3::Bucket" },
            "Role": { "Type": "AWS::IAM::Role", "Properties": { "RoleName": "lab-role" } },
        },
    });
    let summary = stack
        .client
        .get_template_summary()
        .template_body(template.to_string());
    let summary = summary.send().await.unwrap();
    assert_eq!(summary.description.as_deref(), Some("A service"));
    let declared = summary.parameters();
    let named = |name: &str| {
        let found = declared
            .iter()
            .find(|own| own.parameter_key.as_deref() == Some(name));
        found.unwrap().clone()
    };
    assert_eq!(named("Size").default_value.as_deref(), Some("2"));
    assert_eq!(named("Size").parameter_type.as_deref(), Some("Number"));
    assert_eq!(named("Secret").no_echo, Some(true));
    assert_eq!(named("Secret").default_value, None);
    let allowed = named("Stage")
        .parameter_constraints
        .unwrap()
        .allowed_values
        .unwrap();
    assert_eq!(allowed, ["dev", "prod"]);
    let capabilities = [
        Capability::CapabilityNamedIam,
        Capability::CapabilityAutoExpand,
    ];
    assert_eq!(summary.capabilities(), capabilities);
    let reason = "The following resource(s) require capabilities: [AWS::IAM::Role]";
    assert_eq!(summary.capabilities_reason.as_deref(), Some(reason));
    assert_eq!(
        summary.resource_types(),
        ["AWS::IAM::Role", "AWS::S3::Bucket"]
    );
    assert_eq!(
        summary.declared_transforms(),
        ["AWS::Serverless-2016-10-31"]
    );
    let bucket = &summary.resource_identifier_summaries()[1];
    assert_eq!(bucket.logical_resource_ids(), ["Bucket"]);
    assert_eq!(bucket.resource_identifiers(), ["BucketName"]);
}

#[tokio::test]
async fn a_later_change_set_can_keep_the_template() {
    let stack = TestStack::new("lab-templates-previous").await;
    let template = json!({
        "Parameters": {
            "V": { "Type": "String" }, "Kept": { "Type": "String", "Default": "default" },
        },
        "Resources": {
            "A": parameter(json!({ "Ref": "V" })), "B": parameter(json!({ "Ref": "Kept" })),
        },
    });
    let given = |key: &str, value: &str| {
        let parameter = aws_sdk_cloudformation::types::Parameter::builder().parameter_key(key);
        parameter.parameter_value(value).build()
    };
    let request = stack.request("one", ChangeSetType::Create, &template);
    let request = request
        .parameters(given("V", "1"))
        .parameters(given("Kept", "own"));
    stack.execute(&stack.ready(request).await).await;
    assert_eq!(stack.settled().await, StackStatus::CreateComplete);

    let kept = aws_sdk_cloudformation::types::Parameter::builder().parameter_key("Kept");
    let request = stack
        .client
        .create_change_set()
        .stack_name(&stack.name)
        .change_set_name("two");
    let request = request
        .use_previous_template(true)
        .parameters(given("V", "2"));
    let request = request.parameters(kept.use_previous_value(true).build());
    stack.execute(&stack.ready(request).await).await;
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
    assert_eq!(
        (stack.value("A").await, stack.value("B").await),
        ("2".to_owned(), "own".to_owned())
    );
    let none = stack.client.get_template().stack_name("lab-templates-none");
    assert_eq!(refusal_code(none.send().await), "ValidationError");
}

#[tokio::test]
async fn a_stack_is_created_and_updated_without_a_change_set() {
    let stack = TestStack::new("lab-templates-direct").await;
    let root = stack.root();
    let body = |value: &str| json!({ "Resources": { "A": parameter(value) } }).to_string();
    let create = || {
        root.create_stack()
            .stack_name(&stack.name)
            .template_body(body("1"))
            .send()
    };
    create().await.expect("created");
    assert_eq!(stack.settled().await, StackStatus::CreateComplete);
    assert_eq!(stack.describe().await.last_updated_time, None);
    assert_eq!(refusal_code(create().await), "AlreadyExistsException");
    let update = |value: &str| {
        root.update_stack()
            .stack_name(&stack.name)
            .template_body(body(value))
            .send()
    };
    let message = "No updates are to be performed.".to_owned();
    assert_eq!(
        refusal(update("1").await),
        ("ValidationError".to_owned(), message)
    );
    update("2").await.expect("updated");
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
    assert_eq!(stack.value("A").await, "2");
}
