//! Who may act on stacks, and with whose rights a stack's operation acts on its resources.

use aws_sdk_cloudformation::{
    Client,
    types::{ChangeSetType, StackStatus, Tag},
};
use serde_json::{Value, json};
use sluice_lab::aws::Cloud;

use super::{
    super::{assumed, refusal, refusal_code},
    TestStack, parameter,
};

/// Dev's deployer with a session policy.
async fn limited(cloud: &Cloud, statements: Value) -> Client {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    Client::new(&assumed(cloud, cloud.dev(), Some(policy.to_string())).await)
}

fn denied(action: &str, resource: &str, why: &str) -> (String, String) {
    let who = "arn:aws:sts::222222222222:assumed-role/sluice-deployer/test";
    let message =
        format!("User: {who} is not authorized to perform: {action} on resource: {resource} {why}");
    ("AccessDenied".to_owned(), message)
}

#[tokio::test]
async fn the_deployer_is_limited_to_stacks_of_its_prefix() {
    let stack = TestStack::new("other-identity").await;
    let template = json!({ "Resources": { "A": parameter("a") } });
    let refused = refusal(
        stack
            .request("release", ChangeSetType::Create, &template)
            .send()
            .await,
    );
    let arn = "arn:aws:cloudformation:eu-west-1:222222222222:stack/other-identity/*";
    let why = "because no identity-based policy allows the cloudformation:CreateChangeSet action";
    assert_eq!(refused, denied("cloudformation:CreateChangeSet", arn, why));
    assert_eq!(
        refusal_code(stack.client.describe_stacks().send().await),
        "AccessDenied"
    );
}

#[tokio::test]
async fn the_service_role_must_be_passed() {
    let stack = TestStack::new("lab-identity-pass").await;
    let statements = json!([{ "Effect": "Allow", "Action": "cloudformation:*", "Resource": "*" }]);
    let client = limited(stack.cloud, statements).await;
    let template = json!({ "Resources": { "A": parameter("a") } });
    let request = client
        .create_change_set()
        .stack_name(&stack.name)
        .change_set_name("release");
    let request = request
        .change_set_type(ChangeSetType::Create)
        .template_body(template.to_string());
    let role = &stack.cloud.dev().stack_role_arn;
    let refused = refusal_code(request.clone().role_arn(role).send().await);
    assert_eq!(refused, "AccessDenied");
    let id = request.send().await.expect("without a role").id.unwrap();
    let ready = stack.until_ready(&id).await;

    // Without a role, the operation has the rights of the session that began it.
    let execute = client
        .execute_change_set()
        .change_set_name(&id)
        .stack_name(&stack.name);
    execute.send().await.expect("the execution begins");
    assert_eq!(stack.settled().await, StackStatus::RollbackComplete);
    let reason = stack.reason("A", "CREATE_FAILED").await;
    let message = "is not authorized to perform: ssm:PutParameter on resource: \
                   arn:aws:ssm:eu-west-1:222222222222:parameter/lab-identity-pass/A";
    assert!(reason.contains(message), "{reason}");
    assert!(ready.stack_id.is_some());
}

#[tokio::test]
async fn the_service_role_must_trust_cloudformation() {
    let stack = TestStack::new("lab-identity-trust").await;
    let template = json!({ "Resources": { "A": parameter("a") } });
    let role = &stack.cloud.dev().execution_role_arn;
    let request = stack
        .root()
        .create_change_set()
        .stack_name(&stack.name)
        .change_set_name("release");
    let request = request
        .change_set_type(ChangeSetType::Create)
        .template_body(template.to_string());
    let message = format!("Role {role} is invalid or cannot be assumed");
    let refused = refusal(request.role_arn(role).send().await);
    assert_eq!(refused, ("ValidationError".to_owned(), message));
}

#[tokio::test]
async fn the_service_role_stays_with_the_stack_and_limits_it() {
    let stack = TestStack::created("lab-identity-role", json!({ "A": parameter("a") })).await;
    let role = stack.describe().await.role_arn;
    assert_eq!(role.as_ref(), Some(&stack.cloud.dev().stack_role_arn));

    let topic = json!({ "Type": "AWS::SNS::Topic", "Properties": { "TopicName": "foreign" } });
    let template = json!({ "Resources": { "A": parameter("b"), "Topic": topic } });
    let request = stack
        .client
        .create_change_set()
        .stack_name(&stack.name)
        .change_set_name("foreign");
    let change_set = stack
        .ready(request.template_body(template.to_string()))
        .await;
    stack.execute(&change_set).await;
    assert_eq!(stack.settled().await, StackStatus::UpdateRollbackComplete);
    let reason = stack.reason("Topic", "CREATE_FAILED").await;
    let message = "User: arn:aws:sts::222222222222:assumed-role/cfn-exec/AWSCloudFormation is not authorized to \
                   perform: sns:CreateTopic on resource: arn:aws:sns:eu-west-1:222222222222:foreign because no \
                   identity-based policy allows the sns:CreateTopic action";
    assert!(reason.contains(message), "{reason}");
    assert!(
        reason.contains("HandlerErrorCode: AccessDenied"),
        "{reason}"
    );
    assert_eq!(stack.value("A").await, "a");
}

#[tokio::test]
async fn a_session_policy_can_deny_the_execution() {
    let stack = TestStack::created("lab-identity-deny", json!({ "A": parameter("a") })).await;
    let change_set = stack
        .propose(ChangeSetType::Update, json!({ "A": parameter("b") }))
        .await;
    let statements = json!([
        { "Effect": "Allow", "Action": "cloudformation:*", "Resource": "*" },
        { "Effect": "Deny", "Action": "cloudformation:ExecuteChangeSet", "Resource": "*" },
    ]);
    let client = limited(stack.cloud, statements).await;
    let execute = client
        .execute_change_set()
        .change_set_name(change_set.change_set_id.unwrap());
    let why = "with an explicit deny in a session policy";
    let expected = denied("cloudformation:ExecuteChangeSet", &stack.id().await, why);
    // The ARN of the change set alone names the stack as well.
    assert_eq!(refusal(execute.send().await), expected);
}

#[tokio::test]
async fn conditions_name_change_sets_roles_and_tags() {
    let stack = TestStack::created("lab-identity-conditions", json!({ "A": parameter("a") })).await;
    let allow = |condition: Value| {
        json!([{
            "Effect": "Allow", "Action": "cloudformation:*", "Resource": "*", "Condition": condition,
        }])
    };
    let role = &stack.cloud.dev().stack_role_arn;
    let template = json!({ "Resources": { "A": parameter("b") } });
    let request = |client: &Client, name: &str, team: &str| {
        let tag = Tag::builder().key("team").value(team).build();
        let request = client
            .create_change_set()
            .stack_name(&stack.name)
            .change_set_name(name);
        request.template_body(template.to_string()).tags(tag)
    };
    for (condition, allowed, refused) in [
        (
            json!({ "StringLike": { "cloudformation:ChangeSetName": "good-*" } }),
            "good-name",
            "bad-name",
        ),
        (
            json!({ "StringEquals": { "aws:RequestTag/team": "shop" } }),
            "shop",
            "bank",
        ),
    ] {
        let client = limited(stack.cloud, allow(condition)).await;
        let code = refusal_code(request(&client, refused, refused).send().await);
        assert_eq!(code, "AccessDenied");
        request(&client, allowed, allowed)
            .send()
            .await
            .expect("allowed");
    }
    let condition = json!({ "StringEquals": { "cloudformation:RoleArn": role } });
    let client = limited(stack.cloud, allow(condition)).await;
    let code = refusal_code(request(&client, "role", "shop").send().await);
    assert_eq!(code, "AccessDenied");
}

#[tokio::test]
async fn a_template_in_s3_needs_the_callers_permission() {
    let stack = TestStack::new("lab-identity-url").await;
    let bucket = &stack.cloud.dev().buckets["eu-west-1"];
    let config = super::deployer(stack.cloud, stack.cloud.dev()).await;
    let body = json!({ "Resources": { "A": parameter("from S3") } }).to_string();
    let put = aws_sdk_s3::Client::new(&config)
        .put_object()
        .bucket(bucket)
        .key("lab-identity-url.json");
    put.body(body.into_bytes().into())
        .send()
        .await
        .expect("the template");
    let from = |client: &Client, url: String| {
        let request = client
            .create_change_set()
            .stack_name(&stack.name)
            .change_set_name("release");
        let request = request
            .change_set_type(ChangeSetType::Create)
            .template_url(url);
        request.role_arn(&stack.cloud.dev().stack_role_arn)
    };
    let url = |key: &str| format!("https://{bucket}.s3.eu-west-1.amazonaws.com/{key}");
    let missing = refusal(from(&stack.client, url("lab-none.json")).send().await);
    assert!(
        missing
            .1
            .starts_with("S3 error: The specified key does not exist."),
        "{missing:?}"
    );
    let elsewhere = from(
        &stack.client,
        "https://example.com/template.json".to_owned(),
    );
    assert_eq!(
        refusal(elsewhere.send().await).1,
        "TemplateURL must be a supported URL."
    );
    let statements = json!([{
        "Effect": "Allow", "Action": ["cloudformation:*", "iam:PassRole"], "Resource": "*",
    }]);
    let client = limited(stack.cloud, statements).await;
    let denied = refusal(from(&client, url("lab-identity-url.json")).send().await);
    assert_eq!(denied.0, "ValidationError");
    assert!(
        denied.1.starts_with("S3 error: Access Denied"),
        "{denied:?}"
    );

    let change_set = stack
        .ready(from(&stack.client, url("lab-identity-url.json")))
        .await;
    stack.execute(&change_set).await;
    assert_eq!(stack.settled().await, StackStatus::CreateComplete);
    assert_eq!(stack.value("A").await, "from S3");
}

#[tokio::test]
async fn stacks_of_accounts_and_regions_are_separate() {
    let stack = TestStack::created("lab-identity-separate", json!({ "A": parameter("a") })).await;
    for (account, region) in [
        (stack.cloud.prod(), "eu-west-1"),
        (stack.cloud.dev(), "us-east-1"),
    ] {
        let other = Client::new(&stack.cloud.sdk_config(&account.id, region));
        let describe = other.describe_stacks().stack_name(&stack.name);
        assert_eq!(refusal_code(describe.send().await), "ValidationError");
    }
}
