//! Executions: one operation at a time, in steps that a test can hold, with an event for each.

use std::time::Duration;

use aws_sdk_cloudformation::types::{
    ChangeSetType, ExecutionStatus, ResourceStatus, RollbackConfiguration, RollbackTrigger,
    StackStatus,
};
use aws_sdk_cloudwatch::types::{ComparisonOperator, StateValue, Statistic};
use serde_json::json;
use sluice_lab::aws::{During, StackPace};

use super::{
    super::{REGION, refusal, refusal_code},
    TestStack, after, failing, parameter,
};

#[tokio::test]
async fn a_creation_has_an_event_for_each_step() {
    let resources = json!({ "A": parameter("a"), "B": after("A", parameter("b")) });
    let stack = TestStack::created("lab-execution-events", resources).await;
    let expected = [
        "stack REVIEW_IN_PROGRESS",
        "stack CREATE_IN_PROGRESS",
        "A CREATE_IN_PROGRESS",
        "A CREATE_IN_PROGRESS",
        "A CREATE_COMPLETE",
        "B CREATE_IN_PROGRESS",
        "B CREATE_IN_PROGRESS",
        "B CREATE_COMPLETE",
        "stack CREATE_COMPLETE",
    ];
    assert_eq!(stack.last_events(20).await, expected);
    assert_eq!(
        stack.reason("A", "CREATE_IN_PROGRESS").await,
        "Resource creation Initiated"
    );
    let times: Vec<_> = stack
        .events()
        .await
        .iter()
        .map(|event| event.timestamp.unwrap())
        .collect();
    assert!(times.is_sorted());
    // A change set that creates a stack counts as an update of it.
    assert!(stack.describe().await.last_updated_time.is_some());
    assert_eq!(stack.value("B").await, "b");
}

#[tokio::test]
async fn a_held_resource_keeps_the_stack_in_progress_until_released() {
    let stack = TestStack::created("lab-execution-hold", json!({ "A": parameter("a") })).await;
    let hold = stack
        .cloud
        .hold_stack(&stack.name, "A", During::Update)
        .await
        .unwrap();
    let resources = json!({ "A": parameter("z") });
    let change_set = stack.propose(ChangeSetType::Update, resources).await;
    stack.execute(&change_set).await;
    stack.until_held(&hold).await;
    assert_eq!(stack.status().await, StackStatus::UpdateInProgress);
    let resource = stack.resource("A").await;
    assert_eq!(
        resource.resource_status,
        Some(ResourceStatus::UpdateInProgress)
    );
    let id = change_set.change_set_id.as_deref().unwrap();
    let executing = stack.change_set(id).await.execution_status;
    assert_eq!(executing, Some(ExecutionStatus::ExecuteInProgress));
    assert_eq!(stack.value("A").await, "a");

    hold.release().await.unwrap();
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
    assert_eq!(stack.value("A").await, "z");
}

#[tokio::test]
async fn a_stack_has_one_operation_at_a_time() {
    let stack = TestStack::created("lab-execution-one", json!({ "A": parameter("a") })).await;
    let hold = stack
        .cloud
        .hold_stack(&stack.name, "A", During::Update)
        .await
        .unwrap();
    stack
        .begin(ChangeSetType::Update, json!({ "A": parameter("b") }))
        .await;
    stack.until_held(&hold).await;
    let id = stack.id().await;
    let template = json!({ "Resources": { "A": parameter("c") } });
    let request = stack.request("other", ChangeSetType::Update, &template);
    let message = format!("Stack:{id} is in UPDATE_IN_PROGRESS state and can not be updated.");
    assert_eq!(
        refusal(request.send().await),
        ("ValidationError".to_owned(), message)
    );
    let delete = stack.client.delete_stack().stack_name(&stack.name);
    let message = format!("Stack [{id}] cannot be deleted while in status UPDATE_IN_PROGRESS");
    assert_eq!(
        refusal(delete.send().await),
        ("ValidationError".to_owned(), message)
    );
}

#[tokio::test]
async fn an_update_cleans_up_after_it_has_succeeded() {
    let resources = json!({ "A": parameter("a"), "B": parameter("b") });
    let stack = TestStack::created("lab-execution-cleanup", resources).await;
    let hold = stack
        .cloud
        .hold_stack(&stack.name, &stack.name, During::Cleanup)
        .await
        .unwrap();
    stack
        .begin(ChangeSetType::Update, json!({ "A": parameter("z") }))
        .await;
    stack.until_held(&hold).await;
    assert_eq!(
        stack.status().await,
        StackStatus::UpdateCompleteCleanupInProgress
    );
    assert_eq!(stack.value("B").await, "b");
    hold.release().await.unwrap();
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
    let expected = [
        "stack UPDATE_IN_PROGRESS",
        "A UPDATE_IN_PROGRESS",
        "A UPDATE_COMPLETE",
        "stack UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "B DELETE_IN_PROGRESS",
        "B DELETE_COMPLETE",
        "stack UPDATE_COMPLETE",
    ];
    assert_eq!(stack.last_events(7).await, expected);
}

#[tokio::test]
async fn a_cleanup_that_fails_does_not_fail_the_update() {
    let resources = json!({ "A": parameter("a"), "B": failing(&["Delete"], 1) });
    let stack = TestStack::created("lab-execution-leftover", resources).await;
    let status = stack.update(json!({ "A": parameter("z") })).await;
    assert_eq!(status, StackStatus::UpdateComplete);
    assert_eq!(stack.reason("B", "DELETE_FAILED").await, "out of order");
}

#[tokio::test]
async fn a_repeated_execution_with_its_token_changes_nothing() {
    let stack = TestStack::created("lab-execution-token", json!({ "A": parameter("a") })).await;
    let change_set = stack
        .propose(ChangeSetType::Update, json!({ "A": parameter("b") }))
        .await;
    let id = change_set.change_set_id.as_deref().unwrap();
    let execute = |token: &str| {
        let request = stack.client.execute_change_set().stack_name(&stack.name);
        request
            .change_set_name(id)
            .client_request_token(token)
            .send()
    };
    execute("one").await.expect("the execution begins");
    execute("one").await.expect("the same execution");
    assert_eq!(refusal_code(execute("two").await), "InvalidChangeSetStatus");
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
    let delete = stack.client.delete_stack().stack_name(&stack.name);
    let refused = refusal_code(delete.client_request_token("one").send().await);
    assert_eq!(refused, "TokenAlreadyExistsException");
    let events = stack.events().await;
    let of_update = events.iter().filter(|event| {
        event
            .resource_status
            .as_ref()
            .unwrap()
            .as_str()
            .starts_with("UPDATE")
    });
    assert!(of_update.clone().count() > 0);
    assert!(
        of_update
            .into_iter()
            .all(|event| event.client_request_token.as_deref() == Some("one"))
    );
}

#[tokio::test]
async fn a_cancelled_update_rolls_back() {
    let resources = json!({ "A": parameter("a"), "B": after("A", parameter("b")) });
    let stack = TestStack::created("lab-execution-cancel", resources).await;
    let cancel = || {
        stack
            .client
            .cancel_update_stack()
            .stack_name(&stack.name)
            .send()
    };
    let message = "CancelUpdateStack cannot be called from current stack status";
    let expected = ("ValidationError".to_owned(), message.to_owned());
    assert_eq!(refusal(cancel().await), expected);

    let hold = stack
        .cloud
        .hold_stack(&stack.name, "B", During::Update)
        .await
        .unwrap();
    let resources = json!({ "A": parameter("y"), "B": after("A", parameter("z")) });
    stack.begin(ChangeSetType::Update, resources).await;
    stack.until_held(&hold).await;
    cancel().await.expect("the update is cancelled");
    assert_eq!(stack.settled().await, StackStatus::UpdateRollbackComplete);
    assert_eq!(
        stack.reason("B", "UPDATE_FAILED").await,
        "Resource update cancelled"
    );
    let reason = stack
        .reason(&stack.name, "UPDATE_ROLLBACK_IN_PROGRESS")
        .await;
    assert_eq!(reason, "User Initiated");
    assert_eq!(
        (stack.value("A").await, stack.value("B").await),
        ("a".to_owned(), "b".to_owned())
    );
}

#[tokio::test]
async fn a_pace_slows_each_step() {
    let stack = TestStack::created("lab-execution-pace", json!({ "A": parameter("a") })).await;
    let pace = StackPace {
        step: Some(Duration::from_mins(10)),
        ..StackPace::default()
    };
    let change_set = stack
        .propose(ChangeSetType::Update, json!({ "A": parameter("b") }))
        .await;
    stack
        .cloud
        .set_stack_pace(&stack.name, &pace)
        .await
        .unwrap();
    stack.execute(&change_set).await;
    assert_eq!(stack.status().await, StackStatus::UpdateInProgress);
    assert_eq!(stack.last_events(1).await, ["stack UPDATE_IN_PROGRESS"]);
}

#[tokio::test]
async fn an_alarm_during_the_monitoring_time_rolls_the_update_back() {
    let stack = TestStack::created("lab-execution-alarm", json!({ "A": parameter("a") })).await;
    let root = stack.cloud.sdk_config(&stack.cloud.dev().id, REGION);
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&root);
    let name = "lab-execution-alarm";
    let alarm = cloudwatch
        .put_metric_alarm()
        .alarm_name(name)
        .namespace("Lab")
        .metric_name("Errors");
    let alarm = alarm
        .period(60)
        .evaluation_periods(1)
        .threshold(1.0)
        .statistic(Statistic::Sum);
    let alarm = alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold);
    alarm.send().await.expect("the alarm");
    let arn = format!(
        "arn:aws:cloudwatch:{REGION}:{}:alarm:{name}",
        stack.cloud.dev().id
    );
    let trigger = RollbackTrigger::builder()
        .arn(arn)
        .r#type("AWS::CloudWatch::Alarm")
        .build();
    let monitored = RollbackConfiguration::builder()
        .rollback_triggers(trigger)
        .monitoring_time_in_minutes(10);
    let template = json!({ "Resources": { "A": parameter("b") } });
    let request = stack.request("monitored", ChangeSetType::Update, &template);
    let change_set = stack
        .ready(request.rollback_configuration(monitored.build()))
        .await;

    let hold = stack
        .cloud
        .hold_stack(&stack.name, &stack.name, During::Monitor)
        .await
        .unwrap();
    stack.execute(&change_set).await;
    stack.until_held(&hold).await;
    assert_eq!(stack.value("A").await, "b");
    assert_eq!(stack.status().await, StackStatus::UpdateInProgress);
    let state = cloudwatch
        .set_alarm_state()
        .alarm_name(name)
        .state_value(StateValue::Alarm);
    state
        .state_reason("a test")
        .send()
        .await
        .expect("the alarm's state");
    hold.release().await.unwrap();
    assert_eq!(stack.settled().await, StackStatus::UpdateRollbackComplete);
    assert_eq!(stack.value("A").await, "a");
}

#[tokio::test]
async fn events_and_resources_come_in_pages() {
    let resources = json!({ "A": parameter("a"), "B": parameter("b"), "C": parameter("c") });
    let stack = TestStack::created("lab-execution-pages", resources).await;
    let pace = StackPace {
        page_size: Some(2),
        ..StackPace::default()
    };
    stack
        .cloud
        .set_stack_pace(&stack.name, &pace)
        .await
        .unwrap();
    let first = stack
        .client
        .describe_stack_events()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    assert_eq!(first.stack_events().len(), 2);
    let newest = first.stack_events()[0].resource_status.clone();
    assert_eq!(newest, Some(ResourceStatus::CreateComplete));
    assert_eq!(stack.events().await.len(), 12);
    let resources: Vec<_> = stack
        .client
        .list_stack_resources()
        .stack_name(&stack.name)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<_, _>>()
        .await
        .unwrap();
    assert_eq!(resources.len(), 3);
}
