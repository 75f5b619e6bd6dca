//! Failed operations, and the states in which they leave a stack.

use aws_sdk_cloudformation::types::{
    ChangeSetType, ExecutionStatus, OnStackFailure, ResourceStatus, StackStatus,
};
use serde_json::{Value, json};

use super::{
    super::{refusal, refusal_code},
    TestStack, after, failing, parameter,
};

/// A parameter, and after it a resource whose creation fails.
fn broken() -> Value {
    json!({ "A": parameter("a"), "B": after("A", failing(&["Create"], 1)) })
}

#[tokio::test]
async fn a_failed_creation_rolls_back_and_leaves_a_stack_to_delete() {
    let stack = TestStack::new("lab-failures-create").await;
    let status = stack.deploy(ChangeSetType::Create, broken()).await;
    assert_eq!(status, StackStatus::RollbackComplete);
    assert_eq!(stack.reason("B", "CREATE_FAILED").await, "out of order");
    let reason = stack.reason(&stack.name, "ROLLBACK_IN_PROGRESS").await;
    assert_eq!(
        reason,
        "The following resource(s) failed to create: [B]. Rollback requested by user."
    );
    let expected = [
        "B CREATE_FAILED",
        "stack ROLLBACK_IN_PROGRESS",
        "A DELETE_IN_PROGRESS",
        "A DELETE_COMPLETE",
        "stack ROLLBACK_COMPLETE",
    ];
    assert_eq!(stack.last_events(5).await, expected);
    let id = stack.id().await;
    let template = json!({ "Resources": { "A": parameter("a") } });
    let update = stack.request("again", ChangeSetType::Update, &template);
    let message = format!("Stack:{id} is in ROLLBACK_COMPLETE state and can not be updated.");
    assert_eq!(
        refusal(update.send().await),
        ("ValidationError".to_owned(), message)
    );
    let create = stack.request("again", ChangeSetType::Create, &template);
    assert_eq!(refusal_code(create.send().await), "ValidationError");
}

#[tokio::test]
async fn a_failed_execution_is_recorded_with_its_change_set() {
    let stack = TestStack::new("lab-failures-set").await;
    let change_set = stack.propose(ChangeSetType::Create, broken()).await;
    stack.execute(&change_set).await;
    stack.settled().await;
    let found = stack
        .change_set(change_set.change_set_id.as_deref().unwrap())
        .await;
    assert_eq!(found.execution_status, Some(ExecutionStatus::ExecuteFailed));
}

#[tokio::test]
async fn a_failed_creation_can_stay_as_it_is() {
    let stack = TestStack::new("lab-failures-nothing").await;
    let template = json!({ "Resources": broken() });
    let request = stack.request("release", ChangeSetType::Create, &template);
    let ready = stack
        .ready(request.on_stack_failure(OnStackFailure::DoNothing))
        .await;
    stack.execute(&ready).await;
    assert_eq!(stack.settled().await, StackStatus::CreateFailed);
    let reason = stack.describe().await.stack_status_reason.unwrap();
    assert_eq!(
        reason.trim(),
        "The following resource(s) failed to create: [B]."
    );
    assert_eq!(stack.value("A").await, "a");
    let failed = stack.resource("B").await;
    assert_eq!(failed.resource_status, Some(ResourceStatus::CreateFailed));
    assert_eq!(
        failed.resource_status_reason.as_deref(),
        Some("out of order")
    );
}

#[tokio::test]
async fn a_failed_creation_can_delete_its_stack() {
    let stack = TestStack::new("lab-failures-delete").await;
    let template = json!({ "Resources": broken() });
    let request = stack.request("release", ChangeSetType::Create, &template);
    let ready = stack
        .ready(request.on_stack_failure(OnStackFailure::Delete))
        .await;
    stack.execute(&ready).await;
    let id = ready.stack_id.unwrap();
    stack
        .until(&id, |status| *status == StackStatus::DeleteComplete)
        .await;
}

#[tokio::test]
async fn a_failed_update_restores_the_former_properties() {
    let table = |unit: u32| json!({ "Type": "AWS::SQS::Queue", "Properties": { "VisibilityTimeout": unit } });
    let stack = TestStack::created(
        "lab-failures-update",
        json!({ "A": parameter("a"), "Q": table(30), "B": after("A", failing(&[], 1)) }),
    )
    .await;
    let resources = json!({
        "A": parameter("z"),
        "Q": table(60),
        "C": parameter("new"),
        "B": after("A", failing(&["Update"], 2)),
    });
    assert_eq!(
        stack.update(resources).await,
        StackStatus::UpdateRollbackComplete
    );
    assert_eq!(stack.value("A").await, "a");
    let url = stack.physical_id("Q").await;
    let request = json!({ "QueueUrl": url, "AttributeNames": ["VisibilityTimeout"] });
    let queue = super::call(stack.cloud, "sqs", "AmazonSQS.GetQueueAttributes", &request).await;
    assert_eq!(queue["Attributes"]["VisibilityTimeout"], "30");
    let reason = stack
        .reason(&stack.name, "UPDATE_ROLLBACK_IN_PROGRESS")
        .await;
    assert_eq!(
        reason.trim(),
        "The following resource(s) failed to update: [B]."
    );
    let template = stack
        .root()
        .get_template()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    let template: Value = serde_json::from_str(&template.template_body.unwrap()).unwrap();
    assert_eq!(template["Resources"]["A"], parameter("a"));
    assert_eq!(template["Resources"]["C"], Value::Null);
}

#[tokio::test]
async fn a_rollback_of_a_creation_can_fail() {
    let stack = TestStack::new("lab-failures-rollback").await;
    let resources =
        json!({ "A": failing(&["Rollback"], 1), "B": after("A", failing(&["Create"], 1)) });
    let status = stack.deploy(ChangeSetType::Create, resources).await;
    assert_eq!(status, StackStatus::RollbackFailed);
    let reason = stack.describe().await.stack_status_reason.unwrap();
    assert_eq!(
        reason.trim(),
        "The following resource(s) failed to delete: [A]."
    );
    let id = stack.id().await;
    stack
        .client
        .delete_stack()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    stack
        .until(&id, |status| *status == StackStatus::DeleteComplete)
        .await;
}

#[tokio::test]
async fn a_failure_of_this_type_is_repaired_by_the_test() {
    let stack = TestStack::created(
        "lab-failures-repair",
        json!({ "A": failing(&["Update"], 1) }),
    )
    .await;
    let status = stack.update(json!({ "A": failing(&["Update"], 2) })).await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    stack.cloud.repair_resource(&stack.name, "A").await.unwrap();
    let status = stack.update(json!({ "A": failing(&["Update"], 3) })).await;
    assert_eq!(status, StackStatus::UpdateComplete);
}
