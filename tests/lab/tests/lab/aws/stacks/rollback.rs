//! `ContinueUpdateRollback` and `RollbackStack`.

use aws_sdk_cloudformation::types::{ChangeSetType, ResourceStatus, StackStatus};
use serde_json::{Value, json};

use super::{
    super::{refusal, refusal_code},
    TestStack, after, failing, parameter,
};

fn resources(stuck: &[&str], failed: &[&str], version: u32) -> Value {
    json!({
        "A": parameter(format!("v{version}")),
        "Stuck": after("A", failing(stuck, version)),
        "Last": after("Stuck", failing(failed, version)),
    })
}

/// A stack whose update failed at `Last`, and whose rollback failed at `Stuck`.
async fn stuck(name: &str) -> TestStack {
    let stack = TestStack::created(name, resources(&[], &[], 1)).await;
    let status = stack.update(resources(&["Rollback"], &["Update"], 2)).await;
    assert_eq!(status, StackStatus::UpdateRollbackFailed);
    stack
}

#[tokio::test]
async fn a_rollback_that_fails_waits_for_the_user() {
    let stack = stuck("lab-rollback-stuck").await;
    let reason = stack.describe().await.stack_status_reason.unwrap();
    assert_eq!(
        reason.trim(),
        "The following resource(s) failed to update: [Stuck]."
    );
    let resource = stack.resource("Stuck").await;
    assert_eq!(resource.resource_status, Some(ResourceStatus::UpdateFailed));
    assert_eq!(
        resource.resource_status_reason.as_deref(),
        Some("out of order")
    );
    assert_eq!(stack.value("A").await, "v1");
    let template = json!({ "Resources": resources(&[], &[], 3) });
    let update = stack.request("again", ChangeSetType::Update, &template);
    let (_, message) = refusal(update.send().await);
    assert!(
        message.contains("is in UPDATE_ROLLBACK_FAILED state"),
        "{message}"
    );
}

#[tokio::test]
async fn a_rollback_continues_after_a_repair() {
    let stack = stuck("lab-rollback-repair").await;
    let resume = || {
        stack
            .client
            .continue_update_rollback()
            .stack_name(&stack.name)
            .send()
    };
    resume().await.expect("the rollback continues");
    assert_eq!(stack.settled().await, StackStatus::UpdateRollbackFailed);
    stack
        .cloud
        .repair_resource(&stack.name, "Stuck")
        .await
        .unwrap();
    resume().await.expect("the rollback continues");
    assert_eq!(stack.settled().await, StackStatus::UpdateRollbackComplete);
    assert_eq!(refusal_code(resume().await), "ValidationError");
    assert_eq!(
        stack.update(resources(&[], &[], 3)).await,
        StackStatus::UpdateComplete
    );
}

#[tokio::test]
async fn a_rollback_can_skip_a_failed_resource_only() {
    let stack = stuck("lab-rollback-skip").await;
    let resume = |skipped: &str| {
        let request = stack
            .client
            .continue_update_rollback()
            .stack_name(&stack.name);
        request.resources_to_skip(skipped).send()
    };
    assert_eq!(refusal_code(resume("A").await), "ValidationError");
    resume("Stuck").await.expect("the rollback continues");
    assert_eq!(stack.settled().await, StackStatus::UpdateRollbackComplete);
    let resource = stack.resource("Stuck").await;
    assert_eq!(
        resource.resource_status,
        Some(ResourceStatus::UpdateComplete)
    );
}

/// A stack whose update failed and was not rolled back.
async fn failed(name: &str) -> TestStack {
    let stack = TestStack::created(name, resources(&[], &[], 1)).await;
    let update = resources(&[], &["Update"], 2);
    let change_set = stack.propose(ChangeSetType::Update, update).await;
    let id = change_set.change_set_id.as_deref().unwrap();
    let request = stack.client.execute_change_set().stack_name(&stack.name);
    let request = request.change_set_name(id).disable_rollback(true);
    request.send().await.expect("the execution begins");
    assert_eq!(stack.settled().await, StackStatus::UpdateFailed);
    assert_eq!(stack.value("A").await, "v2");
    stack
}

#[tokio::test]
async fn a_failed_update_is_rolled_back_on_request() {
    let stack = failed("lab-rollback-request").await;
    let rollback = || stack.client.rollback_stack().stack_name(&stack.name).send();
    rollback().await.expect("the rollback begins");
    assert_eq!(stack.settled().await, StackStatus::UpdateRollbackComplete);
    assert_eq!(stack.value("A").await, "v1");
    assert_eq!(refusal_code(rollback().await), "ValidationError");
}

#[tokio::test]
async fn a_failed_update_continues_with_another_update() {
    let stack = failed("lab-rollback-forward").await;
    assert_eq!(
        stack.update(resources(&[], &[], 3)).await,
        StackStatus::UpdateComplete
    );
    assert_eq!(stack.value("A").await, "v3");
}

#[tokio::test]
async fn an_update_after_a_failed_one_rolls_back_to_the_last_success() {
    let stack = failed("lab-rollback-twice").await;
    let status = stack.update(resources(&[], &["Update"], 3)).await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    assert_eq!(stack.value("A").await, "v1");
}

#[tokio::test]
async fn a_failed_creation_is_rolled_back_on_request() {
    let stack = TestStack::new("lab-rollback-creation").await;
    let resources = json!({ "A": parameter("a"), "B": after("A", failing(&["Create"], 1)) });
    let change_set = stack.propose(ChangeSetType::Create, resources).await;
    let id = change_set.change_set_id.as_deref().unwrap();
    let request = stack.client.execute_change_set().stack_name(&stack.name);
    let request = request.change_set_name(id).disable_rollback(true);
    request.send().await.expect("the execution begins");
    assert_eq!(stack.settled().await, StackStatus::CreateFailed);
    let rollback = stack.client.rollback_stack().stack_name(&stack.name);
    rollback.send().await.expect("the rollback begins");
    assert_eq!(stack.settled().await, StackStatus::RollbackComplete);
}
