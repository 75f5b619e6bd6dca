//! CloudFormation in the lab behaves towards a client as AWS does.
//!
//! Each test delivers stacks of its own into dev, as the controller would: through the proxy, with the
//! deployer's rights and the service role.

mod change_sets;
mod changes;
mod deletion;
mod execution;
mod exports;
mod failures;
mod identity;
mod nested;
mod policies;
mod proxy;
mod resources;
mod rollback;
mod templates;
mod validation;

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_cloudformation::{
    Client,
    operation::{
        create_change_set::builders::CreateChangeSetFluentBuilder,
        describe_change_set::DescribeChangeSetOutput,
    },
    types::{
        Change, ChangeSetStatus, ChangeSetType, ResourceChange, Stack, StackEvent, StackResource,
        StackStatus,
    },
};
use serde_json::{Value, json};
use sluice_lab::{
    aws::{Cloud, StackHold},
    lab::{PATIENCE, wait_until},
};

use super::{REGION, cloud, deployer};

/// A stack of one test.
struct TestStack {
    cloud: &'static Cloud,
    client: Client,
    name: String,
}

impl TestStack {
    async fn new(name: &str) -> Self {
        let cloud = cloud().await;
        Self {
            cloud,
            client: Client::new(&deployer(cloud, cloud.dev()).await),
            name: name.to_owned(),
        }
    }

    /// A stack whose creation with `resources` has succeeded.
    async fn created(name: &str, resources: Value) -> Self {
        let stack = Self::new(name).await;
        let status = stack.deploy(ChangeSetType::Create, resources).await;
        assert_eq!(status, StackStatus::CreateComplete, "{name}");
        stack
    }

    /// A client of dev's root user, past the proxy.
    fn root(&self) -> Client {
        Client::new(&self.cloud.sdk_config(&self.cloud.dev().id, REGION))
    }

    /// A request for a change set of this name, with the service role.
    fn request(
        &self,
        name: &str,
        kind: ChangeSetType,
        template: &Value,
    ) -> CreateChangeSetFluentBuilder {
        self.client
            .create_change_set()
            .stack_name(&self.name)
            .change_set_name(name)
            .change_set_type(kind)
            .template_body(template.to_string())
            .role_arn(&self.cloud.dev().stack_role_arn)
    }

    /// Sends the request and waits until the change set is ready or has failed.
    async fn ready(&self, request: CreateChangeSetFluentBuilder) -> DescribeChangeSetOutput {
        let id = request.send().await.expect("a change set").id.unwrap();
        self.until_ready(&id).await
    }

    async fn until_ready(&self, id: &str) -> DescribeChangeSetOutput {
        let ready = wait_until("the change set is ready", PATIENCE, async || {
            let found = self.change_set(id).await;
            let ready = [ChangeSetStatus::CreateComplete, ChangeSetStatus::Failed];
            if ready.contains(found.status.as_ref().unwrap()) {
                Ok(found)
            } else {
                Err(format!("{found:?}"))
            }
        });
        ready.await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The change set with this ARN.
    async fn change_set(&self, id: &str) -> DescribeChangeSetOutput {
        let request = self.root().describe_change_set().change_set_name(id);
        request
            .include_property_values(true)
            .send()
            .await
            .expect("the change set")
    }

    /// A change set that is ready for execution.
    async fn propose(&self, kind: ChangeSetType, resources: Value) -> DescribeChangeSetOutput {
        // A change set that failed keeps its name.
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("release-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let template = json!({ "Resources": resources });
        let ready = self.ready(self.request(&name, kind, &template)).await;
        assert_eq!(
            ready.status,
            Some(ChangeSetStatus::CreateComplete),
            "{ready:?}"
        );
        ready
    }

    async fn execute(&self, change_set: &DescribeChangeSetOutput) {
        let request = self.client.execute_change_set().stack_name(&self.name);
        let id = change_set.change_set_id.as_deref().unwrap();
        request
            .change_set_name(id)
            .send()
            .await
            .expect("the execution begins");
    }

    /// Executes a change set with these resources and waits for the end of the operation.
    async fn deploy(&self, kind: ChangeSetType, resources: Value) -> StackStatus {
        self.begin(kind, resources).await;
        self.settled().await
    }

    async fn update(&self, resources: Value) -> StackStatus {
        self.deploy(ChangeSetType::Update, resources).await
    }

    /// Executes a change set with these resources.
    async fn begin(&self, kind: ChangeSetType, resources: Value) {
        let change_set = self.propose(kind, resources).await;
        self.execute(&change_set).await;
    }

    async fn describe(&self) -> Stack {
        self.describe_as(&self.name).await
    }

    /// Describes a stack by name or ARN.
    async fn describe_as(&self, name: &str) -> Stack {
        let request = self.root().describe_stacks().stack_name(name);
        let answer = request.send().await.expect("the stack");
        answer.stacks.unwrap().remove(0)
    }

    async fn status(&self) -> StackStatus {
        self.describe().await.stack_status.unwrap()
    }

    async fn id(&self) -> String {
        self.describe().await.stack_id.unwrap()
    }

    /// Waits until no operation is in progress.
    async fn settled(&self) -> StackStatus {
        let id = self.id().await;
        self.until(&id, |status| !status.as_str().ends_with("_IN_PROGRESS"))
            .await
    }

    async fn until(&self, name: &str, done: impl Fn(&StackStatus) -> bool) -> StackStatus {
        let what = format!("the operation of {name} ends");
        let status = wait_until(&what, PATIENCE, async || {
            let status = self.describe_as(name).await.stack_status.unwrap();
            if done(&status) {
                Ok(status)
            } else {
                Err(status.to_string())
            }
        });
        status.await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The events, oldest first.
    async fn events(&self) -> Vec<StackEvent> {
        let pages = self.root().describe_stack_events().stack_name(&self.name);
        let mut events: Vec<StackEvent> = pages
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .expect("events");
        events.reverse();
        events
    }

    /// The last events, as `resource status`; the stack itself is called `stack`.
    async fn last_events(&self, number: usize) -> Vec<String> {
        let events = self.events().await;
        let shown = events.iter().map(|event| {
            let own = event.physical_resource_id == event.stack_id;
            let resource = event.logical_resource_id.as_deref().unwrap();
            let resource = if own { "stack" } else { resource };
            format!("{resource} {}", event.resource_status.as_ref().unwrap())
        });
        let shown: Vec<String> = shown.collect();
        shown[shown.len().saturating_sub(number)..].to_vec()
    }

    /// The reason of the last event with this status of a resource.
    async fn reason(&self, resource: &str, status: &str) -> String {
        let events = self.events().await;
        let found = events.iter().rev().find(|event| {
            event.logical_resource_id.as_deref() == Some(resource)
                && event.resource_status.as_ref().unwrap().as_str() == status
        });
        let reason = found.and_then(|event| event.resource_status_reason.clone());
        reason.unwrap_or_default()
    }

    async fn resource(&self, logical_id: &str) -> StackResource {
        let request = self
            .root()
            .describe_stack_resources()
            .stack_name(&self.name);
        let answer = request.logical_resource_id(logical_id).send().await;
        answer
            .expect("the resource")
            .stack_resources
            .unwrap()
            .remove(0)
    }

    async fn physical_id(&self, logical_id: &str) -> String {
        let resource = self.resource(logical_id).await;
        resource.physical_resource_id.expect("a physical id")
    }

    /// Waits until an operation waits at the hold.
    async fn until_held(&self, hold: &StackHold) {
        let waiting = wait_until("an operation reaches the hold", PATIENCE, async || {
            let reached = hold.is_reached().await;
            reached
                .map_err(|e| e.to_string())
                .and_then(|reached| reached.then_some(()).ok_or_else(|| "it has not".to_owned()))
        });
        waiting.await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The value of an SSM parameter that the stack named itself.
    async fn value(&self, logical_id: &str) -> String {
        let name = format!("/{}/{logical_id}", self.name);
        let request = json!({ "Name": name });
        let answer = call(self.cloud, "ssm", "AmazonSSM.GetParameter", &request).await;
        let value = answer["Parameter"]["Value"].as_str();
        value
            .unwrap_or_else(|| panic!("no parameter {name}: {answer}"))
            .to_owned()
    }
}

/// Calls an operation of a JSON service as dev's root user.
async fn call(cloud: &Cloud, service: &str, target: &str, request: &Value) -> Value {
    let config = cloud.sdk_config(&cloud.dev().id, REGION);
    let scope = format!(
        "{}/20260101/{REGION}/{service}/aws4_request",
        cloud.dev().id
    );
    let answer = reqwest::Client::new()
        .post(config.endpoint_url().unwrap())
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        )
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(request.to_string());
    let answer = answer.send().await.expect("an answer");
    answer.json().await.expect("JSON")
}

/// An SSM parameter.
fn parameter(value: impl Into<Value>) -> Value {
    json!({ "Type": "AWS::SSM::Parameter", "Properties": { "Type": "String", "Value": value.into() } })
}

/// A resource that fails in these parts of an operation.
fn failing(parts: &[&str], version: u32) -> Value {
    let properties = json!({ "FailOn": parts, "Reason": "out of order", "Version": version });
    json!({ "Type": "Custom::LabFailure", "Properties": properties })
}

/// `resource`, after another one.
fn after(other: &str, mut resource: Value) -> Value {
    resource["DependsOn"] = json!(other);
    resource
}

/// The change of one resource.
fn change_of(change_set: &DescribeChangeSetOutput, logical_id: &str) -> ResourceChange {
    let found = changes(change_set).into_iter();
    let mut found =
        found.filter(|change| change.logical_resource_id.as_deref() == Some(logical_id));
    found
        .next()
        .unwrap_or_else(|| panic!("no change of {logical_id}: {change_set:?}"))
}

fn changes(change_set: &DescribeChangeSetOutput) -> Vec<ResourceChange> {
    let changes: Vec<Change> = change_set.changes.clone().unwrap_or_default();
    changes
        .into_iter()
        .filter_map(|change| change.resource_change)
        .collect()
}
