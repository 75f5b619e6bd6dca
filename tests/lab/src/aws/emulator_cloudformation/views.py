"""The operations that describe stacks: state, events, resources, templates, and a template's summary."""

import json

from ministack.services import cloudformation as emulated
from ministack.services.cloudformation import engine, handlers

from . import control, records, template, wire
from .wire import ApiError

# "Retrieves […] ResourceIdentifierSummaries": the properties that identify a resource for an import.
# Source: the schemas of the CloudFormation registry, `primaryIdentifier`.
IDENTIFIERS = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicArn",
    "AWS::SQS::Queue": "QueueUrl",
    "AWS::SSM::Parameter": "Name",
}


def stack_view(stack):
    deleted = stack["StackStatus"] == "DELETE_COMPLETE"
    view = {
        "StackId": stack["StackId"],
        "StackName": stack["StackName"],
        "ChangeSetId": stack.get("ChangeSetId"),
        "Description": stack["Description"] or None,
        "Parameters": stack["Parameters"] or None,
        "CreationTime": stack["CreationTime"],
        "DeletionTime": stack.get("DeletionTime"),
        # "Only […] if the stack has been updated at least once"; a change set that creates counts as well.
        "LastUpdatedTime": stack.get("LastUpdatedTime"),
        "RollbackConfiguration": stack.get("RollbackConfiguration") or {},
        "StackStatus": stack["StackStatus"],
        "StackStatusReason": stack["StackStatusReason"] or None,
        "DisableRollback": stack["DisableRollback"],
        "NotificationARNs": stack.get("NotificationARNs") or [],
        "Capabilities": stack["Capabilities"] or None,
        "Outputs": [
            {name: value for name, value in output.items() if value or name == "OutputValue"}
            for output in stack["Outputs"]
        ]
        or None,
        "RoleARN": stack.get("RoleARN"),
        "Tags": stack["Tags"],
        "EnableTerminationProtection": None if deleted else stack["EnableTerminationProtection"],
        "ParentId": stack.get("ParentId"),
        "RootId": stack.get("RootId"),
        "DriftInformation": stack.get("DriftInformation") or {"StackDriftStatus": "NOT_CHECKED"},
        "DeletionMode": stack.get("DeletionMode"),
    }
    return view


def describe_stacks(params):
    name = wire.text(params, "StackName")
    if name:
        stack = records.find(name)
        gone = stack is None or (stack["StackStatus"] == "DELETE_COMPLETE" and not name.startswith("arn:"))
        if gone:
            raise ApiError(f"Stack with id {name} does not exist")
        return wire.reply("DescribeStacks", {"Stacks": [stack_view(stack)]})
    current = [stack for stack in records.stacks() if stack["StackStatus"] != "DELETE_COMPLETE"]
    shown, token = wire.page(params, current, "DescribeStacks")
    return wire.reply("DescribeStacks", {"Stacks": [stack_view(s) for s in shown], "NextToken": token})


def list_stacks(params):
    wanted = wire.strings(params, "StackStatusFilter")
    found = [stack for stack in records.stacks() if not wanted or stack["StackStatus"] in wanted]
    shown, token = wire.page(params, found, "ListStacks")
    fields = (
        "StackId",
        "StackName",
        "CreationTime",
        "LastUpdatedTime",
        "DeletionTime",
        "StackStatus",
        "StackStatusReason",
        "ParentId",
        "RootId",
        "DriftInformation",
    )
    views = [stack_view(stack) for stack in shown]
    summaries = [{name: view[name] for name in fields} for view in views]
    return wire.reply("ListStacks", {"StackSummaries": summaries, "NextToken": token})


def describe_stack_events(params):
    stack = records.known(wire.text(params, "StackName"), "Stack [{}] does not exist")
    newest_first = list(reversed(emulated._stack_events.get(stack["StackId"], [])))
    size = control.page_size(stack["StackName"])
    shown, token = wire.page(params, newest_first, "DescribeStackEvents", size)
    return wire.reply("DescribeStackEvents", {"StackEvents": shown, "NextToken": token})


def resource_view(stack, record, time="Timestamp"):
    return {
        "StackName": stack["StackName"],
        "StackId": stack["StackId"],
        "LogicalResourceId": record["LogicalResourceId"],
        "PhysicalResourceId": record.get("PhysicalResourceId") or None,
        "ResourceType": record["ResourceType"],
        time: record["Timestamp"],
        "ResourceStatus": record["ResourceStatus"],
        "ResourceStatusReason": record.get("ResourceStatusReason") or None,
        "DriftInformation": record.get("DriftInformation") or {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def owner_of(physical_id):
    for stack in records.stacks():
        if any(record.get("PhysicalResourceId") == physical_id for record in stack["_resources"].values()):
            return stack
    raise ApiError(f"Stack for {physical_id} does not exist")


def describe_stack_resources(params):
    name, physical_id = wire.text(params, "StackName"), wire.text(params, "PhysicalResourceId")
    stack = owner_of(physical_id) if physical_id else records.known(name)
    wanted = wire.text(params, "LogicalResourceId")
    found = [record for key, record in sorted(stack["_resources"].items()) if not wanted or key == wanted]
    if wanted and not found:
        raise ApiError(f"Resource {wanted} does not exist for stack {stack['StackName']}")
    views = [resource_view(stack, record) for record in found]
    return wire.reply("DescribeStackResources", {"StackResources": views})


def describe_stack_resource(params):
    name, wanted = wire.text(params, "StackName"), wire.text(params, "LogicalResourceId")
    stack = records.known(name, "Stack '{}' does not exist")
    record = stack["_resources"].get(wanted)
    if record is None:
        raise ApiError(f"Resource {wanted} does not exist for stack {stack['StackName']}")
    view = resource_view(stack, record, "LastUpdatedTimestamp")
    metadata = ((stack["_template"] or {}).get("Resources") or {}).get(wanted, {}).get("Metadata")
    if metadata is not None:
        view["Metadata"] = json.dumps(metadata, default=str)
    return wire.reply("DescribeStackResource", {"StackResourceDetail": view})


def list_stack_resources(params):
    stack = records.known(wire.text(params, "StackName"))
    found = [record for _, record in sorted(stack["_resources"].items())]
    size = control.page_size(stack["StackName"])
    shown, token = wire.page(params, found, "ListStackResources", size)
    views = [resource_view(stack, record, "LastUpdatedTimestamp") for record in shown]
    for view in views:
        del view["StackName"], view["StackId"]
    return wire.reply("ListStackResources", {"StackResourceSummaries": views, "NextToken": token})


def get_template(params):
    """The original text, byte for byte, or the template after its transforms."""
    if wire.text(params, "ChangeSetName"):
        record = records.find_change_set(wire.text(params, "ChangeSetName"), wire.text(params, "StackName"))
    else:
        record = records.known(wire.text(params, "StackName"))
    body, stages = record["_template_body"], ["Original", "Processed"]
    if record["_template"] is None:
        # A transform failed.
        stages = ["Original"]
    elif wire.text(params, "TemplateStage") != "Original":
        body = handlers._processed_template_body(record)
    return wire.reply("GetTemplate", {"TemplateBody": body, "StagesAvailable": stages})


def get_template_summary(params):
    body = template.sent(params)
    name = wire.text(params, "StackName")
    if body is None and not name:
        raise ApiError("Either Template URL or Template Body or Stack Name must be specified.")
    if body is None:
        body = records.live(name, "Stack with id {} does not exist")["_template_body"]
    return wire.reply("GetTemplateSummary", summary(template.parsed(body)))


def summary(content):
    resources = content.get("Resources") or {}
    by_type = {}
    for name, definition in resources.items():
        by_type.setdefault(definition["Type"], []).append(name)
    required = handlers._required_iam_capabilities(content)
    reason = None
    if required:
        types = sorted(kind for kind in by_type if kind in handlers._CAPABILITY_IAM_TYPES)
        reason = f"The following resource(s) require capabilities: [{', '.join(types)}]"
    transforms = engine.declared_transforms(content)
    if transforms:
        required.append("CAPABILITY_AUTO_EXPAND")
    return {
        "Parameters": [declared(name, own) for name, own in (content.get("Parameters") or {}).items()],
        "Description": content.get("Description"),
        "Capabilities": required or None,
        "CapabilitiesReason": reason,
        "ResourceTypes": sorted(by_type),
        "Version": content.get("AWSTemplateFormatVersion"),
        "Metadata": json.dumps(content["Metadata"], default=str) if "Metadata" in content else None,
        "DeclaredTransforms": transforms or None,
        "ResourceIdentifierSummaries": [
            {"ResourceType": kind, "LogicalResourceIds": names, "ResourceIdentifiers": [IDENTIFIERS[kind]]}
            for kind, names in sorted(by_type.items())
            if kind in IDENTIFIERS
        ]
        or None,
    }


def declared(name, definition):
    allowed = definition.get("AllowedValues")
    return {
        "ParameterKey": name,
        "DefaultValue": definition.get("Default"),
        "ParameterType": definition["Type"],
        "NoEcho": str(definition.get("NoEcho", False)).lower() == "true",
        "Description": definition.get("Description"),
        "ParameterConstraints": {"AllowedValues": allowed} if allowed else {},
    }


def set_stack_policy(params):
    stack = records.live(wire.text(params, "StackName"))
    from .operations import document

    policy = document(params, "StackPolicy")
    try:
        statements = json.loads(policy or "")["Statement"]
        valid = all(one["Effect"] in ("Allow", "Deny") for one in statements)
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise ApiError("Error validating stack policy: Invalid stack policy")
    stack["_stack_policy"] = policy
    return wire.reply("SetStackPolicy")


def get_stack_policy(params):
    stack = records.live(wire.text(params, "StackName"))
    return wire.reply("GetStackPolicy", {"StackPolicyBody": stack.get("_stack_policy") or None})


def update_termination_protection(params):
    stack = records.live(wire.text(params, "StackName"))
    stack["EnableTerminationProtection"] = bool(wire.flag(params, "EnableTerminationProtection"))
    return wire.reply("UpdateTerminationProtection", {"StackId": stack["StackId"]})


ACTIONS = {
    "DescribeStackEvents": describe_stack_events,
    "DescribeStackResource": describe_stack_resource,
    "DescribeStackResources": describe_stack_resources,
    "DescribeStacks": describe_stacks,
    "GetStackPolicy": get_stack_policy,
    "GetTemplate": get_template,
    "GetTemplateSummary": get_template_summary,
    "ListStackResources": list_stack_resources,
    "ListStacks": list_stacks,
    "SetStackPolicy": set_stack_policy,
    "UpdateTerminationProtection": update_termination_protection,
}
