"""A stack's creation or update: one resource after the other, then outputs, then the cleanup.

AWS works on independent resources at the same time; here the order is fixed, so that tests can hold a stack
at each resource. The states and their order are those of AWS (CloudFormation User Guide, "Stack status
codes").
"""

import asyncio
import contextvars
import copy
import logging
from dataclasses import dataclass, field
from typing import Any

from ministack.services.cloudformation import engine, provisioners, stacks

from . import control, exports, monitoring, records, resources, stack_policy
from .resources import Failure, ResourceFailed

logger = logging.getLogger("cloudformation")
running = set()
REPLACING = "Requested update requires the creation of a new physical resource; hence creating one."


@dataclass
class Change:
    """A resource that the operation updated in place: what its rollback needs."""

    logical_id: str
    kind: str
    physical_id: str
    applied: dict
    before: dict
    untouched: bool = False


@dataclass
class Physical:
    """A physical resource to delete."""

    logical_id: str
    kind: str
    physical_id: str
    properties: dict
    queued: list = field(default_factory=list)
    policy: str = "Delete"


@dataclass
class Operation:
    """One creation or update of a stack. `previous` is what an update's rollback restores."""

    stack: dict
    template: dict
    values: dict
    principal: Any
    previous: dict | None = None
    on_failure: str = "ROLLBACK"
    retain_except_on_create: bool = False
    # A nested stack that its parent's rollback updates.
    is_rollback: bool = False
    # Nested stacks that the change set has created for review, by logical id.
    reviewed: dict = field(default_factory=dict)
    cancel: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    superseded: bool = False
    cancel_token: str = ""
    # Whether an earlier operation has succeeded, so that a rollback has a state to restore.
    has_stable_state: bool = True
    # Resources whose rollback ContinueUpdateRollback skips.
    skip: tuple = ()
    is_resumed: bool = False
    made: list = field(default_factory=list)
    changes: list = field(default_factory=list)
    obsolete: list = field(default_factory=list)

    def __post_init__(self):
        self.definitions = self.template.get("Resources") or {}
        self.conditions = engine._evaluate_conditions(self.template, self.values)

    @property
    def name(self):
        return self.stack["StackName"]

    @property
    def verb(self):
        return "Create" if self.previous is None else "Update"

    @property
    def prefix(self):
        return self.verb.upper()

    def status(self, suffix):
        return f"UPDATE_ROLLBACK_{suffix}" if self.is_rollback else f"{self.prefix}_{suffix}"

    def order(self):
        return engine._topological_sort(self.definitions, self.conditions)

    def resolve(self, value):
        return engine._resolve_refs(
            copy.deepcopy(value),
            self.stack["_resources"],
            self.values,
            self.conditions,
            self.template.get("Mappings", {}),
            self.name,
            self.stack["StackId"],
        )

    def tagged(self, kind, properties, logical_id, tags=None):
        tags = self.stack["Tags"] if tags is None else tags
        if kind == "AWS::Logs::LogGroup" and not properties.get("LogGroupName"):
            # The emulator's own name for it does not begin with the stack's name, as on AWS.
            name = provisioners._physical_name(self.name, logical_id)
            properties = {**properties, "LogGroupName": name}
        return provisioners._with_stack_tags(
            kind, properties, tags, self.name, self.stack["StackId"], logical_id
        )

    def policy(self, attribute, logical_id, template=None, values=None):
        definition = ((template or self.template).get("Resources") or {}).get(logical_id)
        return stacks._resource_policy(
            definition,
            attribute,
            self.stack["_resources"],
            values or self.values,
            self.conditions,
            (template or self.template).get("Mappings", {}),
            self.name,
            self.stack["StackId"],
        )

    def replace_policy(self, logical_id):
        return self.policy("UpdateReplacePolicy", logical_id)

    def before(self, logical_id):
        """The resource as the last operation left it, if it exists."""
        record = self.stack["_resources"].get(logical_id)
        exists = record and record.get("PhysicalResourceId") and record["ResourceStatus"] != "DELETE_COMPLETE"
        return record if exists and "Properties" in record else None

    def inherit(self, failed):
        """Continues a failed operation that was not rolled back: a rollback undoes both."""
        self.has_stable_state = failed.has_stable_state and failed.previous is not None
        if self.has_stable_state:
            self.previous = failed.previous
        self.made, self.changes = failed.made, failed.changes
        self.obsolete = failed.obsolete


def start(op, work):
    """Runs the operation in the background, in the account and region of this request."""
    op.stack["_operation"] = op
    task = asyncio.get_running_loop().create_task(supervised(op, work), context=contextvars.copy_context())
    running.add(task)
    task.add_done_callback(running.discard)


async def supervised(op, work):
    try:
        await work
    except Exception as problem:
        # A client must see it, not wait for the end of an operation that has none.
        logger.exception("the operation of stack %s failed in the lab itself", op.name)
        status = op.stack["StackStatus"].replace("IN_PROGRESS", "FAILED")
        records.set_status(op.stack, status, f"The lab itself failed: {problem!r}")
    finally:
        op.done.set()
        if op.stack.get("_operation") is op:
            op.stack["_operation"] = None


def snapshot(stack):
    return copy.deepcopy({name: stack[name] for name in records.DESCRIBED if name in stack})


async def run(op):
    """Creates or updates; a failure is rolled back as the request wants."""
    from . import rollback

    try:
        await forward(op)
        await monitoring.watch(op)
    except Failure as failure:
        if not op.superseded:
            await rollback.after(op, failure)
        return
    except control.Cancelled:
        if not op.superseded:
            stacks.CLIENT_REQUEST_TOKEN.set(op.cancel_token)
            await rollback.after(op, Failure("User Initiated"))
        return
    await finish(op)


async def forward(op):
    await control.gate(op.name, op.name, op.verb, op.cancel)
    for logical_id in op.order():
        try:
            await apply(op, logical_id)
        except ResourceFailed as problem:
            fail(op, logical_id, problem)
        except control.Cancelled:
            kind = op.definitions[logical_id]["Type"]
            record = op.stack["_resources"].get(logical_id, {})
            if record.get("ResourceStatus", "").endswith("IN_PROGRESS"):
                words = "Resource creation cancelled" if op.verb == "Create" else "Resource update cancelled"
                status = record["ResourceStatus"].replace("IN_PROGRESS", "FAILED")
                records.note(op.stack, logical_id, kind, status, words, record.get("PhysicalResourceId", ""))
            raise
    for logical_id in removed(op):
        try:
            stack_policy.check(
                op, "Update:Delete", logical_id, op.stack["_resources"][logical_id]["ResourceType"]
            )
        except ResourceFailed as problem:
            fail(op, logical_id, problem)
    try:
        op.outputs, op.exports = outputs(op)
        exports.check_changes(op)
    except ValueError as problem:
        raise Failure(str(problem)) from problem


def fail(op, logical_id, problem):
    """A resource's failure fails the operation."""
    record = op.stack["_resources"].get(logical_id, {})
    kind = record.get("ResourceType") or op.definitions[logical_id]["Type"]
    in_place = any(change.logical_id == logical_id for change in op.changes)
    status = "UPDATE_FAILED" if op.before(logical_id) or in_place else "CREATE_FAILED"
    physical_id = problem.physical_id or record.get("PhysicalResourceId", "")
    if problem.physical_id and status == "CREATE_FAILED":
        op.made.append(Physical(logical_id, kind, physical_id, record.get("Properties", {})))
    records.note(op.stack, logical_id, kind, status, problem.reason, physical_id)
    verb = "update" if status == "UPDATE_FAILED" else "create"
    raise Failure(f"The following resource(s) failed to {verb}: [{logical_id}]. ", logical_id)


async def apply(op, logical_id):
    """Brings one resource to its definition."""
    definition = op.definitions[logical_id]
    kind = definition["Type"]
    before = op.before(logical_id)
    try:
        properties, dynamic = properties_of(op, logical_id, definition, before)
    except ValueError as problem:
        raise ResourceFailed(str(problem), untouched=True) from problem
    if before and before["ResourceType"] == kind:
        await change(op, logical_id, kind, before, properties, dynamic)
    else:
        await add(op, logical_id, kind, before, properties, dynamic)


def properties_of(op, logical_id, definition, before):
    """The resolved properties, and the values of dynamic references by their text."""
    resolved = op.resolve(definition.get("Properties") or {})
    old = ((op.previous or {}).get("_template") or {}).get("Resources") or {}
    same = before is not None and old.get(logical_id) == definition
    unchanged = (
        same and op.previous["_template"] == op.template and op.previous["_resolved_params"] == op.values
    )
    return engine._resolve_dynamic_references(
        resolved, (before or {}).get("_dynamic"), reuse_ssm=unchanged, reuse_secrets=same
    )


async def add(op, logical_id, kind, before, properties, dynamic):
    """Creates a resource. One of another type under the same name goes in the cleanup."""
    if before:
        stack_policy.check(op, "Update:Replace", logical_id, kind)
        op.obsolete.append(obsolete(op, logical_id, before, []))
    tagged = op.tagged(kind, properties, logical_id)
    op.stack["_resources"][logical_id] = {"LogicalResourceId": logical_id, "PhysicalResourceId": ""}
    record = records.note(op.stack, logical_id, kind, "CREATE_IN_PROGRESS", properties=properties)
    record["Properties"] = properties
    await control.gate(op.name, logical_id, "Create", op.cancel)
    physical_id, attributes, seed = await resources.create(op, kind, logical_id, tagged)
    op.made.append(Physical(logical_id, kind, physical_id, tagged))
    initiated = "Resource creation Initiated"
    records.note(op.stack, logical_id, kind, "CREATE_IN_PROGRESS", initiated, physical_id, properties)
    complete(op, logical_id, kind, "CREATE_COMPLETE", physical_id, properties, attributes, dynamic, seed)


def obsolete(op, logical_id, record, queued):
    kind, properties = record["ResourceType"], record.get("Properties", {})
    policy = op.replace_policy(logical_id)
    return Physical(logical_id, kind, record["PhysicalResourceId"], properties, queued, policy)


def complete(op, logical_id, kind, status, physical_id, properties, attributes, dynamic, seed):
    record = records.note(op.stack, logical_id, kind, status, "", physical_id, properties)
    record.update(Properties=properties, Attributes=attributes, _template=op.definitions[logical_id])
    for key, value in [("_dynamic", dynamic), ("_name_seed", seed)]:
        if value:
            record[key] = value


async def change(op, logical_id, kind, before, properties, dynamic):
    """Updates a resource whose properties or tags differ; replaces it if a property requires it."""
    old_tags = (op.previous or {}).get("Tags", [])
    old = op.tagged(kind, before["Properties"], logical_id, old_tags)
    new = op.tagged(kind, properties, logical_id)
    retry = before["ResourceStatus"].endswith("FAILED")
    # A nested stack is always updated: its template may have changed.
    if old == new and not retry and kind != records.STACK:
        before["_template"] = op.definitions[logical_id]
        return
    former = copy.deepcopy(before)
    refused = provisioners._custom_named_replacement_error(kind, old, new, before["PhysicalResourceId"])
    replacing = not refused and provisioners._replacing_change(kind, old, new)
    stack_policy.check(op, "Update:Replace" if replacing or refused else "Update:Modify", logical_id, kind)
    physical_id = before["PhysicalResourceId"]
    reason = REPLACING if replacing else ""
    records.note(op.stack, logical_id, kind, "UPDATE_IN_PROGRESS", reason, physical_id, properties)
    attempt = Change(logical_id, kind, physical_id, new, old, untouched=True)
    if not replacing:
        op.changes.append(attempt)
    await control.gate(op.name, logical_id, "Update", op.cancel)
    attempt.untouched = False
    try:
        new_id, attributes, seed, queued = await resources.update(op, kind, logical_id, former, old, new)
    except ResourceFailed as problem:
        attempt.untouched = problem.untouched
        raise
    if new_id != physical_id or queued:
        op.changes = [one for one in op.changes if one is not attempt]
        op.made.append(Physical(logical_id, kind, new_id, new))
        op.obsolete.append(obsolete(op, logical_id, former, queued))
    complete(op, logical_id, kind, "UPDATE_COMPLETE", new_id, properties, attributes, dynamic, seed)


def removed(op):
    """The resources that the new template no longer has, dependents first."""
    if op.previous is None:
        return []
    old = (op.previous["_template"].get("Resources")) or {}
    active = set(op.order())
    leaving = [
        name for name, record in op.stack["_resources"].items() if name not in active and op.before(name)
    ]
    try:
        order = engine._topological_sort(old, op.previous.get("_conditions", {}))
    except ValueError:
        order = []
    return sorted(leaving, key=lambda name: order.index(name) if name in order else -1, reverse=True)


def outputs(op):
    leaving = removed(op)
    kept = {name: record for name, record in op.stack["_resources"].items() if name not in leaving}
    return stacks._resolve_stack_outputs(
        op.template.get("Outputs") or {},
        op.conditions,
        kept,
        op.values,
        op.template.get("Mappings", {}),
        op.name,
        op.stack["StackId"],
    )


async def finish(op):
    """The operation has succeeded: from here on nothing is rolled back."""
    stack = op.stack
    leaving = removed(op)
    stack["_template"], stack["_resolved_params"] = op.template, op.values
    stack["_conditions"], stack["Outputs"] = op.conditions, op.outputs
    stack["Description"] = op.template.get("Description", "")
    exports.publish(op)
    stack["_failed"] = None
    if op.previous is not None:
        records.set_status(stack, op.status("COMPLETE_CLEANUP_IN_PROGRESS"))
        await control.gate(op.name, op.name, "Cleanup")
        await clean(op, op.obsolete)
        await clean(op, [removed_resource(op, logical_id) for logical_id in leaving], forget=True)
    records.set_status(stack, op.status("COMPLETE"))


def removed_resource(op, logical_id):
    record = op.stack["_resources"][logical_id]
    policy = op.policy(
        "DeletionPolicy", logical_id, op.previous["_template"], op.previous["_resolved_params"]
    )
    kind, properties = record["ResourceType"], record["Properties"]
    return Physical(logical_id, kind, record["PhysicalResourceId"], properties, policy=policy)


async def clean(op, physicals, forget=False):
    """Deletes what the update left over. A failure is recorded only: the update has succeeded."""
    for one in reversed(physicals) if not forget else physicals:
        await control.gate(op.name, one.logical_id, "Cleanup")
        await discard(op, one)
        if forget:
            op.stack["_resources"].pop(one.logical_id, None)


async def discard(op, one):
    def event(status, reason=""):
        records.add_event(op.stack, one.logical_id, one.kind, status, reason, one.physical_id)

    if one.policy in provisioners._RETAINING_POLICIES:
        event("DELETE_SKIPPED")
        return
    event("DELETE_IN_PROGRESS")
    try:
        if one.queued:
            resources.authorize(op, "delete", one.kind, one.logical_id, one.properties, {}, one.physical_id)
            for function, arguments, named in one.queued:
                function(*arguments, **named)
        else:
            await resources.delete(op, one.kind, one.logical_id, one.physical_id, one.properties)
    except ResourceFailed as problem:
        event("DELETE_FAILED", problem.reason)
        return
    event("DELETE_COMPLETE")
