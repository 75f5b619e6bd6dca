//! The resources of stacks exist in the other services of the emulator.

use aws_sdk_cloudformation::types::{
    Capability, ChangeSetType, StackDriftDetectionStatus, StackDriftStatus, StackStatus,
};
use aws_sdk_lambda::primitives::Blob;
use serde_json::{Value, json};
use sluice_lab::aws::During;

use super::{
    super::{REGION, package},
    PATIENCE, TestStack, call, parameter, wait_until,
};

impl TestStack {
    /// Puts a package into the artifact bucket; returns its version.
    async fn upload(&self, key: &str, package: Blob) -> String {
        let config = super::deployer(self.cloud, self.cloud.dev()).await;
        let bucket = &self.cloud.dev().buckets[REGION];
        let put = aws_sdk_s3::Client::new(&config)
            .put_object()
            .bucket(bucket)
            .key(key);
        let put = put
            .body(package.into_inner().into())
            .send()
            .await
            .expect("the package");
        put.version_id.expect("a version")
    }

    fn function(&self, key: &str, version: &str) -> Value {
        let dev = self.cloud.dev();
        let code = json!({
            "S3Bucket": dev.buckets[REGION], "S3Key": key, "S3ObjectVersion": version,
        });
        let properties = json!({
            "Runtime": "python3.13",
            "Handler": "app.handler",
            "Role": dev.execution_role_arn,
            "Code": code,
        });
        json!({ "Type": "AWS::Lambda::Function", "Properties": properties })
    }

    fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.cloud.sdk_config(&self.cloud.dev().id, REGION))
    }

    async fn invoked(&self, name: &str) -> String {
        let request = self.lambda().invoke().function_name(name).qualifier("live");
        let payload = request.send().await.expect("invoked").payload.unwrap();
        serde_json::from_slice(payload.as_ref()).expect("a text")
    }
}

/// A function with a published version behind an alias. The version's name changes with the package, as that
/// of the SAM transform does.
fn released(function: &Value, number: u32) -> Value {
    let name = json!({ "Ref": "Function" });
    let version = format!("Version{number}");
    let mut resources = json!({
        "Function": function,
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "Name": "live",
                "FunctionName": name,
                "FunctionVersion": { "Fn::GetAtt": [version, "Version"] },
            },
        },
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": { "Ref": "Alias" },
                "Action": "lambda:InvokeFunction",
                "Principal": "s3.amazonaws.com",
            },
        },
    });
    resources[version] = json!({
        "Type": "AWS::Lambda::Version",
        "Properties": { "FunctionName": name },
        "DeletionPolicy": "Retain",
    });
    resources
}

#[tokio::test]
async fn a_function_moves_to_a_new_version_and_back() {
    let stack = TestStack::new("lab-resources-function").await;
    let key = "lab-resources-function.zip";
    let one = stack.function(key, &stack.upload(key, package("one")).await);
    let two = stack.function(key, &stack.upload(key, package("two")).await);
    let status = stack.deploy(ChangeSetType::Create, released(&one, 1)).await;
    assert_eq!(status, StackStatus::CreateComplete);
    let name = stack.physical_id("Function").await;
    assert_eq!(stack.invoked(&name).await, "one");
    assert_eq!(
        stack.update(released(&two, 2)).await,
        StackStatus::UpdateComplete
    );
    assert_eq!(stack.invoked(&name).await, "two");
    let versions = stack
        .lambda()
        .list_versions_by_function()
        .function_name(&name);
    assert_eq!(versions.send().await.unwrap().versions.unwrap().len(), 3);

    let mut broken = released(&one, 3);
    broken["Broken"] = super::after("Alias", super::failing(&["Create"], 1));
    assert_eq!(
        stack.update(broken).await,
        StackStatus::UpdateRollbackComplete
    );
    assert_eq!(stack.invoked(&name).await, "two");
}

#[tokio::test]
async fn equal_bytes_under_another_key_are_no_new_version() {
    let stack = TestStack::new("lab-resources-equal").await;
    let (one, two) = ("lab-resources-equal-1.zip", "lab-resources-equal-2.zip");
    let same = package("same");
    let first = stack.function(one, &stack.upload(one, same.clone()).await);
    let second = stack.function(two, &stack.upload(two, same).await);
    let status = stack
        .deploy(ChangeSetType::Create, released(&first, 1))
        .await;
    assert_eq!(status, StackStatus::CreateComplete);
    let status = stack.update(released(&second, 2)).await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    let reason = stack.reason("Version2", "CREATE_FAILED").await;
    let message = "A version for this Lambda function exists ( 1 ). Modify the function to create a new version.";
    assert!(reason.contains(message), "{reason}");
}

#[tokio::test]
async fn a_function_without_its_package_or_name_fails() {
    let stack = TestStack::new("lab-resources-package").await;
    let missing = stack.function("lab-resources-none.zip", "none");
    let status = stack
        .deploy(ChangeSetType::Create, json!({ "F": missing }))
        .await;
    assert_eq!(status, StackStatus::RollbackComplete);
    let reason = stack.reason("F", "CREATE_FAILED").await;
    assert!(
        reason.contains("The specified key does not exist."),
        "{reason}"
    );

    let key = "lab-resources-package.zip";
    let mut function = stack.function(key, &stack.upload(key, package("one")).await);
    function["Properties"]["FunctionName"] = json!("lab-resources-taken");
    TestStack::created("lab-resources-first", json!({ "F": function })).await;
    let second = TestStack::new("lab-resources-second").await;
    let status = second
        .deploy(ChangeSetType::Create, json!({ "F": function }))
        .await;
    assert_eq!(status, StackStatus::RollbackComplete);
    let reason = second.reason("F", "CREATE_FAILED").await;
    assert!(
        reason.contains("Function already exist: lab-resources-taken"),
        "{reason}"
    );
    assert!(
        reason.contains("HandlerErrorCode: AlreadyExists"),
        "{reason}"
    );
}

#[tokio::test]
async fn resources_of_every_kind_exist() {
    let stack = TestStack::new("lab-resources-kinds").await;
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "Service": "lambda.amazonaws.com" },
        }],
    });
    let key = json!([{ "AttributeName": "id", "KeyType": "HASH" }]);
    let resources = json!({
        "Bucket": { "Type": "AWS::S3::Bucket" },
        "Queue": { "Type": "AWS::SQS::Queue" },
        "Topic": { "Type": "AWS::SNS::Topic" },
        "Parameter": parameter("p"),
        "Table": { "Type": "AWS::DynamoDB::Table", "Properties": {
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": key,
        } },
        "Role": { "Type": "AWS::IAM::Role", "Properties": { "AssumeRolePolicyDocument": trust } },
        "Logs": { "Type": "AWS::Logs::LogGroup", "Properties": { "RetentionInDays": 7 } },
        "Handle": { "Type": "AWS::CloudFormation::WaitConditionHandle" },
    });
    let template = json!({ "Resources": resources });
    let request = stack.request("release", ChangeSetType::Create, &template);
    let change_set = stack
        .ready(request.capabilities(Capability::CapabilityIam))
        .await;
    stack.execute(&change_set).await;
    assert_eq!(stack.settled().await, StackStatus::CreateComplete);

    let id = async |name: &str| stack.physical_id(name).await;
    for name in ["Bucket", "Table", "Role", "Logs"] {
        assert!(
            id(name).await.starts_with("lab-resources-kinds-"),
            "{}",
            id(name).await
        );
    }
    let root = stack.cloud.sdk_config(&stack.cloud.dev().id, REGION);
    let bucket = aws_sdk_s3::Client::new(&root)
        .head_bucket()
        .bucket(id("Bucket").await);
    bucket.send().await.expect("the bucket exists");
    let cases = [
        (
            "sqs",
            "AmazonSQS.GetQueueAttributes",
            json!({ "QueueUrl": id("Queue").await }),
            "Attributes",
        ),
        (
            "dynamodb",
            "DynamoDB_20120810.DescribeTable",
            json!({ "TableName": id("Table").await }),
            "Table",
        ),
        (
            "logs",
            "Logs_20140328.DescribeLogGroups",
            json!({ "logGroupNamePrefix": id("Logs").await }),
            "logGroups",
        ),
    ];
    for (service, target, request, member) in cases {
        let answer = call(stack.cloud, service, target, &request).await;
        assert!(!answer[member].is_null(), "{target}: {answer}");
    }
    assert_eq!(stack.value("Parameter").await, "p");
    let table = json!({ "TableName": id("Table").await });
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
    let answer = call(
        stack.cloud,
        "dynamodb",
        "DynamoDB_20120810.DescribeTable",
        &table,
    )
    .await;
    assert!(answer["Table"].is_null(), "{answer}");
}

#[tokio::test]
async fn a_replaced_resource_gets_a_new_name_before_the_old_one_goes() {
    let queue = |name: &str| json!({ "Q": { "Type": "AWS::SQS::Queue", "Properties": { "QueueName": name } } });
    let stack = TestStack::created("lab-resources-replace", queue("lab-resources-one")).await;
    assert_eq!(
        stack.update(queue("lab-resources-two")).await,
        StackStatus::UpdateComplete
    );
    let expected = [
        "Q UPDATE_IN_PROGRESS",
        "Q UPDATE_COMPLETE",
        "stack UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "Q DELETE_IN_PROGRESS",
        "Q DELETE_COMPLETE",
        "stack UPDATE_COMPLETE",
    ];
    assert_eq!(stack.last_events(6).await, expected);
    assert!(stack.physical_id("Q").await.ends_with("/lab-resources-two"));
    let reason = stack.reason("Q", "UPDATE_IN_PROGRESS").await;
    let message =
        "Requested update requires the creation of a new physical resource; hence creating one.";
    assert_eq!(reason, message);
}

#[tokio::test]
async fn drift_is_detected_in_the_background() {
    let queue = json!({ "Type": "AWS::SQS::Queue", "Properties": { "VisibilityTimeout": 30 } });
    let stack = TestStack::created("lab-resources-drift", json!({ "Q": queue })).await;
    let root = stack.root();
    let detect = async || {
        let hold = stack
            .cloud
            .hold_stack(&stack.name, &stack.name, During::Drift);
        let hold = hold.await.unwrap();
        let begun = root.detect_stack_drift().stack_name(&stack.name).send();
        let id = begun.await.unwrap().stack_drift_detection_id.unwrap();
        let status = async || {
            let status = root.describe_stack_drift_detection_status();
            let status = status.stack_drift_detection_id(&id).send().await.unwrap();
            (status.detection_status.unwrap(), status.stack_drift_status)
        };
        let (running, _) = status().await;
        assert_eq!(running, StackDriftDetectionStatus::DetectionInProgress);
        hold.release().await.unwrap();
        let complete = wait_until("the detection ends", PATIENCE, async || {
            let (detection, drift) = status().await;
            (detection == StackDriftDetectionStatus::DetectionComplete).then_some(drift)
        });
        complete.await.unwrap_or_else(|error| panic!("{error}"))
    };
    assert_eq!(detect().await, Some(StackDriftStatus::InSync));
    let request = json!({
        "QueueUrl": stack.physical_id("Q").await, "Attributes": { "VisibilityTimeout": "60" },
    });
    call(stack.cloud, "sqs", "AmazonSQS.SetQueueAttributes", &request).await;
    assert_eq!(detect().await, Some(StackDriftStatus::Drifted));
    let drifted = stack.describe().await.drift_information.unwrap();
    assert_eq!(drifted.stack_drift_status, Some(StackDriftStatus::Drifted));
}

#[tokio::test]
async fn a_stack_is_found_by_a_resource_of_it() {
    let stack = TestStack::created("lab-resources-owner", json!({ "A": parameter("a") })).await;
    let found = stack
        .root()
        .describe_stack_resources()
        .physical_resource_id("/lab-resources-owner/A");
    let found = found
        .send()
        .await
        .unwrap()
        .stack_resources
        .unwrap()
        .remove(0);
    assert_eq!(found.stack_name.as_deref(), Some("lab-resources-owner"));
}
