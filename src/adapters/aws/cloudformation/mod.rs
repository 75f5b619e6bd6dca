//! [`Stacks`] over the SDK.
//!
//! The SDK retries reads; writes are sent once. A change set is always created for nested stacks too: CloudFormation
//! then leaves out nested stacks that do not change, and has a change set for each other one. It is executed so
//! that a failure rolls back, which the API Reference calls the default in one place and not in another.

mod clients;
mod convert;
mod request;
mod stacks;

use async_trait::async_trait;
use aws_sdk_cloudformation::types::{ChangeSetType, TemplateStage};

pub(super) use self::{clients::CloudFormationClients, stacks::CloudFormationStacks};
use self::{
    convert::{present, text},
    stacks::{EVENT_PAGES, PAGES, none_if_missing, too_long},
};
use crate::{
    domain::workload::cloud_formation::{
        ChangeSet, NewChangeSet, Stack, StackEvent, StackResource, TemplateSource, TemplateSummary,
    },
    ports::{CallError, CallErrorKind, stacks::Stacks},
};

#[async_trait]
impl Stacks for CloudFormationStacks {
    async fn stack(&self, name: &str) -> Result<Option<Stack>, CallError> {
        let call = self.read("cloudformation:DescribeStacks", name);
        let request = self.clients.reads.describe_stacks().stack_name(name).send();
        let Some(answer) = none_if_missing(self.made(&call, request).await)? else {
            return Ok(None);
        };
        let mut stacks = answer.stacks.unwrap_or_default();
        match (stacks.pop(), stacks.is_empty()) {
            (Some(stack), true) => convert::stack(&call, stack),
            _ => Err(call.unusable("the response does not describe exactly one stack")),
        }
    }

    async fn template(&self, stack: &str) -> Result<String, CallError> {
        let call = self.read("cloudformation:GetTemplate", stack);
        let request = self
            .clients
            .reads
            .get_template()
            .stack_name(stack)
            .template_stage(TemplateStage::Original)
            .send();
        let answer = self.made(&call, request).await?;
        present(&call, answer.template_body, "TemplateBody")
    }

    async fn summary(
        &self,
        stack: &str,
        template: &TemplateSource,
    ) -> Result<TemplateSummary, CallError> {
        let call = self.read("cloudformation:GetTemplateSummary", stack);
        let (body, url) = request::template(template, &self.region);
        let request = self
            .clients
            .reads
            .get_template_summary()
            .set_template_body(body)
            .set_template_url(url)
            .send();
        let answer = self.made(&call, request).await?;
        Ok(convert::summary(answer))
    }

    async fn create_change_set(&self, new: &NewChangeSet) -> Result<String, CallError> {
        let call = self.write("cloudformation:CreateChangeSet", &new.stack);
        let (body, url) = request::template(&new.template, &self.region);
        let of_type = if new.creates {
            ChangeSetType::Create
        } else {
            ChangeSetType::Update
        };
        let settings = &new.settings;
        let topics = settings.notifications.iter().cloned().collect();
        let mut request = self
            .clients
            .writes
            .create_change_set()
            .stack_name(&new.stack)
            .change_set_name(&new.name)
            .change_set_type(of_type)
            .client_token(&new.token)
            .set_template_body(body)
            .set_template_url(url)
            .set_parameters(request::parameters(settings))
            .set_capabilities(request::capabilities(settings))
            .set_tags(Some(request::tags(&settings.tags)))
            .set_notification_arns(Some(topics))
            .set_role_arn(text(Some(settings.role.clone())))
            .include_nested_stacks(true);
        if new.imports_existing {
            request = request.import_existing_resources(true);
        }
        let answer = self.made(&call, request.send()).await?;
        present(&call, answer.id, "Id")
    }

    async fn change_set(
        &self,
        stack: &str,
        change_set: &str,
    ) -> Result<Option<ChangeSet>, CallError> {
        let call = self.read("cloudformation:DescribeChangeSet", stack);
        let mut found: Option<ChangeSet> = None;
        let mut next = None;
        for _ in 0..PAGES {
            let request = self
                .clients
                .reads
                .describe_change_set()
                .set_stack_name(text(Some(stack.to_owned())))
                .change_set_name(change_set)
                .include_property_values(true)
                .set_next_token(next)
                .send();
            let Some(mut answer) = none_if_missing(self.made(&call, request).await)? else {
                return Ok(None);
            };
            next = text(answer.next_token.take());
            let Some(page) = convert::change_set(&call, answer)? else {
                return Ok(None);
            };
            match &mut found {
                Some(found) => found.changes.extend(page.changes),
                None => found = Some(page),
            }
            if next.is_none() {
                return Ok(found);
            }
        }
        Err(too_long(&call))
    }

    async fn change_sets(&self, stack: &str) -> Result<Vec<String>, CallError> {
        let call = self.read("cloudformation:ListChangeSets", stack);
        let mut names = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            let request = self
                .clients
                .reads
                .list_change_sets()
                .stack_name(stack)
                .set_next_token(next)
                .send();
            let Some(answer) = none_if_missing(self.made(&call, request).await)? else {
                return Ok(Vec::new());
            };
            let page = answer.summaries.unwrap_or_default();
            names.extend(
                page.into_iter()
                    .filter_map(|summary| summary.change_set_name),
            );
            next = text(answer.next_token);
            if next.is_none() {
                return Ok(names);
            }
        }
        Err(too_long(&call))
    }

    async fn execute(&self, stack: &str, change_set: &str, token: &str) -> Result<(), CallError> {
        let call = self.write("cloudformation:ExecuteChangeSet", stack);
        let request = self
            .clients
            .writes
            .execute_change_set()
            .stack_name(stack)
            .change_set_name(change_set)
            .client_request_token(token)
            .disable_rollback(false)
            .send();
        match self.made(&call, request).await {
            Ok(_) => Ok(()),
            // The change set, or even its stack, is gone.
            Err(error) if error.kind == CallErrorKind::NotFound => Err(CallError {
                kind: CallErrorKind::Stale,
                ..error
            }),
            Err(error) => Err(error),
        }
    }

    async fn delete_change_set(&self, stack: &str, change_set: &str) -> Result<(), CallError> {
        let call = self.write("cloudformation:DeleteChangeSet", stack);
        let request = self
            .clients
            .writes
            .delete_change_set()
            .stack_name(stack)
            .change_set_name(change_set)
            .send();
        none_if_missing(self.made(&call, request).await).map(drop)
    }

    async fn cancel_update(&self, stack: &str, token: &str) -> Result<(), CallError> {
        let call = self.write("cloudformation:CancelUpdateStack", stack);
        let request = self
            .clients
            .writes
            .cancel_update_stack()
            .stack_name(stack)
            .client_request_token(token)
            .send();
        self.made(&call, request).await.map(drop)
    }

    async fn continue_rollback(
        &self,
        stack: &str,
        role: &str,
        skip: &[String],
        token: &str,
    ) -> Result<(), CallError> {
        let call = self.write("cloudformation:ContinueUpdateRollback", stack);
        let skip = (!skip.is_empty()).then(|| skip.to_vec());
        let request = self
            .clients
            .writes
            .continue_update_rollback()
            .stack_name(stack)
            .role_arn(role)
            .set_resources_to_skip(skip)
            .client_request_token(token)
            .send();
        self.made(&call, request).await.map(drop)
    }

    async fn delete(
        &self,
        stack: &str,
        role: Option<&str>,
        retain: &[String],
        token: &str,
    ) -> Result<(), CallError> {
        let call = self.write("cloudformation:DeleteStack", stack);
        let retain = (!retain.is_empty()).then(|| retain.to_vec());
        let request = self
            .clients
            .writes
            .delete_stack()
            .stack_name(stack)
            .set_role_arn(role.map(str::to_owned))
            .set_retain_resources(retain)
            .client_request_token(token)
            .send();
        none_if_missing(self.made(&call, request).await).map(drop)
    }

    async fn resources(&self, stack: &str) -> Result<Vec<StackResource>, CallError> {
        let call = self.read("cloudformation:ListStackResources", stack);
        let mut resources = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            let request = self
                .clients
                .reads
                .list_stack_resources()
                .stack_name(stack)
                .set_next_token(next)
                .send();
            let answer = self.made(&call, request).await?;
            for resource in answer.stack_resource_summaries.unwrap_or_default() {
                resources.push(convert::stack_resource(&call, resource)?);
            }
            next = text(answer.next_token);
            if next.is_none() {
                return Ok(resources);
            }
        }
        Err(too_long(&call))
    }

    async fn events(&self, stack: &str, token: &str) -> Result<Vec<StackEvent>, CallError> {
        let call = self.read("cloudformation:DescribeStackEvents", stack);
        let mut events = Vec::new();
        let mut next = None;
        for _ in 0..EVENT_PAGES {
            let request = self
                .clients
                .reads
                .describe_stack_events()
                .stack_name(stack)
                .set_next_token(next)
                .send();
            let answer = self.made(&call, request).await?;
            for event in answer.stack_events.unwrap_or_default() {
                if event.client_request_token() == Some(token) {
                    events.push(convert::event(&call, event)?);
                } else if !events.is_empty() {
                    // A stack has one operation at a time, so this is of the one before.
                    return Ok(events);
                }
            }
            next = text(answer.next_token);
            if next.is_none() {
                break;
            }
        }
        Ok(events)
    }
}
