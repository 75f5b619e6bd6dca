"""A stack's deletion: resources in reverse order of their dependencies, then its exports and its name."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import now_iso
from ministack.services.cloudformation import engine, provisioners, stacks

from . import control, exports, records, resources
from .resources import ResourceFailed


@dataclass
class Deletion:
    stack: dict
    principal: Any
    retain: frozenset = frozenset()
    force: bool = False
    # An operation in progress that must end first.
    waits_for: Any = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self):
        return self.stack["StackName"]

    def policy(self, logical_id):
        template = self.stack["_template"] or {}
        return stacks._resource_policy(
            (template.get("Resources") or {}).get(logical_id),
            "DeletionPolicy",
            self.stack["_resources"],
            self.stack["_resolved_params"],
            self.stack["_conditions"],
            template.get("Mappings", {}),
            self.name,
            self.stack["StackId"],
        )

    def order(self):
        resources_of = self.stack["_resources"]
        definitions = {
            name: record["_template"] for name, record in resources_of.items() if "_template" in record
        }
        try:
            order = engine._topological_sort(definitions, {})
        except ValueError:
            order = list(definitions)
        # What an operation left unfinished has no dependents.
        return list(reversed([*order, *(name for name in resources_of if name not in order)]))


async def run(op):
    stack = op.stack
    if op.waits_for is not None:
        await op.waits_for.done.wait()
    records.set_status(stack, "DELETE_IN_PROGRESS", "User Initiated")
    await control.gate(op.name, op.name, "Delete")
    failed, needed = [], set()
    for logical_id in op.order():
        # What a resource depends on stays as long as the resource does.
        if logical_id not in needed and await delete_one(op, logical_id):
            continue
        if logical_id not in needed:
            failed.append(logical_id)
        definition = stack["_resources"][logical_id].get("_template", {})
        needed |= engine._extract_deps(definition, set(stack["_resources"]))
    if failed:
        reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
        records.set_status(stack, "DELETE_FAILED", reason)
        return
    exports.withdraw(stack)
    stack["DeletionTime"] = now_iso()
    records.retire(stack)
    records.set_status(stack, "DELETE_COMPLETE")
    records.forget(stack)


async def delete_one(op, logical_id):
    """Deletes or retains one resource; False if it could not."""
    record = op.stack["_resources"][logical_id]
    kind, physical_id = record["ResourceType"], record.get("PhysicalResourceId", "")
    if record["ResourceStatus"] in ("DELETE_COMPLETE", "DELETE_SKIPPED"):
        return True

    def note(status, reason=""):
        records.note(op.stack, logical_id, kind, status, reason, physical_id)

    if not physical_id:
        # Its creation failed before there was anything to delete.
        note("DELETE_COMPLETE")
        return True
    if op.policy(logical_id) in provisioners._RETAINING_POLICIES or logical_id in op.retain:
        note("DELETE_SKIPPED")
        return True
    note("DELETE_IN_PROGRESS")
    await control.gate(op.name, logical_id, "Delete")
    try:
        await resources.delete(op, kind, logical_id, physical_id, record.get("Properties", {}))
    except ResourceFailed as problem:
        note("DELETE_SKIPPED" if op.force else "DELETE_FAILED", problem.reason)
        return op.force
    note("DELETE_COMPLETE")
    return True
