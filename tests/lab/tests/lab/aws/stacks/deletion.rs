//! Deletions, and what they leave.

use aws_sdk_cloudformation::types::{ChangeSetType, StackStatus};
use serde_json::json;
use sluice_lab::aws::During;

use super::{
    super::{refusal, refusal_code},
    TestStack, after, failing, parameter,
};

impl TestStack {
    /// Deletes the stack and waits until it is gone; returns its ARN.
    async fn delete(&self) -> String {
        let id = self.id().await;
        self.client
            .delete_stack()
            .stack_name(&self.name)
            .send()
            .await
            .expect("the deletion begins");
        self.until(&id, |status| *status == StackStatus::DeleteComplete)
            .await;
        id
    }
}

#[tokio::test]
async fn a_deleted_stack_is_found_by_its_arn_only() {
    let resources = json!({ "A": parameter("a"), "B": after("A", parameter("b")) });
    let stack = TestStack::created("lab-deletion-arn", resources).await;
    let id = stack.delete().await;
    let describe = stack.client.describe_stacks().stack_name(&stack.name);
    let message = "Stack with id lab-deletion-arn does not exist".to_owned();
    assert_eq!(
        refusal(describe.send().await),
        ("ValidationError".to_owned(), message)
    );
    assert!(stack.describe_as(&id).await.deletion_time.is_some());

    let status = stack
        .deploy(ChangeSetType::Create, json!({ "A": parameter("again") }))
        .await;
    assert_eq!(status, StackStatus::CreateComplete);
    assert_ne!(stack.id().await, id);
    let old = stack.describe_as(&id).await.stack_status;
    assert_eq!(old, Some(StackStatus::DeleteComplete));
    let events = stack
        .client
        .describe_stack_events()
        .stack_name(&id)
        .send()
        .await
        .unwrap();
    let newest = events.stack_events()[0].resource_status.as_ref().unwrap();
    assert_eq!(newest.as_str(), "DELETE_COMPLETE");
}

#[tokio::test]
async fn deleting_an_unknown_stack_succeeds() {
    let stack = TestStack::new("lab-deletion-unknown").await;
    stack
        .client
        .delete_stack()
        .stack_name(&stack.name)
        .send()
        .await
        .expect("nothing to delete");
}

#[tokio::test]
async fn dependents_are_deleted_first() {
    let resources = json!({ "A": parameter("a"), "B": after("A", parameter("b")) });
    let stack = TestStack::created("lab-deletion-order", resources).await;
    let hold = stack
        .cloud
        .hold_stack(&stack.name, "A", During::Delete)
        .await
        .unwrap();
    stack
        .client
        .delete_stack()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    stack.until_held(&hold).await;
    assert_eq!(stack.status().await, StackStatus::DeleteInProgress);
    let expected = [
        "stack DELETE_IN_PROGRESS",
        "B DELETE_IN_PROGRESS",
        "B DELETE_COMPLETE",
        "A DELETE_IN_PROGRESS",
    ];
    assert_eq!(stack.last_events(4).await, expected);
    // A repeated request finds the deletion in progress.
    stack
        .client
        .delete_stack()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_deletion_can_fail_and_then_retain_resources() {
    let resources = json!({ "A": parameter("a"), "B": after("A", failing(&["Delete"], 1)) });
    let stack = TestStack::created("lab-deletion-retain", resources).await;
    let id = stack.id().await;
    let delete = |retained: Option<&str>| {
        let request = stack.client.delete_stack().stack_name(&stack.name);
        request
            .set_retain_resources(retained.map(|name| vec![name.to_owned()]))
            .send()
    };
    let message = format!(
        "Invalid operation on stack [{id}]. When you delete a stack, specify which resources to retain only when \
         the stack is in the DELETE_FAILED state."
    );
    assert_eq!(
        refusal(delete(Some("B")).await),
        ("ValidationError".to_owned(), message)
    );
    delete(None).await.unwrap();
    assert_eq!(stack.settled().await, StackStatus::DeleteFailed);
    let reason = stack.describe().await.stack_status_reason.unwrap();
    assert_eq!(
        reason.trim(),
        "The following resource(s) failed to delete: [B]."
    );
    assert_eq!(stack.reason("B", "DELETE_FAILED").await, "out of order");
    // B depends on A.
    assert_eq!(stack.value("A").await, "a");
    delete(Some("B")).await.unwrap();
    stack
        .until(&id, |status| *status == StackStatus::DeleteComplete)
        .await;
}

#[tokio::test]
async fn a_failed_deletion_is_repeated_after_a_repair() {
    let stack = TestStack::created(
        "lab-deletion-repair",
        json!({ "A": failing(&["Delete"], 1) }),
    )
    .await;
    stack
        .client
        .delete_stack()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    assert_eq!(stack.settled().await, StackStatus::DeleteFailed);
    stack.cloud.repair_resource(&stack.name, "A").await.unwrap();
    stack.delete().await;
}

#[tokio::test]
async fn termination_protection_refuses_the_deletion() {
    let stack = TestStack::created("lab-deletion-protected", json!({ "A": parameter("a") })).await;
    let protect = |enabled: bool| {
        let request = stack
            .root()
            .update_termination_protection()
            .stack_name(&stack.name);
        request.enable_termination_protection(enabled).send()
    };
    protect(true).await.unwrap();
    let id = stack.id().await;
    let delete = stack.client.delete_stack().stack_name(&stack.name);
    let message = format!("Stack [{id}] cannot be deleted while TerminationProtection is enabled");
    assert_eq!(
        refusal(delete.send().await),
        ("ValidationError".to_owned(), message)
    );
    protect(false).await.unwrap();
    stack.delete().await;
}

#[tokio::test]
async fn a_creation_in_progress_can_be_deleted() {
    let stack = TestStack::new("lab-deletion-early").await;
    let hold = stack
        .cloud
        .hold_stack(&stack.name, "B", During::Create)
        .await
        .unwrap();
    let resources = json!({ "A": parameter("a"), "B": after("A", parameter("b")) });
    stack.begin(ChangeSetType::Create, resources).await;
    stack.until_held(&hold).await;
    stack.delete().await;
}

#[tokio::test]
async fn a_bucket_with_objects_is_not_deleted() {
    let resources = json!({ "Bucket": { "Type": "AWS::S3::Bucket" } });
    let stack = TestStack::created("lab-deletion-bucket", resources).await;
    let bucket = stack.physical_id("Bucket").await;
    let root = stack.cloud.sdk_config(&stack.cloud.dev().id, super::REGION);
    let s3 = aws_sdk_s3::Client::new(&root);
    let put = s3
        .put_object()
        .bucket(&bucket)
        .key("k")
        .body(b"x".to_vec().into());
    put.send().await.expect("an object");
    stack
        .client
        .delete_stack()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    assert_eq!(stack.settled().await, StackStatus::DeleteFailed);
    let reason = stack.reason("Bucket", "DELETE_FAILED").await;
    assert!(
        reason.contains("The bucket you tried to delete is not empty"),
        "{reason}"
    );
    let unknown = stack
        .client
        .delete_change_set()
        .change_set_name("none")
        .stack_name("lab-deletion-none");
    assert_eq!(refusal_code(unknown.send().await), "ValidationError");
}
