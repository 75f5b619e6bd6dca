//! Converts what CloudFormation answers to Sluice's types.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::{
    operation::{
        describe_change_set::DescribeChangeSetOutput,
        get_template_summary::GetTemplateSummaryOutput,
    },
    types::{
        Capability, Change, EvaluationType, ParameterDeclaration, ResourceChange as SdkChange,
        ResourceChangeDetail, Stack as SdkStack, StackEvent as SdkEvent, StackResourceSummary,
    },
};

use crate::{
    adapters::aws::{errors::Call, timestamps::from_sdk},
    domain::workload::cloud_formation::{
        ChangeSet, DeclaredParameter, PropertyChange, ResourceChange, Stack, StackEvent,
        StackResource, TemplateSummary,
    },
    ports::CallError,
};

/// The state of a stack or change set that was deleted.
const DELETED: &str = "DELETE_COMPLETE";

/// A stack; `None` if it is deleted.
pub(super) fn stack(call: &Call, stack: SdkStack) -> Result<Option<Stack>, CallError> {
    let status = present(call, stack.stack_status, "StackStatus")?;
    if status.as_str() == DELETED {
        return Ok(None);
    }
    let given = stack.parameters.unwrap_or_default();
    let value =
        |named: Option<&str>, value: Option<&str>| Some((named?.to_owned(), value?.to_owned()));
    let parameters = given
        .iter()
        .filter_map(|it| value(it.parameter_key(), it.parameter_value()))
        .collect();
    let resolved = given
        .iter()
        .filter_map(|it| value(it.parameter_key(), it.resolved_value()))
        .collect();
    let tags = stack.tags.unwrap_or_default();
    let tags = tags.iter().filter_map(|it| value(it.key(), it.value()));
    let outputs = stack.outputs.unwrap_or_default();
    let outputs = outputs
        .iter()
        .filter_map(|it| value(it.output_key(), it.output_value()));
    let changed_at = stack.last_updated_time.or(stack.creation_time);
    Ok(Some(Stack {
        id: present(call, stack.stack_id, "StackId")?,
        status: status.as_str().to_owned(),
        reason: text(stack.stack_status_reason),
        changed_at: changed_at.and_then(from_sdk),
        change_set: text(stack.change_set_id),
        parameters,
        resolved,
        tags: tags.collect(),
        outputs: outputs.collect(),
        capabilities: names(stack.capabilities),
        role: text(stack.role_arn),
        notifications: stack
            .notification_arns
            .unwrap_or_default()
            .into_iter()
            .collect(),
        is_protected: stack.enable_termination_protection.unwrap_or_default(),
        parent: text(stack.parent_id),
        pending: Vec::new(),
        record: None,
    }))
}

/// A page of a change set; `None` if the change set is deleted.
pub(super) fn change_set(
    call: &Call,
    page: DescribeChangeSetOutput,
) -> Result<Option<ChangeSet>, CallError> {
    let status = present(call, page.status, "Status")?;
    if status.as_str() == DELETED {
        return Ok(None);
    }
    let execution = page.execution_status.map(|it| it.as_str().to_owned());
    Ok(Some(ChangeSet {
        id: present(call, page.change_set_id, "ChangeSetId")?,
        stack: present(call, page.stack_id, "StackId")?,
        status: status.as_str().to_owned(),
        reason: text(page.status_reason),
        execution: execution.unwrap_or_default(),
        changes: changes(call, page.changes.unwrap_or_default())?,
    }))
}

/// The changes of resources. The other changes are calls of hooks, which change nothing.
fn changes(call: &Call, changes: Vec<Change>) -> Result<Vec<ResourceChange>, CallError> {
    let of_resources = changes
        .into_iter()
        .filter_map(|change| change.resource_change);
    of_resources.map(|change| resource(call, change)).collect()
}

fn resource(call: &Call, change: SdkChange) -> Result<ResourceChange, CallError> {
    let action = present(call, change.action, "Action")?;
    let details = change.details.unwrap_or_default();
    Ok(ResourceChange {
        action: action.as_str().to_owned(),
        logical_id: present(call, change.logical_resource_id, "LogicalResourceId")?,
        physical_id: text(change.physical_resource_id),
        resource_type: change.resource_type.unwrap_or_default(),
        replacement: change.replacement.map(|it| it.as_str().to_owned()),
        policy: change.policy_action.map(|it| it.as_str().to_owned()),
        details: details.into_iter().map(property).collect(),
        nested: text(change.change_set_id),
    })
}

fn property(detail: ResourceChangeDetail) -> PropertyChange {
    let is_dynamic = detail.evaluation == Some(EvaluationType::Dynamic);
    let cause = text(detail.causing_entity);
    let Some(target) = detail.target else {
        return PropertyChange {
            cause,
            is_dynamic,
            ..PropertyChange::default()
        };
    };
    let attribute = target.attribute.map(|it| it.as_str().to_owned());
    let recreation = target.requires_recreation.map(|it| it.as_str().to_owned());
    PropertyChange {
        attribute: attribute.unwrap_or_default(),
        path: text(target.path).or(text(target.name)).unwrap_or_default(),
        recreation: recreation.unwrap_or_default(),
        before: target.before_value,
        after: target.after_value,
        cause,
        is_dynamic,
    }
}

/// An event.
pub(super) fn event(call: &Call, event: SdkEvent) -> Result<StackEvent, CallError> {
    let status = event.resource_status.map(|it| it.as_str().to_owned());
    Ok(StackEvent {
        id: present(call, event.event_id, "EventId")?,
        at: event.timestamp.and_then(from_sdk),
        logical_id: event.logical_resource_id.unwrap_or_default(),
        physical_id: text(event.physical_resource_id),
        resource_type: event.resource_type.unwrap_or_default(),
        status: status.unwrap_or_default(),
        reason: text(event.resource_status_reason),
        token: text(event.client_request_token),
    })
}

/// A resource of a stack.
pub(super) fn stack_resource(
    call: &Call,
    resource: StackResourceSummary,
) -> Result<StackResource, CallError> {
    let status = present(call, resource.resource_status, "ResourceStatus")?;
    Ok(StackResource {
        logical_id: present(call, resource.logical_resource_id, "LogicalResourceId")?,
        physical_id: text(resource.physical_resource_id),
        resource_type: resource.resource_type.unwrap_or_default(),
        status: status.as_str().to_owned(),
    })
}

/// What CloudFormation finds in a template.
pub(super) fn summary(answer: GetTemplateSummaryOutput) -> TemplateSummary {
    let declared = answer.parameters.unwrap_or_default();
    let parameters: BTreeMap<String, DeclaredParameter> =
        declared.into_iter().filter_map(parameter).collect();
    TemplateSummary {
        parameters,
        capabilities: names(answer.capabilities),
        capabilities_reason: text(answer.capabilities_reason),
        transforms: answer.declared_transforms.unwrap_or_default(),
        resource_types: answer
            .resource_types
            .unwrap_or_default()
            .into_iter()
            .collect(),
    }
}

fn parameter(declared: ParameterDeclaration) -> Option<(String, DeclaredParameter)> {
    let parameter = DeclaredParameter {
        parameter_type: declared.parameter_type.unwrap_or_default(),
        default: declared.default_value,
        is_secret: declared.no_echo.unwrap_or_default(),
    };
    Some((declared.parameter_key?, parameter))
}

fn names<T: FromIterator<String>>(capabilities: Option<Vec<Capability>>) -> T {
    let all = capabilities.unwrap_or_default().into_iter();
    all.map(|capability| capability.as_str().to_owned())
        .collect()
}

/// CloudFormation's XML has empty elements for some fields without a value.
pub(super) fn text(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

/// A field that every answer has.
pub(super) fn present<T>(call: &Call, value: Option<T>, field: &str) -> Result<T, CallError> {
    value.ok_or_else(|| call.unusable(format!("the response has no {field}")))
}

#[cfg(test)]
mod tests;
