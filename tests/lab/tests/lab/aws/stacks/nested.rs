//! Nested stacks.

use aws_sdk_cloudformation::types::{
    ChangeAction, ChangeSetType, ChangeSource, ExecutionStatus, StackStatus,
};
use serde_json::{Value, json};

use super::{
    super::{refusal, refusal_code},
    TestStack, after, change_of, changes, failing, parameter,
};

/// A template of nested stacks in the artifact bucket; returns its URL.
async fn upload(stack: &TestStack, key: &str, resources: Value) -> String {
    let template = json!({
        "Parameters": { "Value": { "Type": "String" } },
        "Resources": resources,
        "Outputs": { "Name": { "Value": { "Ref": "P" } } },
    });
    let bucket = &stack.cloud.dev().buckets["eu-west-1"];
    let config = super::deployer(stack.cloud, stack.cloud.dev()).await;
    let put = aws_sdk_s3::Client::new(&config)
        .put_object()
        .bucket(bucket)
        .key(key);
    put.body(template.to_string().into_bytes().into())
        .send()
        .await
        .expect("the template");
    format!("https://{bucket}.s3.eu-west-1.amazonaws.com/{key}")
}

/// A parameter with the value of the parameter `Value`.
fn value() -> Value {
    parameter(json!({ "Ref": "Value" }))
}

/// The nested stack, and a parameter with its output.
fn parent(url: &str, value: &str, last: Value) -> Value {
    let properties = json!({ "TemplateURL": url, "Parameters": { "Value": value } });
    json!({
        "Nested": { "Type": "AWS::CloudFormation::Stack", "Properties": properties },
        "Output": parameter(json!({ "Fn::GetAtt": ["Nested", "Outputs.Name"] })),
        "Last": after("Nested", last),
    })
}

async fn created(name: &str) -> (TestStack, String) {
    let stack = TestStack::new(name).await;
    let url = upload(&stack, &format!("{name}.json"), json!({ "P": value() })).await;
    let status = stack
        .deploy(ChangeSetType::Create, parent(&url, "one", failing(&[], 1)))
        .await;
    assert_eq!(status, StackStatus::CreateComplete);
    (stack, url)
}

impl TestStack {
    /// The value of the nested stack's parameter.
    async fn nested_value(&self) -> String {
        let name = self.value("Output").await;
        let request = json!({ "Name": name });
        let answer = super::call(self.cloud, "ssm", "AmazonSSM.GetParameter", &request).await;
        answer["Parameter"]["Value"]
            .as_str()
            .expect("a value")
            .to_owned()
    }

    async fn nested(&self) -> aws_sdk_cloudformation::types::Stack {
        self.describe_as(&self.physical_id("Nested").await).await
    }
}

#[tokio::test]
async fn a_nested_stack_is_a_resource_with_outputs() {
    let (stack, url) = created("lab-nested-resource").await;
    let nested = stack.nested().await;
    assert_eq!(nested.parent_id, Some(stack.id().await));
    assert_eq!(nested.root_id, Some(stack.id().await));
    assert!(
        nested
            .stack_name
            .unwrap()
            .starts_with("lab-nested-resource-Nested-")
    );
    assert_eq!(stack.nested_value().await, "one");
    let status = stack.update(parent(&url, "two", failing(&[], 1))).await;
    assert_eq!(status, StackStatus::UpdateComplete);
    assert_eq!(stack.nested_value().await, "two");
    let id = stack.nested().await.stack_id.unwrap();
    let own = stack.id().await;
    stack
        .client
        .delete_stack()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    stack
        .until(&own, |status| *status == StackStatus::DeleteComplete)
        .await;
    let gone = stack.describe_as(&id).await.stack_status;
    assert_eq!(gone, Some(StackStatus::DeleteComplete));
}

#[tokio::test]
async fn a_change_set_can_include_nested_stacks() {
    let stack = TestStack::new("lab-nested-set").await;
    let url = upload(&stack, "lab-nested-set.json", json!({ "P": value() })).await;
    let template = json!({ "Resources": parent(&url, "one", failing(&[], 1)) });
    let request = stack.request("release", ChangeSetType::Create, &template);
    let root = stack.ready(request.include_nested_stacks(true)).await;
    assert_eq!(root.include_nested_stacks, Some(true));
    let id = change_of(&root, "Nested")
        .change_set_id
        .expect("a nested change set");
    let nested = stack.change_set(&id).await;
    assert_eq!(nested.root_change_set_id, root.change_set_id);
    assert_eq!(nested.parent_change_set_id, root.change_set_id);
    assert_eq!(change_of(&nested, "P").action, Some(ChangeAction::Add));
    let review = stack.describe_as(nested.stack_id.as_deref().unwrap()).await;
    assert_eq!(review.stack_status, Some(StackStatus::ReviewInProgress));
    let execute = stack.client.execute_change_set().change_set_name(&id);
    assert_eq!(refusal_code(execute.send().await), "InvalidChangeSetStatus");

    stack.execute(&root).await;
    assert_eq!(stack.settled().await, StackStatus::CreateComplete);
    let own = stack.physical_id("Nested").await;
    assert_eq!(Some(own), nested.stack_id);
    let executed = stack.change_set(&id).await.execution_status;
    assert_eq!(executed, Some(ExecutionStatus::ExecuteComplete));
}

#[tokio::test]
async fn a_change_inside_a_nested_stack_is_visible_with_nested_stacks_only() {
    let (stack, url) = created("lab-nested-inside").await;
    let resources = json!({ "P": value(), "Q": parameter("new") });
    upload(&stack, "lab-nested-inside.json", resources).await;
    let template = json!({ "Resources": parent(&url, "one", failing(&[], 1)) });
    let plain = stack
        .ready(stack.request("plain", ChangeSetType::Update, &template))
        .await;
    // The template of a nested stack may have changed, so the nested stack is always listed.
    assert_eq!(changes(&plain).len(), 1);
    let source = change_of(&plain, "Nested")
        .details
        .unwrap()
        .remove(0)
        .change_source;
    assert_eq!(source, Some(ChangeSource::Automatic));
    let include = |name: &str| {
        let request = stack.request(name, ChangeSetType::Update, &template);
        request.include_nested_stacks(true)
    };
    let root = stack.ready(include("nested")).await;
    let change = change_of(&root, "Nested");
    assert_eq!(change.action, Some(ChangeAction::Modify));
    let nested = stack
        .change_set(change.change_set_id.as_deref().unwrap())
        .await;
    assert_eq!(change_of(&nested, "Q").action, Some(ChangeAction::Add));
    stack.execute(&plain).await;
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
    let same = stack.ready(include("same")).await;
    assert!(changes(&same).is_empty());
}

#[tokio::test]
async fn a_deleted_change_set_takes_nested_stacks_in_review_with_it() {
    let stack = TestStack::new("lab-nested-review").await;
    let url = upload(&stack, "lab-nested-review.json", json!({ "P": value() })).await;
    let template = json!({ "Resources": parent(&url, "one", failing(&[], 1)) });
    let request = stack.request("release", ChangeSetType::Create, &template);
    let root = stack.ready(request.include_nested_stacks(true)).await;
    let id = change_of(&root, "Nested").change_set_id.unwrap();
    let nested = stack.change_set(&id).await.stack_id.unwrap();
    let delete = stack
        .client
        .delete_change_set()
        .change_set_name("release")
        .stack_name(&stack.name);
    delete.send().await.unwrap();
    let describe = stack.root().describe_change_set().change_set_name(&id);
    assert_eq!(refusal_code(describe.send().await), "ChangeSetNotFound");
    let gone = stack.describe_as(&nested).await.stack_status;
    assert_eq!(gone, Some(StackStatus::DeleteComplete));
    assert_eq!(stack.status().await, StackStatus::ReviewInProgress);
}

#[tokio::test]
async fn a_failed_nested_update_rolls_both_stacks_back() {
    let (stack, url) = created("lab-nested-fails").await;
    let resources = json!({ "P": value(), "Q": after("P", failing(&["Create"], 1)) });
    upload(&stack, "lab-nested-fails.json", resources).await;
    let status = stack.update(parent(&url, "two", failing(&[], 1))).await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    let reason = stack.reason("Nested", "UPDATE_FAILED").await;
    assert!(
        reason.starts_with("Embedded stack arn:aws:cloudformation:"),
        "{reason}"
    );
    let message = "The following resource(s) failed to create: [Q].";
    assert!(
        reason.contains("was not successfully updated") && reason.ends_with(message),
        "{reason}"
    );
    assert_eq!(
        stack.nested().await.stack_status,
        Some(StackStatus::UpdateRollbackComplete)
    );
    assert_eq!(stack.nested_value().await, "one");
}

#[tokio::test]
async fn a_failure_after_a_nested_update_restores_the_nested_stack() {
    let (stack, url) = created("lab-nested-restored").await;
    // The former template is no longer at its URL.
    let resources = json!({ "P": value(), "Q": parameter("new") });
    upload(&stack, "lab-nested-restored.json", resources).await;
    let status = stack
        .update(parent(&url, "two", failing(&["Update"], 2)))
        .await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    assert_eq!(
        stack.nested().await.stack_status,
        Some(StackStatus::UpdateRollbackComplete)
    );
    assert_eq!(stack.nested_value().await, "one");
}

#[tokio::test]
async fn a_nested_stack_that_cannot_be_created_is_deleted() {
    let stack = TestStack::new("lab-nested-broken").await;
    let resources = json!({ "P": value(), "Q": after("P", failing(&["Create"], 1)) });
    let url = upload(&stack, "lab-nested-broken.json", resources).await;
    let status = stack
        .deploy(ChangeSetType::Create, parent(&url, "one", failing(&[], 1)))
        .await;
    assert_eq!(status, StackStatus::RollbackComplete);
    let reason = stack.reason("Nested", "CREATE_FAILED").await;
    assert!(reason.contains("was not successfully created"), "{reason}");
    assert_eq!(
        stack.nested().await.stack_status,
        Some(StackStatus::DeleteComplete)
    );
}

#[tokio::test]
async fn a_nested_template_without_its_capability_fails() {
    let stack = TestStack::new("lab-nested-capability").await;
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "Service": "lambda.amazonaws.com" },
        }],
    });
    let role =
        json!({ "Type": "AWS::IAM::Role", "Properties": { "AssumeRolePolicyDocument": trust } });
    let url = upload(
        &stack,
        "lab-nested-capability.json",
        json!({ "P": value(), "Role": role }),
    )
    .await;
    let status = stack
        .deploy(ChangeSetType::Create, parent(&url, "one", failing(&[], 1)))
        .await;
    assert_eq!(status, StackStatus::RollbackComplete);
    let reason = stack.reason("Nested", "CREATE_FAILED").await;
    assert_eq!(reason, "Requires capabilities : [CAPABILITY_IAM]");
    let (code, _) = refusal(
        stack
            .client
            .list_change_sets()
            .stack_name("lab-nested-none")
            .send()
            .await,
    );
    assert_eq!(code, "ValidationError");
}
