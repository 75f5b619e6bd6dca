//! Reads of CloudFormation past the controller.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_cloudformation::{
    Client,
    error::ProvideErrorMetadata,
    types::{Capability, ChangeSetStatus, ExecutionStatus, Stack, StackEvent, StackStatus},
};
use serde_json::{Value, json};
use sluice_lab::lab::HUB_REGION;

use crate::waiting::{Problem, problem};

/// By account and name, the state of each stack.
pub type Stacks = BTreeMap<(String, String), Value>;

/// CloudFormation in one account, as its root user. It bypasses the interceptor.
#[derive(Clone)]
pub struct StackReader {
    client: Client,
    endpoint: String,
    account_id: String,
    http: reqwest::Client,
}

impl StackReader {
    /// A reader with this configuration, which is that of the account's root user.
    pub fn new(config: &SdkConfig, account_id: &str) -> Self {
        Self {
            client: Client::new(config),
            endpoint: config.endpoint_url().unwrap().to_owned(),
            account_id: account_id.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// The ID of the account.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// The stack with this name; `None` if it does not exist.
    pub async fn stack(&self, name: &str) -> Result<Option<Stack>, Problem> {
        let describe_stacks = self.client.describe_stacks().stack_name(name);
        match describe_stacks.send().await {
            Ok(found) => Ok(found.stacks.unwrap_or_default().pop()),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(format!("{name}: {error:?}")),
        }
    }

    /// The change sets that CloudFormation lists for a stack, by name, with the states of each one.
    pub async fn change_sets(&self, stack: &str) -> Result<BTreeMap<String, String>, Problem> {
        let list_change_sets = self.client.list_change_sets().stack_name(stack);
        let found = match list_change_sets.send().await {
            Ok(found) => found.summaries.unwrap_or_default(),
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) => return Err(format!("{stack}: {error:?}")),
        };
        let states = found.into_iter().map(|one| {
            let status = one.status.as_ref().map_or("", ChangeSetStatus::as_str);
            let execution = one
                .execution_status
                .as_ref()
                .map_or("", ExecutionStatus::as_str);
            let both = format!("{status} {execution}");
            (one.change_set_name.unwrap_or_default(), both)
        });
        Ok(states.collect())
    }

    /// The events of a stack, which may be deleted, by its ARN.
    pub async fn events(&self, arn: &str) -> Result<Vec<StackEvent>, Problem> {
        let describe_events = self.client.describe_stack_events().stack_name(arn);
        let mut pages = describe_events.into_paginator().items().send();
        let mut events = Vec::new();
        while let Some(event) = pages.next().await {
            events.push(event.map_err(|e| format!("{arn}: {e:?}"))?);
        }
        Ok(events)
    }

    /// The state of a stack with its template, resources and change sets; `None` if it does not exist.
    pub async fn observe(&self, name: &str) -> Result<Option<Value>, Problem> {
        let Some(stack) = self.stack(name).await? else {
            return Ok(None);
        };
        let template = self.client.get_template().stack_name(name).send().await;
        let template = template.map_err(|e| format!("{name}: {e:?}"))?;
        let list_resources = self.client.list_stack_resources().stack_name(name);
        let found = list_resources.send().await;
        let found = found.map_err(|e| format!("{name}: {e:?}"))?;
        let (mut resources, mut states) = (BTreeMap::new(), BTreeMap::new());
        for one in found.stack_resource_summaries.unwrap_or_default() {
            let id = one.logical_resource_id.unwrap_or_default();
            let state = one
                .resource_status
                .as_ref()
                .map(|it| it.as_str().to_owned());
            let value = match (one.resource_type.as_deref(), &one.physical_resource_id) {
                (Some("AWS::SSM::Parameter"), Some(name)) => self.parameter(name).await?,
                _ => Value::Null,
            };
            let resource = json!({
                "type": one.resource_type,
                "physicalId": one.physical_resource_id,
                "value": value,
            });
            resources.insert(id.clone(), resource);
            states.insert(id, state);
        }
        let parameters: BTreeMap<_, _> = (stack.parameters().iter())
            .map(|it| (it.parameter_key().unwrap_or_default(), it.parameter_value()))
            .collect();
        let capabilities: Vec<_> = stack
            .capabilities()
            .iter()
            .map(Capability::as_str)
            .collect();
        Ok(Some(json!({
            "id": stack.stack_id(),
            "status": status(&stack),
            "template": template.template_body(),
            "parameters": parameters,
            "tags": tags(&stack),
            "capabilities": capabilities,
            "role": stack.role_arn(),
            "notifications": stack.notification_arns(),
            "resources": resources,
            "states": states,
            "changeSets": self.change_sets(name).await?,
        })))
    }

    /// Deletes a stack, to keep the emulator small.
    pub async fn delete(&self, name: &str) {
        // The stack may not exist.
        let _ = self.client.delete_stack().stack_name(name).send().await;
    }

    /// The value of a Systems Manager parameter, for which the tests have no SDK; null if it does not exist.
    async fn parameter(&self, name: &str) -> Result<Value, Problem> {
        let id = &self.account_id;
        let signature = format!(
            "AWS4-HMAC-SHA256 Credential={id}/20260101/{HUB_REGION}/ssm/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let get_parameter = self
            .http
            .post(&self.endpoint)
            .header("authorization", signature)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "AmazonSSM.GetParameter")
            .body(json!({"Name": name}).to_string());
        let found = get_parameter.send().await.map_err(problem)?;
        if !found.status().is_success() {
            return Ok(Value::Null);
        }
        let found: Value = found.json().await.map_err(problem)?;
        Ok(found["Parameter"]["Value"].clone())
    }
}

/// Whether the stack that a call names does not exist.
fn is_missing(error: &impl ProvideErrorMetadata) -> bool {
    let message = error.message().unwrap_or_default();
    message.contains("does not exist")
}

/// The tags of a stack, by key.
pub fn tags(stack: &Stack) -> BTreeMap<&str, &str> {
    let tags = stack.tags().iter();
    tags.filter_map(|it| Some((it.key()?, it.value()?)))
        .collect()
}

/// The state of a stack, such as `UPDATE_COMPLETE`.
pub fn status(stack: &Stack) -> &str {
    stack.stack_status().map_or("", StackStatus::as_str)
}
