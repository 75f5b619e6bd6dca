//! CloudFormation: the names of requests, and how tests slow, hold and repair stacks.
//!
//! The emulator works on a stack in the background, one resource after the other. A test that must see a stack
//! in progress holds it at a resource with [`Cloud::hold_stack`]. The type `Custom::LabFailure` fails on
//! purpose: its properties are `FailOn` (`Create`, `Update`, `Delete`, `Rollback`, or a list of them) and
//! `Reason`. [`Cloud::repair_resource`] ends that.

use std::{fmt, sync::Arc, time::Duration};

use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::{
    Cloud, backend::Backend, keys::element, operation, operation::Operation, proxy::ANY_ACCOUNT,
    reply::Reply,
};
use crate::{error::LabError, runtime};

/// The prefix of the emulator's own operations.
const OWN: &str = "Lab";

/// The part of an operation that a hold stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum During {
    /// A change set is created. The resource is the change set's name.
    ChangeSet,
    /// A resource is created.
    Create,
    /// A resource is updated in place or replaced.
    Update,
    /// Rollback triggers are monitored.
    Monitor,
    /// What an update leaves over is deleted.
    Cleanup,
    /// A resource gets its former properties again, or is deleted because its stack failed.
    Rollback,
    /// A stack is deleted.
    Delete,
    /// Drift is detected. The resource is the stack's name.
    Drift,
}

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where operations stop.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HoldPoint {
    /// The stack's name; `*` stands for any characters.
    pub(super) stack: String,
    /// A logical id, or the stack's name for the beginning of that part of its operation.
    pub(super) resource: String,
    pub(super) during: During,
}

/// The pace of one stack.
#[derive(Clone, Debug, Default)]
pub struct StackPace {
    /// The time of each step of its operations and of each step of the creation of its change sets.
    pub step: Option<Duration>,
    /// The length of a minute of `MonitoringTimeInMinutes`.
    pub minute: Option<Duration>,
    /// How many changes, events and resources a page has.
    pub page_size: Option<usize>,
}

/// A hold in force; dropping this releases it.
#[must_use = "the hold is released as soon as this is dropped"]
#[derive(Debug)]
pub struct StackHold {
    backend: Arc<Backend>,
    id: String,
}

impl StackHold {
    /// Whether an operation waits at the hold, or has waited there.
    pub async fn is_reached(&self) -> Result<bool, LabError> {
        is_reached(&self.backend, &self.id).await
    }

    /// Lets the operation continue, and returns once it may.
    pub async fn release(self) -> Result<(), LabError> {
        release(&self.backend, &self.id).await.map(drop)
    }
}

impl Drop for StackHold {
    fn drop(&mut self) {
        let (backend, id) = (Arc::clone(&self.backend), std::mem::take(&mut self.id));
        runtime::handle().spawn(async move { release(&backend, &id).await });
    }
}

impl Cloud {
    /// Stops operations of the stack `stack` at the resource `resource` until the result is dropped.
    ///
    /// `stack` may contain `*`. `resource` is a logical id; with the stack's own name, the operation stops
    /// where that part of it begins. `CancelUpdateStack`, and `DeleteStack` during a creation, end the wait.
    pub async fn hold_stack(
        &self,
        stack: &str,
        resource: &str,
        during: During,
    ) -> Result<StackHold, LabError> {
        let backend = Arc::clone(&self.proxy.backend);
        let point = HoldPoint {
            stack: stack.to_owned(),
            resource: resource.to_owned(),
            during,
        };
        let id = hold(&backend, &point).await?;
        Ok(StackHold { backend, id })
    }

    /// Sets the pace of stacks with this name, in all accounts and regions.
    pub async fn set_stack_pace(&self, stack: &str, pace: &StackPace) -> Result<(), LabError> {
        let millis = |time: Option<Duration>| {
            time.map_or_else(String::new, |time| time.as_millis().to_string())
        };
        let size = pace
            .page_size
            .map_or_else(String::new, |size| size.to_string());
        let form = [
            ("Action", "LabPace"),
            ("StackName", stack),
            ("Millis", &millis(pace.step)),
            ("Minute", &millis(pace.minute)),
            ("PageSize", &size),
        ];
        ask(&self.proxy.backend, &form).await.map(drop)
    }

    /// From now on, the `Custom::LabFailure` resource `resource` of `stack` no longer fails.
    pub async fn repair_resource(&self, stack: &str, resource: &str) -> Result<(), LabError> {
        repair(&self.proxy.backend, stack, resource).await
    }
}

pub(super) async fn hold(backend: &Arc<Backend>, point: &HoldPoint) -> Result<String, LabError> {
    let during = point.during.to_string();
    let form = [
        ("Action", "LabHold"),
        ("StackName", point.stack.as_str()),
        ("Resource", &point.resource),
        ("During", &during),
    ];
    ask(backend, &form).await.map(|xml| content(&xml, "Id"))
}

pub(super) async fn release(backend: &Arc<Backend>, id: &str) -> Result<bool, LabError> {
    let xml = ask(backend, &[("Action", "LabRelease"), ("Id", id)]).await?;
    Ok(content(&xml, "Released") == "true")
}

pub(super) async fn is_reached(backend: &Arc<Backend>, id: &str) -> Result<bool, LabError> {
    let xml = ask(backend, &[("Action", "LabHolds"), ("Id", id)]).await?;
    Ok(content(&xml, "Reached") == "true")
}

pub(super) async fn repair(
    backend: &Arc<Backend>,
    stack: &str,
    resource: &str,
) -> Result<(), LabError> {
    let form = [
        ("Action", "LabRepair"),
        ("StackName", stack),
        ("Resource", resource),
    ];
    ask(backend, &form).await.map(drop)
}

fn content(xml: &str, name: &str) -> String {
    element(xml, name).unwrap_or_default().to_owned()
}

/// Calls an operation of the emulator's own, on the runtime that the backend's connections belong to.
async fn ask(backend: &Arc<Backend>, form: &[(&str, &str)]) -> Result<String, LabError> {
    let backend = Arc::clone(backend);
    let form: Vec<(String, String)> = form
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let asking = runtime::handle().spawn(async move {
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        backend.ask_form(ANY_ACCOUNT, "cloudformation", &form).await
    });
    let reply = asking
        .await
        .map_err(|e| LabError::new(format!("a call of the AWS emulator panicked: {e}")))??;
    let xml = String::from_utf8_lossy(&reply.body).into_owned();
    if reply.status.is_success() {
        return Ok(xml);
    }
    Err(LabError::new(format!(
        "the AWS emulator answered {} to an operation of the lab: {}",
        reply.status,
        content(&xml, "Message")
    )))
}

/// A request's operation: the stack's name as its resource, the change set's name as its qualifier.
pub(super) fn operation(parts: &Parts, body: &[u8]) -> Operation {
    let value = |name: &str| {
        form_urlencoded::parse(body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| name_in(&value))
    };
    Operation {
        name: operation::other(parts, body).name,
        resource: value("StackName").unwrap_or_default(),
        qualifier: value("ChangeSetName"),
    }
}

/// The name in the ARN of a stack or change set; any other text is a name.
fn name_in(reference: &str) -> String {
    let in_arn = reference
        .strip_prefix("arn:")
        .and_then(|arn| arn.split('/').nth(1));
    in_arn.unwrap_or(reference).to_owned()
}

/// AWS's refusal of the emulator's own operations.
pub(super) fn refuse(service: &str, operation: &Operation) -> Option<Reply> {
    let is_own = service == "cloudformation" && operation.name.starts_with(OWN);
    is_own.then(|| {
        let message = format!(
            "Could not find operation {} for version 2010-05-15",
            operation.name
        );
        Reply::error(service, 400, "InvalidAction", &message)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn named(body: &str) -> (String, String, Option<String>) {
        let request = Request::builder().method("POST").uri("/").body(());
        let parts = request.expect("a request").into_parts().0;
        let operation = operation(&parts, body.as_bytes());
        (operation.name, operation.resource, operation.qualifier)
    }

    #[test]
    fn requests_are_named_with_stack_and_change_set() {
        let stack =
            "arn%3Aaws%3Acloudformation%3Aeu-west-1%3A222222222222%3Astack%2Flab-api%2F51af";
        let change_set =
            "arn%3Aaws%3Acloudformation%3Aeu-west-1%3A222222222222%3AchangeSet%2Fr7%2F82c3";
        let cases = [
            (
                "Action=CreateChangeSet&StackName=lab-api&ChangeSetName=r7".to_owned(),
                ("CreateChangeSet", "lab-api", Some("r7")),
            ),
            (
                format!("Action=ExecuteChangeSet&StackName={stack}&ChangeSetName={change_set}"),
                ("ExecuteChangeSet", "lab-api", Some("r7")),
            ),
            (
                format!("Action=DescribeStacks&StackName={stack}"),
                ("DescribeStacks", "lab-api", None),
            ),
            ("Action=ListStacks".to_owned(), ("ListStacks", "", None)),
        ];
        for (body, (name, resource, qualifier)) in cases {
            let expected = (
                name.to_owned(),
                resource.to_owned(),
                qualifier.map(str::to_owned),
            );
            assert_eq!(named(&body), expected, "{body}");
        }
    }
}
