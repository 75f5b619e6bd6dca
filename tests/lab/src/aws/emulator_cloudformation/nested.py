"""Nested stacks: stacks that their parent's operation creates, updates and deletes.

They have the rights and the capabilities of their parent. Their physical id is their ARN, and their outputs
are attributes of the resource, named `Outputs.Name`.
"""

from ministack.core.responses import new_uuid
from ministack.services.cloudformation import engine, handlers

from . import deletion, operation, parameters, records, template
from . import rollback as rollback_of
from .resources import ResourceFailed
from .wire import ApiError


def child_name(parent, logical_id):
    return f"{parent}-{logical_id}-{new_uuid().replace('-', '')[:12].upper()}"


def described(op_stack, principal, properties, previous=None):
    """Body, template and parameter values. A refusal fails the resource with its message."""
    try:
        body = template.fetched(properties.get("TemplateURL", ""), principal)
        as_sent = template.parsed(body)
        required = handlers._required_iam_capabilities(as_sent)
        if handlers._uses_macro(as_sent):
            required.append("CAPABILITY_AUTO_EXPAND")
        if missing := handlers._missing_capabilities(set(op_stack["Capabilities"]), required):
            raise ApiError(f"Requires capabilities : [{', '.join(missing)}]")
        provided = [
            {"Key": key, "Value": str(value), "UsePreviousValue": False, "Given": True}
            for key, value in (properties.get("Parameters") or {}).items()
        ]
        processed = template.transformed(as_sent, provided, previous or {})
        values = parameters.resolved(processed, provided, previous or {})
        template.check(processed, engine._evaluate_conditions(processed, values), values)
    except (ApiError, template.TransformFailed) as refusal:
        raise ResourceFailed(str(refusal)) from refusal
    return body, processed, values


def tags_of(properties):
    own = properties.get("Tags") or []
    return [tag for tag in own if not tag["Key"].startswith("aws:")]


def prepare(stack, body, processed, values, tags):
    stack.update(
        _template_body=body,
        _template=processed,
        _resolved_params=values,
        Parameters=parameters.described(values),
        Tags=tags,
        Description=processed.get("Description", ""),
    )


def attributes(stack):
    return {f"Outputs.{output['OutputKey']}": output["OutputValue"] for output in stack["Outputs"]}


def new_child(parent, logical_id, status, reason):
    return records.new_stack(
        child_name(parent["StackName"], logical_id),
        status,
        reason,
        ParentId=parent["StackId"],
        RootId=parent.get("RootId") or parent["StackId"],
        Capabilities=list(parent["Capabilities"]),
        RoleARN=parent.get("RoleARN"),
    )


async def create(op, logical_id, properties):
    body, processed, values = described(op.stack, op.principal, properties)
    stack = records.find(op.reviewed.get(logical_id, ""))
    if stack is None or stack["StackStatus"] != "REVIEW_IN_PROGRESS":
        stack = new_child(op.stack, logical_id, "CREATE_IN_PROGRESS", "")
    prepare(stack, body, processed, values, tags_of(properties))
    records.set_status(stack, "CREATE_IN_PROGRESS")
    stack["DisableRollback"] = op.on_failure == "DO_NOTHING"
    child = operation.Operation(
        stack,
        processed,
        values,
        op.principal,
        cancel=op.cancel,
        on_failure="DO_NOTHING" if op.on_failure == "DO_NOTHING" else "ROLLBACK",
    )
    await operation.run(child)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        raise ResourceFailed(
            f"Embedded stack {stack['StackId']} was not successfully created: {cause(stack)}",
            stack["StackId"],
        )
    return stack["StackId"], attributes(stack)


def cause(stack):
    """Why the last operation failed: the reason of its first failed resource."""
    states = ("ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "CREATE_FAILED", "UPDATE_FAILED")
    for event in reversed(records.emulated._stack_events[stack["StackId"]]):
        own = event["PhysicalResourceId"] == stack["StackId"]
        if own and event["ResourceStatus"] in states and event["ResourceStatusReason"]:
            return event["ResourceStatusReason"].replace("Rollback requested by user.", "").strip()
    return stack["StackStatusReason"]


async def update(op, physical_id, properties, rollback):
    """Updates the nested stack; one without a difference stays as it is.

    In its parent's rollback, it may have rolled back by itself. Otherwise it gets its former template,
    whatever its URL has now.
    """
    stack = records.find(physical_id)
    if rollback:
        await restore(op, stack)
        return physical_id, attributes(stack)
    body, processed, values = described(op.stack, op.principal, properties, stack["_resolved_params"])
    stack["Capabilities"], stack["_before"] = list(op.stack["Capabilities"]), None
    wanted = (body, values, tags_of(properties))
    if wanted == (stack["_template_body"], stack["_resolved_params"], stack["Tags"]):
        return physical_id, attributes(stack)
    stack["_before"] = operation.snapshot(stack)
    prepare(stack, body, processed, values, tags_of(properties))
    on_failure = "DO_NOTHING" if op.on_failure == "DO_NOTHING" else "ROLLBACK"
    await run(op, stack, processed, values, stack["_before"], on_failure=on_failure, cancel=op.cancel)
    return physical_id, attributes(stack)


async def restore(op, stack):
    if stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
        await resumed(op, stack)
    before = stack.get("_before")
    if before is None or stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE":
        return
    previous = operation.snapshot(stack)
    body, processed, values = before["_template_body"], before["_template"], before["_resolved_params"]
    prepare(stack, body, processed, values, before["Tags"])
    await run(op, stack, processed, values, previous, is_rollback=True, cancel=None)


async def run(op, stack, processed, values, previous, **more):
    child = operation.Operation(stack, processed, values, op.principal, previous=previous, **more)
    records.set_status(stack, child.status("IN_PROGRESS"))
    await operation.run(child)
    if stack["StackStatus"] != child.status("COMPLETE"):
        unsuccessful(stack, cause(stack))


def unsuccessful(stack, reason):
    words = f"was not successfully updated. Currently in {stack['StackStatus']} with reason: {reason}"
    raise ResourceFailed(f"Embedded stack {stack['StackId']} {words}")


async def resumed(op, stack):
    """Continues the nested stack's own rollback. `Name.LogicalId` names a resource of it to skip."""
    prefix, pending = f"{stack['StackName']}.", stack["_pending"]
    if op.is_resumed:
        own = [name.removeprefix(prefix) for name in op.skip if name.startswith(prefix)]
        pending.principal, pending.skip = op.principal, (*op.skip, *own)
        await rollback_of.resume(pending)
    if stack["StackStatus"] != "UPDATE_ROLLBACK_COMPLETE":
        unsuccessful(stack, stack["StackStatusReason"].strip())


async def delete(op, physical_id):
    stack = records.find(physical_id)
    if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
        return
    await deletion.run(deletion.Deletion(stack, op.principal))
    if stack["StackStatus"] != "DELETE_COMPLETE":
        raise ResourceFailed(
            f"Embedded stack {physical_id} was not successfully deleted: {stack['StackStatusReason'].strip()}"
        )
