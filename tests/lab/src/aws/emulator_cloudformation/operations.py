"""The requests that begin, cancel, continue or roll back an operation of a stack.

Every one answers at once and works in the background. A repeated request with the same ClientRequestToken
changes nothing.
"""

from ministack.core.responses import now_iso
from ministack.services.cloudformation import engine
from ministack.services.cloudformation.helpers import _resolve_document

from . import (
    change_sets,
    deletion,
    exports,
    identity,
    nested_sets,
    operation,
    parameters,
    records,
    rollback,
    template,
    wire,
)
from .wire import ApiError


def token_of(params):
    return wire.text(params, "ClientRequestToken")


def principal_for(stack, role=None):
    """Whose rights the operation has; a role that a request names stays with the stack."""
    role = role or stack.get("RoleARN")
    if role:
        identity.assumable(role)
        stack["RoleARN"] = role
    return identity.principal_of(role, identity.caller.get())


def describe(stack, body, processed, values, capabilities, tags=None):
    """The stack describes what the operation brings, from its beginning on."""
    stack.update(
        _template_body=body,
        _template=processed,
        _resolved_params=values,
        _conditions=engine._evaluate_conditions(processed, values),
        Parameters=parameters.described(values),
        Capabilities=capabilities,
        Description=processed.get("Description", ""),
        LastUpdatedTime=now_iso(),
    )
    if tags is not None:
        stack["Tags"] = tags


def prepare(stack, processed, values, principal, is_new, on_failure, retain, reviewed=None):
    """The operation, before the stack describes itself anew."""
    op = operation.Operation(
        stack,
        processed,
        values,
        principal,
        previous=None if is_new else operation.snapshot(stack),
        on_failure=on_failure,
        retain_except_on_create=retain,
        reviewed=reviewed or {},
    )
    failed = stack.get("_failed")
    if failed is not None and not is_new:
        op.inherit(failed)
    return op


def execute_change_set(params):
    change_set = change_sets.addressed(params)
    stack = records.find(change_set["StackId"])
    identifier, token = change_set["ChangeSetId"], token_of(params)
    asked = ("ExecuteChangeSet", identifier)
    if records.repeated(stack, token, asked):
        return wire.reply("ExecuteChangeSet", {})
    check_executable(change_set)
    if change_set["OnStackFailure"] and "DisableRollback" in params:
        raise ApiError(
            "You can't specify DisableRollback when the change set was created with OnStackFailure."
        )
    is_new = change_set["ChangeSetType"] == "CREATE"
    if not is_new:
        change_sets.check_updatable(stack)
    principal = principal_for(stack, change_set["_role"])
    records.begin(stack, token, asked)
    on_failure = change_set["OnStackFailure"] or (
        "DO_NOTHING" if wire.flag(params, "DisableRollback") else "ROLLBACK"
    )
    op = prepare(
        stack,
        change_set["_template"],
        change_set["_values"],
        principal,
        is_new,
        on_failure,
        bool(wire.flag(params, "RetainExceptOnCreate")),
        change_set["_children"],
    )
    if is_new:
        stack.update(DisableRollback=on_failure == "DO_NOTHING", OnFailure=change_set["OnStackFailure"])
    tags = change_set["Tags"] if change_set["_tags_given"] or is_new else None
    describe(
        stack,
        change_set["_template_body"],
        change_set["_template"],
        change_set["_values"],
        list(change_set["Capabilities"]),
        tags,
    )
    stack["ChangeSetId"] = identifier
    for name in change_set["_configured"]:
        stack[name] = change_set[name]
    for one in nested_sets.family(change_set):
        one["ExecutionStatus"] = "EXECUTE_IN_PROGRESS"
    records.retire(stack, change_set)
    records.set_status(stack, f"{op.prefix}_IN_PROGRESS", "User Initiated")
    operation.start(op, executed(op, change_set))
    return wire.reply("ExecuteChangeSet", {})


def check_executable(change_set):
    identifier, status = change_set["ChangeSetId"], change_set["Status"]
    kind = "current status"
    if status == "CREATE_COMPLETE":
        kind, status = "current execution status", change_set["ExecutionStatus"]
    if change_set["RootChangeSetId"]:
        raise ApiError(
            f"ChangeSet [{identifier}] belongs to the change set of another stack: execute its root change "
            f"set [{change_set['RootChangeSetId']}]",
            "InvalidChangeSetStatus",
        )
    if status != "AVAILABLE":
        message = f"ChangeSet [{identifier}] cannot be executed in its {kind} of [{status}]"
        raise ApiError(message, "InvalidChangeSetStatus")


async def executed(op, change_set):
    """The execution succeeds with the stack's operation. Then the change set leaves the stack's list."""
    await operation.run(op)
    succeeded = op.stack["StackStatus"] == op.status("COMPLETE")
    for one in nested_sets.family(change_set):
        one["ExecutionStatus"] = "EXECUTE_COMPLETE" if succeeded else "EXECUTE_FAILED"
        one["_unlisted"] = one["_unlisted"] or succeeded


def checked_template(params, body, previous):
    """Content and values of a template that a request applies without a change set."""
    as_sent = template.parsed(body)
    template.check_transforms(as_sent)
    provided = parameters.asked(params)
    try:
        processed = template.transformed(as_sent, provided, previous)
    except template.TransformFailed as problem:
        raise ApiError(str(problem)) from problem
    values = parameters.resolved(processed, provided, previous)
    template.check_capabilities(params, as_sent, processed, macros=True)
    template.check(processed, engine._evaluate_conditions(processed, values), values)
    return processed, values


def document(params, name):
    """A stack policy, in the request or in S3."""
    found, refused = _resolve_document(params, f"{name}Body", f"{name}URL", "Stack policy")
    if refused:
        raise ApiError("Error validating stack policy: Invalid stack policy")
    return found


def create_stack(params):
    name = wire.text(params, "StackName")
    change_sets.check_request(params, change_sets.helpers.stack_name_problems(name))
    role = identity.passed_role(params)
    stack, token = records.find(name), token_of(params)
    current = stack is not None and stack["StackStatus"] != "DELETE_COMPLETE"
    if current and records.repeated(stack, token, ("CreateStack",)):
        return wire.reply("CreateStack", {"StackId": stack["StackId"]})
    if current and stack["StackStatus"] != "REVIEW_IN_PROGRESS":
        raise ApiError(f"Stack [{name}] already exists", "AlreadyExistsException")
    body = template.sent(params)
    if body is None:
        raise ApiError("Either Template URL or Template Body must be specified.")
    processed, values = checked_template(params, body, {})
    stack = stack if current else records.new_stack(name, "CREATE_IN_PROGRESS", "")
    on_failure = wire.text(params, "OnFailure")
    on_failure = on_failure or ("DO_NOTHING" if wire.flag(params, "DisableRollback") else "ROLLBACK")
    principal = principal_for(stack, role)
    records.begin(stack, token, ("CreateStack",))
    retain = bool(wire.flag(params, "RetainExceptOnCreate"))
    op = prepare(stack, processed, values, principal, True, on_failure, retain)
    tags = wire.structures(params, "Tags", "Key", "Value")
    describe(stack, body, processed, values, wire.strings(params, "Capabilities"), tags)
    # Only an update sets it, or a change set that creates the stack.
    stack.pop("LastUpdatedTime")
    stack.update(
        DisableRollback=on_failure == "DO_NOTHING",
        OnFailure=wire.text(params, "OnFailure"),
        EnableTerminationProtection=bool(wire.flag(params, "EnableTerminationProtection")),
        _stack_policy=document(params, "StackPolicy") or "",
    )
    records.retire(stack)
    records.set_status(stack, "CREATE_IN_PROGRESS", "User Initiated")
    operation.start(op, operation.run(op))
    return wire.reply("CreateStack", {"StackId": stack["StackId"]})


def update_stack(params):
    change_sets.check_request(params, [])
    stack = records.live(wire.text(params, "StackName"))
    token = token_of(params)
    if records.repeated(stack, token, ("UpdateStack",)):
        return wire.reply("UpdateStack", {"StackId": stack["StackId"]})
    if stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        raise ApiError(f"Stack [{stack['StackName']}] does not exist")
    change_sets.check_updatable(stack)
    role = identity.passed_role(params)
    body, _ = change_sets.template_for(params, stack)
    processed, values = checked_template(params, body, stack["_resolved_params"])
    tags = wire.structures(params, "Tags", "Key", "Value") if wire.given(params, "Tags") else None
    found = changed(stack, processed, values, tags)
    if not found and stack["StackStatus"] in records.STABLE:
        raise ApiError("No updates are to be performed.")
    principal = principal_for(stack, role)
    records.begin(stack, token, ("UpdateStack",))
    on_failure = "DO_NOTHING" if wire.flag(params, "DisableRollback") else "ROLLBACK"
    retain = bool(wire.flag(params, "RetainExceptOnCreate"))
    op = prepare(stack, processed, values, principal, False, on_failure, retain)
    describe(stack, body, processed, values, wire.strings(params, "Capabilities"), tags)
    if policy := document(params, "StackPolicy"):
        stack["_stack_policy"] = policy
    stack["_during_policy"] = document(params, "StackPolicyDuringUpdate")
    records.retire(stack)
    records.set_status(stack, "UPDATE_IN_PROGRESS", "User Initiated")
    operation.start(op, operation.run(op))
    return wire.reply("UpdateStack", {"StackId": stack["StackId"]})


def changed(stack, processed, values, tags):
    new_tags = tags is not None and tags != stack["Tags"]
    return (
        new_tags
        or change_sets.changes.computed(stack, processed, values, tags or [], tags is not None, False)
        or change_sets.outputs_differ(stack, processed, values)
        # Their templates may have changed.
        or any(record["ResourceType"] == records.STACK for record in stack["_resources"].values())
    )


def cancel_update_stack(params):
    stack = records.live(wire.text(params, "StackName"))
    token = token_of(params)
    if records.repeated(stack, token, ("CancelUpdateStack",)):
        return wire.reply("CancelUpdateStack")
    if stack["StackStatus"] != "UPDATE_IN_PROGRESS":
        raise ApiError("CancelUpdateStack cannot be called from current stack status")
    records.begin(stack, token, ("CancelUpdateStack",))
    op = stack["_operation"]
    op.cancel_token = token
    op.cancel.set()
    return wire.reply("CancelUpdateStack")


def continue_update_rollback(params):
    stack = records.live(wire.text(params, "StackName"))
    token, role = token_of(params), identity.passed_role(params)
    if records.repeated(stack, token, ("ContinueUpdateRollback",)):
        return wire.reply("ContinueUpdateRollback", {})
    if stack["StackStatus"] != "UPDATE_ROLLBACK_FAILED":
        raise ApiError("ContinueUpdateRollback cannot be called from current stack status")
    op, skip = stack["_pending"], wire.strings(params, "ResourcesToSkip")
    failed = [change.logical_id for change in op.changes]
    if unknown := [name for name in skip if name not in failed and "." not in name]:
        raise ApiError(
            f"The following resources cannot be skipped, because they have not failed: [{', '.join(unknown)}]"
        )
    op.principal, op.skip = principal_for(stack, role), tuple(skip)
    records.begin(stack, token, ("ContinueUpdateRollback",))
    op.stack["StackStatus"] = "UPDATE_ROLLBACK_IN_PROGRESS"
    operation.start(op, rollback.resume(op))
    return wire.reply("ContinueUpdateRollback", {})


def rollback_stack(params):
    stack = records.live(wire.text(params, "StackName"))
    token, role = token_of(params), identity.passed_role(params)
    result = {"StackId": stack["StackId"]}
    if records.repeated(stack, token, ("RollbackStack",)):
        return wire.reply("RollbackStack", result)
    op = stack.get("_failed")
    if stack["StackStatus"] not in ("CREATE_FAILED", "UPDATE_FAILED") or op is None:
        raise ApiError("RollbackStack cannot be called from current stack status")
    op.principal = principal_for(stack, role)
    op.retain_except_on_create = bool(wire.flag(params, "RetainExceptOnCreate"))
    op.on_failure = "ROLLBACK"
    records.begin(stack, token, ("RollbackStack",))
    is_new = op.previous is None or not op.has_stable_state
    stack["StackStatus"] = "ROLLBACK_IN_PROGRESS" if is_new else "UPDATE_ROLLBACK_IN_PROGRESS"
    operation.start(op, rollback.undo(op, "User Initiated"))
    return wire.reply("RollbackStack", result)


def check_deletable(stack, params):
    status, identifier = stack["StackStatus"], stack["StackId"]
    if stack["EnableTerminationProtection"]:
        raise ApiError(f"Stack [{identifier}] cannot be deleted while TerminationProtection is enabled")
    if status.endswith("_IN_PROGRESS") and status not in ("CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS"):
        raise ApiError(f"Stack [{identifier}] cannot be deleted while in status {status}")
    retain, mode = wire.strings(params, "RetainResources"), wire.text(params, "DeletionMode")
    if retain and status != "DELETE_FAILED":
        raise ApiError(
            f"Invalid operation on stack [{identifier}]. When you delete a stack, specify which resources to "
            "retain only when the stack is in the DELETE_FAILED state."
        )
    if mode == "FORCE_DELETE_STACK" and status != "DELETE_FAILED":
        raise ApiError(
            f"Invalid operation on stack [{identifier}]. You can activate DeletionMode FORCE_DELETE_STACK in "
            "a delete stack operation only when the stack is in the DELETE_FAILED state."
        )
    if unknown := [name for name in retain if name not in stack["_resources"]]:
        raise ApiError(f"Resource(s) [{', '.join(unknown)}] do not exist in stack [{stack['StackName']}]")


def delete_stack(params):
    stack = records.find(wire.text(params, "StackName"))
    role = identity.passed_role(params)
    if stack is None or stack["StackStatus"] in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
        return wire.reply("DeleteStack")
    token = token_of(params)
    if records.repeated(stack, token, ("DeleteStack",)):
        return wire.reply("DeleteStack")
    check_deletable(stack, params)
    if reason := exports.deletion_refusal(stack):
        records.set_status(stack, stack["StackStatus"], reason)
        return wire.reply("DeleteStack")
    principal = principal_for(stack, role)
    records.begin(stack, token, ("DeleteStack",))
    stack["DeletionMode"] = wire.text(params, "DeletionMode") or None
    op = deletion.Deletion(
        stack,
        principal,
        frozenset(wire.strings(params, "RetainResources")),
        wire.text(params, "DeletionMode") == "FORCE_DELETE_STACK",
    )
    op.waits_for = stack.get("_operation")
    if op.waits_for is not None:
        op.waits_for.superseded = True
        op.waits_for.cancel.set()
    stack["StackStatus"] = "DELETE_IN_PROGRESS"
    operation.start(op, deletion.run(op))
    return wire.reply("DeleteStack")


ACTIONS = {
    "CancelUpdateStack": cancel_update_stack,
    "ContinueUpdateRollback": continue_update_rollback,
    "CreateStack": create_stack,
    "DeleteStack": delete_stack,
    "ExecuteChangeSet": execute_change_set,
    "RollbackStack": rollback_stack,
    "UpdateStack": update_stack,
}
