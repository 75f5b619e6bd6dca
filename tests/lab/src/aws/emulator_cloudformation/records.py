"""Stacks, change sets and events as the emulator stores them.

A stack is the emulator's own dictionary, so that its provisioners and its other operations keep working.
Current stacks are stored by name. A deleted stack is stored by its ARN: it can only be named by it, and a new
stack may take its name. Change sets are stored by ARN.
"""

import json

from ministack.core.responses import get_account_id, get_region, new_uuid, now_iso
from ministack.services import cloudformation as emulated
from ministack.services.cloudformation.stacks import CLIENT_REQUEST_TOKEN

from .wire import ApiError

STACK = "AWS::CloudFormation::Stack"
# What an update replaces and its rollback restores.
DESCRIBED = (
    "_resources",
    "_template",
    "_template_body",
    "_resolved_params",
    "_conditions",
    "_sent",
    "Parameters",
    "Tags",
    "Outputs",
    "Description",
    "Capabilities",
    "RollbackConfiguration",
    "NotificationARNs",
)
# Updates may begin here, and after a failure without rollback (CloudFormation User Guide, "Choose how to
# handle failures when provisioning resources").
STABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
UPDATABLE = (*STABLE, "UPDATE_FAILED", "CREATE_FAILED")


def stacks():
    return [stack for stack in emulated._stacks.values()]


def find(name_or_id):
    """The stack of this name or ARN, deleted ones by ARN only; None if there is none."""
    stack = emulated._stacks.get(name_or_id)
    if stack is not None and (not name_or_id.startswith("arn:") or stack["StackId"] == name_or_id):
        return stack
    return next((s for s in stacks() if s["StackId"] == name_or_id), None)


def live(name_or_id, message="Stack [{}] does not exist"):
    """The stack, which must exist and not be deleted."""
    stack = find(name_or_id)
    if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
        raise ApiError(message.format(name_or_id))
    return stack


def known(name_or_id, message="Stack with id {} does not exist"):
    """The stack, which may be deleted if it is named by its ARN."""
    stack = find(name_or_id)
    if stack is None:
        raise ApiError(message.format(name_or_id))
    return stack


def new_stack(name, status, reason, **more):
    """Adds a stack without a template."""
    stack_id = f"arn:aws:cloudformation:{get_region()}:{get_account_id()}:stack/{name}/{new_uuid()}"
    stack = {
        "StackName": name,
        "StackId": stack_id,
        "StackStatus": status,
        "StackStatusReason": reason,
        "CreationTime": now_iso(),
        "Description": "",
        "Parameters": [],
        "Tags": [],
        "Outputs": [],
        "Capabilities": [],
        "DisableRollback": False,
        "EnableTerminationProtection": False,
        "_region": get_region(),
        "_resources": {},
        "_template": {},
        "_template_body": "",
        "_sent": {},
        "_resolved_params": {},
        "_conditions": {},
        "_tokens": {},
        **more,
    }
    emulated._stacks[name] = stack
    emulated._stack_events[stack_id] = []
    return stack


def forget(stack):
    """A deleted stack leaves its name to others."""
    if emulated._stacks.get(stack["StackName"]) is stack:
        emulated._stacks.pop(stack["StackName"])
    emulated._stacks[stack["StackId"]] = stack


def add_event(stack, logical_id, kind, status, reason="", physical_id="", properties=None):
    """EventIds of resources carry name, status and time on AWS; those of the stack are UUIDs."""
    now = now_iso()
    own = kind == STACK and physical_id == stack["StackId"]
    event = {
        "StackId": stack["StackId"],
        "StackName": stack["StackName"],
        "EventId": new_uuid() if own else f"{logical_id}-{status}-{now}-{new_uuid()[:8]}",
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": physical_id,
        "ResourceType": kind,
        "ResourceStatus": status,
        "ResourceStatusReason": reason or None,
        "Timestamp": now,
        "ClientRequestToken": CLIENT_REQUEST_TOKEN.get() or None,
    }
    if properties is not None:
        event["ResourceProperties"] = json.dumps(properties, default=str)
    emulated._stack_events.setdefault(stack["StackId"], []).append(event)


def set_status(stack, status, reason=""):
    """Moves a stack to `status`, with the event of it."""
    stack["StackStatus"], stack["StackStatusReason"] = status, reason
    add_event(stack, stack["StackName"], STACK, status, reason, stack["StackId"])


def note(stack, logical_id, kind, status, reason="", physical_id="", properties=None):
    """Records the state of a resource, with the event of it."""
    record = stack["_resources"].setdefault(logical_id, {"LogicalResourceId": logical_id})
    record.update(ResourceType=kind, ResourceStatus=status, ResourceStatusReason=reason, Timestamp=now_iso())
    if physical_id:
        record["PhysicalResourceId"] = physical_id
    add_event(stack, logical_id, kind, status, reason, physical_id, properties)
    return record


def change_sets(stack=None):
    every = list(emulated._change_sets.values())
    return [c for c in every if stack is None or c["StackId"] == stack["StackId"]]


def listed(stack):
    """The change sets that ListChangeSets shows and that can be named by name."""
    return [change_set for change_set in change_sets(stack) if not change_set["_unlisted"]]


def find_change_set(name, stack_name):
    """The change set that a request names.

    AWS keeps answering DescribeChangeSet by ARN after the change set was executed, even after the stack was
    deleted (LocalStack's tests recorded on AWS: test_changesets.py::test_name_conflicts). After the success
    of an execution, its name is free again. A deleted change set does not exist at all
    (test_deleted_changeset).
    """
    if name.startswith("arn:"):
        found = emulated._change_sets.get(name)
    else:
        if not stack_name:
            raise ApiError("StackName must be specified if ChangeSetName is not specified as an ARN.")
        stack = live(stack_name)
        found = next((c for c in listed(stack) if c["ChangeSetName"] == name), None)
    if found is None:
        raise ApiError(f"ChangeSet [{name}] does not exist", "ChangeSetNotFound", 404)
    return found


def retire(stack, executed=None):
    """Makes the stack's other change sets obsolete.

    "CloudFormation deletes all other change sets associated with the stack" (API reference,
    ExecuteChangeSet). By ARN, they are still described, as OBSOLETE (test_create_while_in_review, recorded on
    AWS).
    """
    for change_set in change_sets(stack):
        if change_set is not executed and not change_set["_unlisted"]:
            change_set["_unlisted"] = True
            if change_set["ExecutionStatus"] == "AVAILABLE":
                change_set["ExecutionStatus"] = "OBSOLETE"


def repeated(stack, token, operation):
    """Whether a request with this token already began this operation.

    A token of another operation is refused. (Code of TokenAlreadyExistsException: service model; the API
    reference promises that a repeated request does not act twice; the wording is not recorded anywhere.)
    """
    before = stack["_tokens"].get(token) if token else None
    if before not in (None, operation):
        message = f"Token {token} already exists for another operation on stack [{stack['StackId']}]"
        raise ApiError(message, "TokenAlreadyExistsException")
    return before is not None


def begin(stack, token, operation):
    """Notes the operation that the token began."""
    if token:
        stack["_tokens"][token] = operation
