//! Stack policies.

use aws_sdk_cloudformation::types::StackStatus;
use serde_json::{Value, json};

use super::{super::refusal, TestStack, parameter};

impl TestStack {
    async fn protect(&self, statements: Value) {
        let policy = json!({ "Statement": statements }).to_string();
        let request = self.root().set_stack_policy().stack_name(&self.name);
        request
            .stack_policy_body(policy)
            .send()
            .await
            .expect("the policy is set");
    }
}

fn allow_all() -> Value {
    json!({ "Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*" })
}

#[tokio::test]
async fn a_stack_policy_refuses_updates_of_a_resource() {
    let resources = |a: &str, b: &str| json!({ "A": parameter(a), "B": parameter(b) });
    let stack = TestStack::created("lab-policies-deny", resources("a", "b")).await;
    let deny = json!({
        "Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "LogicalResourceId/A",
    });
    stack.protect(json!([deny, allow_all()])).await;
    assert_eq!(
        stack.update(resources("a", "z")).await,
        StackStatus::UpdateComplete
    );
    assert_eq!(
        stack.update(resources("z", "z")).await,
        StackStatus::UpdateRollbackComplete
    );
    let message = "Action denied by stack policy: Statement [#1] does not allow [Update:Modify] for resource \
                   [LogicalResourceId/A];";
    assert_eq!(stack.reason("A", "UPDATE_FAILED").await, message);
    let status = stack.update(json!({ "B": parameter("z") })).await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    assert_eq!(stack.value("A").await, "a");
}

#[tokio::test]
async fn a_stack_policy_can_refuse_replacements_only() {
    let queue = |name: &str, seconds: u32| {
        let properties = json!({ "QueueName": name, "VisibilityTimeout": seconds });
        json!({ "Q": { "Type": "AWS::SQS::Queue", "Properties": properties } })
    };
    let stack = TestStack::created("lab-policies-replace", queue("lab-policies-one", 30)).await;
    let deny = json!({
        "Effect": "Deny",
        "Action": ["Update:Replace", "Update:Delete"],
        "Principal": "*",
        "Resource": "*",
        "Condition": { "StringEquals": { "ResourceType": ["AWS::SQS::Queue"] } },
    });
    stack.protect(json!([deny, allow_all()])).await;
    let status = stack.update(queue("lab-policies-one", 60)).await;
    assert_eq!(status, StackStatus::UpdateComplete);
    let status = stack.update(queue("lab-policies-two", 60)).await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    let reason = stack.reason("Q", "UPDATE_FAILED").await;
    assert!(reason.contains("[Update:Replace]"), "{reason}");
}

#[tokio::test]
async fn what_a_stack_policy_does_not_allow_is_refused() {
    let stack = TestStack::created("lab-policies-implicit", json!({ "A": parameter("a") })).await;
    let other = json!({
        "Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "LogicalResourceId/Other",
    });
    stack.protect(json!([other])).await;
    let status = stack.update(json!({ "A": parameter("z") })).await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    let get = stack
        .client
        .get_stack_policy()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    assert!(
        get.stack_policy_body
            .unwrap()
            .contains("LogicalResourceId/Other")
    );
    let set = stack
        .root()
        .set_stack_policy()
        .stack_name(&stack.name)
        .stack_policy_body("{}");
    let message = "Error validating stack policy: Invalid stack policy".to_owned();
    assert_eq!(
        refusal(set.send().await),
        ("ValidationError".to_owned(), message)
    );
}
