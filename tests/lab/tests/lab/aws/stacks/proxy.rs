//! The proxy in front of CloudFormation: the record of calls, and faults.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_cloudformation::{
    Client,
    error::SdkError,
    types::{ChangeSetType, StackStatus},
};
use serde_json::{Value, json};
use sluice_lab::{
    aws::{Action, During, Pattern, Rule},
    hook::{Fault, Point, RequestHook, RequestInfo},
};

use super::{
    super::{refusal, refusal_code},
    TestStack, parameter,
};

fn on(operation: &str, stack: &str) -> Pattern {
    Pattern::operation("cloudformation", operation).about(stack)
}

#[tokio::test]
async fn calls_are_recorded_with_stack_and_change_set() {
    let stack = TestStack::created("lab-proxy-journal", json!({ "A": parameter("a") })).await;
    let id = stack.id().await;
    stack
        .client
        .describe_stacks()
        .stack_name(&id)
        .send()
        .await
        .unwrap();
    let calls = stack.cloud.calls().only(|call| call.resource == stack.name);
    let expected = ["CreateChangeSet", "ExecuteChangeSet", "DescribeStacks"];
    let expected: Vec<String> = expected
        .iter()
        .map(|name| format!("cloudformation:{name}"))
        .collect();
    assert_eq!(calls.names(), expected);
    assert!(
        calls
            .iter()
            .all(|call| call.account.as_deref() == Some("222222222222"))
    );
    let name = calls[1].qualifier.as_deref();
    assert!(name.is_some_and(|name| name.starts_with("release-")));
    let writes: Vec<bool> = calls.iter().map(sluice_lab::aws::Call::is_write).collect();
    assert_eq!(writes, [true, true, false]);
}

#[tokio::test]
async fn throttling_and_other_errors_have_cloudformations_own_codes() {
    let stack = TestStack::new("lab-proxy-throttle").await;
    let throttled = Rule::once(on("DescribeStacks", &stack.name), Action::Throttle);
    let fault = stack.cloud.faults().add(throttled);
    let describe = || {
        stack
            .client
            .describe_stacks()
            .stack_name(&stack.name)
            .send()
    };
    let expected = ("Throttling".to_owned(), "Rate exceeded".to_owned());
    assert_eq!(refusal(describe().await), expected);
    assert_eq!(refusal_code(describe().await), "ValidationError");
    assert_eq!(fault.hits(), 1);
    let limit = Action::respond(400, "LimitExceededException", "Too many stacks.");
    let _fault = stack
        .cloud
        .faults()
        .add(Rule::once(on("DescribeStacks", &stack.name), limit));
    assert_eq!(refusal_code(describe().await), "LimitExceededException");
}

#[tokio::test]
async fn a_change_set_whose_reply_is_lost_exists() {
    let stack = TestStack::new("lab-proxy-lost").await;
    let rule = Rule::once(on("CreateChangeSet", &stack.name), Action::LoseReply);
    let _fault = stack.cloud.faults().add(rule);
    let template = json!({ "Resources": { "A": parameter("a") } });
    let request = || {
        stack
            .request("release", ChangeSetType::Create, &template)
            .client_token("lab-proxy-lost")
    };
    let lost = request().send().await.expect_err("no answer");
    assert!(matches!(lost, SdkError::DispatchFailure(_)), "{lost:?}");
    let ready = stack.ready(request()).await;
    let listed = stack
        .client
        .list_change_sets()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    let summary = listed.summaries.unwrap().remove(0);
    assert_eq!(summary.change_set_id, ready.change_set_id);
}

#[tokio::test]
async fn a_delayed_call_takes_effect_later() {
    let stack = TestStack::created("lab-proxy-delay", json!({ "A": parameter("a") })).await;
    let action = Action::delay(Duration::from_millis(50));
    let fault = stack
        .cloud
        .faults()
        .add(Rule::once(on("DeleteStack", &stack.name), action));
    let id = stack.id().await;
    stack
        .client
        .delete_stack()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    assert_eq!(fault.hits(), 1);
    stack
        .until(&id, |status| *status == StackStatus::DeleteComplete)
        .await;
}

/// Fails the calls of one operation, and records all.
struct Script {
    operation: &'static str,
    fault: Fault,
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl RequestHook for Script {
    async fn at(&self, request_info: &RequestInfo, point: Point) -> Option<Fault> {
        let name = format!("{} {}", request_info.operation, request_info.resource);
        self.seen.lock().unwrap().push(name);
        let hit = request_info.operation == self.operation && point == Point::Before;
        hit.then_some(self.fault)
    }
}

#[tokio::test]
async fn hooks_fail_calls_as_cloudformation_does() {
    let stack = TestStack::created("lab-proxy-hook", json!({ "A": parameter("a") })).await;
    for (fault, code) in [
        (Fault::Throttled, "Throttling"),
        (Fault::Unavailable, "ServiceUnavailable"),
        (Fault::Expired, "ExpiredToken"),
        (Fault::Refused, "LimitExceededException"),
    ] {
        let script = Arc::new(Script {
            operation: "DescribeStacks",
            fault,
            seen: Mutex::default(),
        });
        let endpoint = stack
            .cloud
            .open_hooked_endpoint(script.clone())
            .await
            .unwrap();
        let config = super::deployer(stack.cloud, stack.cloud.dev())
            .await
            .into_builder();
        let client = Client::new(&config.endpoint_url(&endpoint.endpoint).build());
        let describe = client.describe_stacks().stack_name(&stack.name);
        assert_eq!(refusal_code(describe.send().await), code);
        let seen = script.seen.lock().unwrap().clone();
        assert_eq!(seen, ["DescribeStacks lab-proxy-hook"]);
    }
}

#[tokio::test]
async fn the_labs_own_operations_are_hidden_from_callers() {
    let stack = TestStack::new("lab-proxy-own").await;
    let url = stack.cloud.endpoint();
    let scope = format!(
        "{}/20260101/eu-west-1/cloudformation/aws4_request",
        stack.cloud.dev().id
    );
    let answer = reqwest::Client::new()
        .post(url)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body("Action=LabRelease&Id=1");
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("<Code>InvalidAction</Code>")
    );
}

#[tokio::test]
async fn holds_are_set_and_released_over_http() {
    let stack = TestStack::created("lab-proxy-http", json!({ "A": parameter("a") })).await;
    let http = reqwest::Client::new();
    let url = format!("{}/_lab/stacks/holds", stack.cloud.endpoint());
    let hold = json!({ "stack": stack.name, "resource": "A", "during": "update" });
    let created = http.post(&url).body(hold.to_string()).send().await.unwrap();
    let created: Value = created.json().await.unwrap();
    let url = format!("{url}/{}", created["id"].as_str().unwrap());
    stack
        .begin(ChangeSetType::Update, json!({ "A": parameter("b") }))
        .await;
    let read = async || -> Value { http.get(&url).send().await.unwrap().json().await.unwrap() };
    let reached = super::wait_until("the hold is reached", super::PATIENCE, async || {
        (read().await == json!({ "reached": true })).then_some(())
    });
    reached.await.unwrap_or_else(|error| panic!("{error}"));
    let removed = http.delete(&url).send().await.unwrap();
    assert_eq!(
        removed.json::<Value>().await.unwrap(),
        json!({ "removed": true })
    );
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
    let unknown = During::Update;
    assert_eq!(unknown.to_string(), "Update");
}
