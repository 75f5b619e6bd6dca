"""One resource of a stack: its creation, update and deletion by the emulator's own provisioners.

Before each of them, the rights of the operation are checked. The type Custom::LabFailure exists in the lab
only: it fails on purpose, with the properties `FailOn` (Create, Update, Delete, Rollback, or a list of them)
and `Reason`. Other properties of it may have any value. With `Rollback`, a rollback fails,
whether it updates the resource to its former properties or deletes it.
"""

import json

from ministack.core.concurrency import run_reentrant
from ministack.core.responses import new_uuid
from ministack.services import lambda_svc, s3
from ministack.services.cloudformation import provisioners, stacks

from . import control, rights
from .records import STACK

FAILURE = "Custom::LabFailure"
# What a version of a function consists of: without a difference in it, there is no new version.
PUBLISHED = (
    "CodeSha256",
    "Runtime",
    "Handler",
    "Role",
    "Timeout",
    "MemorySize",
    "Environment",
    "Layers",
    "Architectures",
    "EphemeralStorage",
    "TracingConfig",
    "PackageType",
    "VpcConfig",
    "DeadLetterConfig",
    "FileSystemConfigs",
)


class Failure(Exception):
    """An operation failed."""

    def __init__(self, reason="", logical_id=None):
        super().__init__(reason)
        self.reason, self.logical_id = reason, logical_id


class ResourceFailed(Exception):
    """A resource failed; `physical_id` if it exists all the same."""

    def __init__(self, reason, physical_id="", untouched=False):
        super().__init__(reason)
        self.reason, self.physical_id, self.untouched = reason, physical_id, untouched


def message_of(kind, problem, code="GeneralServiceException"):
    """The reason as AWS words it: resource handlers wrap the message of their service."""
    reason = problem.args[0] if problem.args else str(problem)
    start, _, rest = str(reason).partition(": b'{")
    if rest:
        try:
            reply = json.loads("{" + rest.rstrip("'"))
            reason = reply.get("message") or reply.get("Message") or reason
        except ValueError:
            reason = start
    if kind.startswith("Custom::") or kind.startswith("AWS::CloudFormation::"):
        return str(reason)
    if str(reason).startswith("CloudFormation cannot update a stack when a custom-named resource"):
        return str(reason)
    handled = f"(RequestToken: {new_uuid()}, HandlerErrorCode: {code})"
    return f'Resource handler returned message: "{reason}" {handled}'


def denied(message, kind):
    words = f"{message} (Service: {kind.split('::')[1]}, Status Code: 403, Request ID: {new_uuid()})"
    return message_of(kind, ValueError(words), "AccessDenied")


def authorize(op, verb, kind, logical_id, properties, before, physical_id=""):
    message = rights.refusal(op.principal, verb, kind, op.stack, logical_id, properties, before, physical_id)
    if message:
        raise ResourceFailed(denied(message, kind), untouched=True)


def fail_on_purpose(op, phase, logical_id, properties):
    fail_on = properties.get("FailOn", [])
    wanted = phase in ([fail_on] if isinstance(fail_on, str) else fail_on)
    if wanted and (op.stack["StackName"], logical_id) not in control.repaired:
        raise ResourceFailed(properties.get("Reason") or f"{FAILURE} fails on {phase}")


def refuse(kind, words, code):
    """Fails a resource before anything of it has changed."""
    raise ResourceFailed(message_of(kind, ValueError(words), code), untouched=True)


def check_new(kind, properties):
    """Conflicts that the emulator's provisioners miss."""
    if kind == "AWS::Lambda::Function":
        name = properties.get("FunctionName")
        if name and name in lambda_svc._functions:
            refuse(
                kind, f"Function already exist: {name} (Service: Lambda, Status Code: 409)", "AlreadyExists"
            )
    if kind not in ("AWS::Lambda::Permission", "AWS::Lambda::Alias", "AWS::Lambda::Version"):
        return
    reference = str(properties.get("FunctionName", ""))
    function = provisioners._lambda_function_for_cfn_ref(reference)[0]
    if function is None:
        refuse(kind, f"Function not found: {reference} (Service: Lambda, Status Code: 404)", "NotFound")
    if kind == "AWS::Lambda::Version" and (number := unchanged_since(function)):
        exists = f"A version for this Lambda function exists ( {number} )."
        words = f"{exists} Modify the function to create a new version."
        refuse(kind, words, "AlreadyExists")


def unchanged_since(function):
    """The function's last version, if nothing has changed since; else None."""
    number = max(function["versions"], key=int, default=None)
    if number is None:
        return None
    last, now = function["versions"][number].get("config", {}), function["config"]
    return number if all(last.get(name) == now.get(name) for name in PUBLISHED) else None


def check_code(kind, properties):
    code = properties.get("Code") or {} if kind == "AWS::Lambda::Function" else {}
    bucket, key = code.get("S3Bucket"), code.get("S3Key")
    if bucket and key and s3._get_object_data(bucket, key, code.get("S3ObjectVersion")) is None:
        words = (
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key "
            "does not exist. (Service: Lambda, Status Code: 400)"
        )
        refuse(kind, words, "InvalidRequest")


async def called(kind, function, *arguments):
    try:
        if stacks._runs_on_worker_thread(kind):
            return await run_reentrant(function, *arguments)
        return function(*arguments)
    except ResourceFailed:
        raise
    except Exception as problem:
        raise ResourceFailed(
            message_of(kind, problem), untouched=not kind.startswith("Custom::")
        ) from problem


async def create(op, kind, logical_id, properties):
    """Physical id, attributes and name seed of the new resource."""
    authorize(op, "create", kind, logical_id, properties, {})
    if kind == FAILURE:
        fail_on_purpose(op, "Create", logical_id, properties)
        return f"{op.stack['StackName']}-{logical_id}-{new_uuid()[:12]}", {}, ""
    check_new(kind, properties)
    check_code(kind, properties)
    if kind == STACK:
        from . import nested

        return *await nested.create(op, logical_id, properties), ""
    (physical_id, attributes), seed = await called(
        kind, stacks._provision_keeping_seed, kind, logical_id, properties, op.stack["StackName"]
    )
    return physical_id, attributes, seed


async def update(op, kind, logical_id, record, before, properties, rollback=False):
    """As `create`, and the deletions of a replaced predecessor that its own handler asks for."""
    physical_id, attributes = record["PhysicalResourceId"], record.get("Attributes", {})
    replacing = provisioners._replacing_change(kind, before, properties)
    verb = "create" if replacing else "update"
    authorize(op, verb, kind, logical_id, properties, {} if replacing else before, physical_id)
    if kind == FAILURE:
        if rollback:
            fail_on_purpose(op, "Rollback", logical_id, before)
        else:
            fail_on_purpose(op, "Update", logical_id, properties)
        return physical_id, {}, "", []
    if (before.get("Code") or {}) != (properties.get("Code") or {}):
        check_code(kind, properties)
    if kind == STACK:
        from . import nested

        return *await nested.update(op, physical_id, properties, rollback), "", []
    queued = []
    tokens = [
        (provisioners._DEFERRED_PREDECESSOR_DELETES, queued),
        (provisioners._RETAIN_REPLACED, op.replace_policy(logical_id) in provisioners._RETAINING_POLICIES),
        (provisioners._NAME_SEED, record.get("_name_seed", "")),
    ]
    tokens = [(variable, variable.set(value)) for variable, value in tokens]
    try:
        (new_id, new_attributes), seed = await called(
            kind,
            stacks._update_keeping_seed,
            kind,
            physical_id,
            before,
            properties,
            op.stack["StackName"],
            logical_id,
            attributes,
        )
    finally:
        for variable, token in tokens:
            variable.reset(token)
    return new_id, new_attributes or attributes, seed, queued


async def delete(op, kind, logical_id, physical_id, properties, rollback=False):
    authorize(op, "delete", kind, logical_id, properties, {}, physical_id)
    if kind == FAILURE:
        fail_on_purpose(op, "Delete", logical_id, properties)
        if rollback:
            fail_on_purpose(op, "Rollback", logical_id, properties)
        return
    if kind == STACK:
        from . import nested

        await nested.delete(op, physical_id)
        return
    if kind == "AWS::S3::Bucket" and (s3._buckets.get(physical_id) or {}).get("objects"):
        words = "The bucket you tried to delete is not empty (Service: S3, Status Code: 409)"
        raise ResourceFailed(message_of(kind, ValueError(words)))
    await called(
        kind, provisioners._delete_resource, kind, physical_id, properties, op.stack["StackName"], logical_id
    )
