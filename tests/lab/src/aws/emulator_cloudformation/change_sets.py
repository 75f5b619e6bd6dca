"""The operations of change sets.

A change set is created in the background: CREATE_PENDING, CREATE_IN_PROGRESS, then CREATE_COMPLETE or FAILED.
Errors of the template and its parameters refuse the request at once; a failed transform, or a template
without changes, fails the change set. (API reference; messages as recorded on AWS by LocalStack's tests,
tests/aws/services/cloudformation/api/test_changesets.snapshot.json, unless noted.)
"""

import asyncio
import contextvars
from html import unescape

from ministack.core.responses import get_account_id, get_region, new_uuid, now_iso
from ministack.services import cloudformation as emulated
from ministack.services.cloudformation import engine, helpers

from . import changes, control, identity, nested_sets, operation, parameters, records, template, wire
from .resources import ResourceFailed
from .wire import ApiError

NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
BUSY = "An operation on this ChangeSet is currently in progress.  Please attempt this operation again later."
LIMIT = 1000


def request_of(params):
    """What a repeated request must repeat, by the name of the attribute in AWS's message."""
    url = wire.text(params, "TemplateURL")
    return {
        "ClientToken": wire.text(params, "ClientToken"),
        "Template": url or wire.text(params, "TemplateBody") or wire.text(params, "UsePreviousTemplate"),
        "Parameters": wire.structures(
            params, "Parameters", "ParameterKey", "ParameterValue", "UsePreviousValue"
        ),
        "Capabilities": wire.strings(params, "Capabilities"),
        "Tags": wire.structures(params, "Tags", "Key", "Value"),
        "RoleARN": wire.text(params, "RoleARN"),
        "ChangeSetType": wire.text(params, "ChangeSetType") or "UPDATE",
    }


def repeated(stack, name, asked):
    """The change set that an equal request with the same ClientToken already created."""
    existing = next((c for c in records.listed(stack) if c["ChangeSetName"] == name), None) if stack else None
    if existing is None:
        return None
    differing = next((key for key in asked if asked[key] != existing["_request"][key]), None)
    if differing:
        message = f"ChangeSet {name} cannot be created due to a mismatch with existing attribute {differing}"
        raise ApiError(message, "AlreadyExistsException")
    if not asked["ClientToken"]:
        raise ApiError(f"ChangeSet {name} already exists", "AlreadyExistsException")
    return existing


def check_names(params):
    problems = []
    name = wire.text(params, "ChangeSetName")
    if not helpers.STACK_NAME_RE.fullmatch(name):
        problems.append(
            f"Value '{name}' at 'changeSetName' failed to satisfy constraint: Member must satisfy regular "
            f"expression pattern: {helpers.STACK_NAME_PATTERN}"
        )
    if len(name) > 128:
        problems.append(
            f"Value '{name}' at 'changeSetName' failed to satisfy constraint: Member must have length less "
            "than or equal to 128"
        )
    stack_name = wire.text(params, "StackName")
    if not stack_name.startswith("arn:"):
        problems += helpers.stack_name_problems(stack_name)
    check_request(params, problems)


def check_request(params, problems):
    """The constraints of the service model, all in one message."""
    if problem := helpers._template_body_problem(wire.text(params, "TemplateBody")):
        problems.append(problem)
    problems += helpers.capabilities_problems(wire.strings(params, "Capabilities"))
    if problems:
        raise ApiError(helpers.validation_error_message(problems))
    tags = wire.structures(params, "Tags", "Key", "Value")
    if refused := helpers._validate_stack_tags(tags):
        raise ApiError(unescape(refused[2].decode().split("<Message>")[1].split("</Message>")[0]))


def stack_for(params, kind):
    """The stack of the change set; None if it is to be created."""
    name, change_set = wire.text(params, "StackName"), wire.text(params, "ChangeSetName")
    stack = records.find(name)
    gone = stack is None or stack["StackStatus"] == "DELETE_COMPLETE"
    if kind == "CREATE":
        if name.startswith("arn:") or (not gone and stack["StackStatus"] != "REVIEW_IN_PROGRESS"):
            raise ApiError(
                f"Stack [{name}] already exists and cannot be created again with the changeSet "
                f"[{change_set}]."
            )
        return None if gone else stack
    if gone or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        raise ApiError(f"Stack [{name}] does not exist")
    check_updatable(stack)
    return stack


def check_updatable(stack):
    status = stack["StackStatus"]
    if status not in records.UPDATABLE:
        raise ApiError(f"Stack:{stack['StackId']} is in {status} state and can not be updated.")
    if status == "CREATE_FAILED" and stack.get("OnFailure"):
        raise ApiError(
            f"This stack cannot be updated from [CREATE_FAILED] state because it contains [on-failure: "
            f"{stack['OnFailure']}]. Please use disable-rollback option instead during stack creation."
        )


def create_change_set(params):
    check_names(params)
    kind = wire.text(params, "ChangeSetType") or "UPDATE"
    name = wire.text(params, "ChangeSetName")
    if kind not in ("CREATE", "UPDATE"):
        raise ApiError(f"The lab supports the change set types CREATE and UPDATE, not {kind}")
    if wire.text(params, "OnStackFailure") == "DELETE" and kind != "CREATE":
        raise ApiError("OnStackFailure DELETE is only valid when ChangeSetType is CREATE.")
    asked = request_of(params)
    current = records.find(wire.text(params, "StackName"))
    before = repeated(
        current if current and current["StackStatus"] != "DELETE_COMPLETE" else None, name, asked
    )
    if before:
        return created(before)
    stack = stack_for(params, kind)
    role = identity.passed_role(params)
    if stack is not None and len(records.listed(stack)) >= LIMIT:
        raise ApiError(f"ChangeSet limit exceeded for stack {stack['StackId']}", "LimitExceededException")
    body, as_sent = template_for(params, stack)
    template.check_transforms(as_sent)
    provided = parameters.asked(params)
    previous = stack["_resolved_params"] if stack else {}
    processed = values = failed = None
    try:
        processed = template.transformed(as_sent, provided, previous)
    except template.TransformFailed as problem:
        failed = str(problem)
    else:
        values = parameters.resolved(processed, provided, previous)
        template.check_capabilities(params, as_sent, processed, macros=False)
        template.check(processed, engine._evaluate_conditions(processed, values), values)
    if stack is None:
        stack = records.new_stack(wire.text(params, "StackName"), "REVIEW_IN_PROGRESS", "User Initiated")
        stack["Tags"] = asked["Tags"]
        records.set_status(stack, "REVIEW_IN_PROGRESS", "User Initiated")
    change_set = stored(params, stack, kind, asked, role, body, processed, values)
    in_background(build(change_set, stack, failed))
    return created(change_set)


def template_for(params, stack):
    """Text and content of the template that the request sends, points to or keeps."""
    body = template.sent(params)
    if body is None:
        if not wire.flag(params, "UsePreviousTemplate"):
            raise ApiError("Either Template URL or Template Body must be specified.")
        body = stack["_template_body"] if stack else ""
    return body, template.parsed(body)


def created(change_set):
    return wire.reply("CreateChangeSet", {"Id": change_set["ChangeSetId"], "StackId": change_set["StackId"]})


def arn_of(name):
    return f"arn:aws:cloudformation:{get_region()}:{get_account_id()}:changeSet/{name}/{new_uuid()}"


def stored(params, stack, kind, asked, role, body, processed, values):
    name = wire.text(params, "ChangeSetName")
    tags = wire.structures(params, "Tags", "Key", "Value")
    change_set = {
        "ChangeSetId": arn_of(name),
        "ChangeSetName": name,
        "ChangeSetType": kind,
        "StackId": stack["StackId"],
        "StackName": stack["StackName"],
        "Description": wire.text(params, "Description") or None,
        "Status": "CREATE_PENDING",
        "ExecutionStatus": "UNAVAILABLE",
        "StatusReason": None,
        "CreationTime": now_iso(),
        "Changes": [],
        "Parameters": parameters.described(values or {}),
        "Tags": tags,
        "Capabilities": asked["Capabilities"],
        "OnStackFailure": wire.text(params, "OnStackFailure") or None,
        "NotificationARNs": wire.strings(params, "NotificationARNs"),
        "RollbackConfiguration": rollback_configuration(params),
        "IncludeNestedStacks": bool(wire.flag(params, "IncludeNestedStacks")),
        "ParentChangeSetId": None,
        "RootChangeSetId": None,
        # What the request omits stays as it is with the stack.
        "_configured": configured(params),
        "_tags_given": wire.given(params, "Tags"),
        "_role": role,
        "_request": asked,
        "_unlisted": False,
        "_template_body": body,
        "_template": processed,
        "_values": values,
        "_principal": identity.principal_of(role or stack.get("RoleARN"), identity.caller.get()),
        "_children": {},
    }
    emulated._change_sets[change_set["ChangeSetId"]] = change_set
    return change_set


def configured(params):
    fields = ("RollbackConfiguration", "NotificationARNs")
    return [name for name in fields if any(key.split(".")[0] == name for key in params)]


def rollback_configuration(params):
    prefix = "RollbackConfiguration."
    triggers = wire.structures(params, f"{prefix}RollbackTriggers", "Arn", "Type")
    minutes = wire.text(params, f"{prefix}MonitoringTimeInMinutes")
    found = {"RollbackTriggers": triggers or None, "MonitoringTimeInMinutes": minutes or None}
    return {name: value for name, value in found.items() if value is not None}


def in_background(work):
    task = asyncio.get_running_loop().create_task(work, context=contextvars.copy_context())
    operation.running.add(task)
    task.add_done_callback(operation.running.discard)


async def build(change_set, stack, failed):
    name = stack["StackName"]
    await control.gate(name, change_set["ChangeSetName"], "ChangeSet")
    if change_set["ChangeSetId"] not in emulated._change_sets:
        return
    change_set["Status"] = "CREATE_IN_PROGRESS"
    await asyncio.sleep(control.paces.get(name, control.STEP))
    if not failed:
        try:
            failed = compute(change_set, stack)
        except ResourceFailed as problem:
            failed = problem.reason
        except Exception as problem:
            operation.logger.exception("the lab cannot compare the templates of %s", name)
            failed = f"The lab cannot compare the templates: {problem}"
    if failed:
        change_set.update(Status="FAILED", StatusReason=failed)
    else:
        change_set.update(Status="CREATE_COMPLETE", ExecutionStatus="AVAILABLE")


def compute(change_set, stack):
    """The changes; a reason if the change set fails."""
    processed, values = change_set["_template"], change_set["_values"]
    is_new = change_set["ChangeSetType"] == "CREATE"
    found = changes.computed(stack, processed, values, change_set["Tags"], change_set["_tags_given"], is_new)
    found = nested_sets.completed(change_set, stack, found)
    change_set["Changes"] = found
    if found or outputs_differ(stack, processed, values) and not is_new:
        return None
    return NO_CHANGES


def outputs_differ(stack, processed, values):
    """A change of outputs alone is a change, without a resource in the list."""
    sides = [
        changes.Side(stack, stack["_template"], stack["_resolved_params"], changes.existing_of(stack)),
        changes.Side(stack, processed, values, changes.existing_of(stack)),
    ]
    shown = []
    for side in sides:
        try:
            shown.append(side.resolve(side.template.get("Outputs") or {}, side.values))
        except ValueError:
            shown.append(side.template.get("Outputs") or {})
    return shown[0] != shown[1]


def addressed(params):
    return records.find_change_set(wire.text(params, "ChangeSetName"), wire.text(params, "StackName"))


def delete_change_set(params):
    name = wire.text(params, "ChangeSetName")
    if not name.startswith("arn:") and not wire.text(params, "StackName"):
        raise ApiError("StackName must be specified if ChangeSetName is not specified as an ARN.")
    try:
        change_set = addressed(params)
    except ApiError as missing:
        # Deleting one that does not exist succeeds, as long as the stack exists.
        if missing.code == "ChangeSetNotFound":
            return wire.reply("DeleteChangeSet", {})
        raise
    if change_set["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
        raise ApiError(BUSY, "InvalidChangeSetStatus")
    if change_set["ExecutionStatus"] == "EXECUTE_IN_PROGRESS":
        raise ApiError(
            f"ChangeSet [{change_set['ChangeSetId']}] cannot be deleted in its current execution status of "
            f"[{change_set['ExecutionStatus']}]",
            "InvalidChangeSetStatus",
        )
    for one in nested_sets.family(change_set):
        emulated._change_sets.pop(one["ChangeSetId"], None)
        child = records.find(one["StackId"])
        if one is not change_set and child and child["StackStatus"] == "REVIEW_IN_PROGRESS":
            records.set_status(child, "DELETE_COMPLETE")
            records.forget(child)
    return wire.reply("DeleteChangeSet", {})


def describe_change_set(params):
    change_set = addressed(params)
    with_values = bool(wire.flag(params, "IncludePropertyValues"))
    size = control.page_size(change_set["StackName"])
    shown, token = wire.page(params, change_set["Changes"], "DescribeChangeSet", size)
    fields = (
        "ChangeSetName",
        "ChangeSetId",
        "StackId",
        "StackName",
        "Description",
        "Parameters",
        "CreationTime",
        "ExecutionStatus",
        "Status",
        "StatusReason",
        "NotificationARNs",
        "RollbackConfiguration",
        "Capabilities",
        "Tags",
    )
    result = {name: change_set[name] for name in fields}
    result["Changes"] = [described(change, with_values) for change in shown]
    result["NextToken"] = token
    for name in ("IncludeNestedStacks", "ParentChangeSetId", "RootChangeSetId", "OnStackFailure"):
        result[name] = change_set[name]
    return wire.reply("DescribeChangeSet", result)


def described(change, with_values):
    shown = {name: value for name, value in change.items() if not name.startswith("_")}
    if with_values:
        shown.update(change["_values"])
    shown.setdefault("Scope", [])
    shown.setdefault("Details", [])
    return {"Type": "Resource", "ResourceChange": shown}


def list_change_sets(params):
    stack = records.live(wire.text(params, "StackName"))
    size = control.page_size(stack["StackName"])
    shown, token = wire.page(params, records.listed(stack), "ListChangeSets", size)
    fields = (
        "StackId",
        "StackName",
        "ChangeSetId",
        "ChangeSetName",
        "ExecutionStatus",
        "Status",
        "StatusReason",
        "CreationTime",
        "Description",
        "IncludeNestedStacks",
        "ParentChangeSetId",
        "RootChangeSetId",
    )
    summaries = [{name: change_set[name] for name in fields} for change_set in shown]
    return wire.reply("ListChangeSets", {"Summaries": summaries, "NextToken": token})


ACTIONS = {
    "CreateChangeSet": create_change_set,
    "DeleteChangeSet": delete_change_set,
    "DescribeChangeSet": describe_change_set,
    "ListChangeSets": list_change_sets,
}
