"""What follows a failed operation: its rollback, or the wait for the user."""

from ministack.services.cloudformation import provisioners

from . import control, deletion, records, resources
from .resources import ResourceFailed


def settle_previous(op):
    """The stack describes itself as before the operation."""
    for name in records.DESCRIBED:
        if name in op.previous:
            op.stack[name] = op.previous[name]


async def after(op, failure):
    if op.on_failure == "DO_NOTHING":
        op.stack["_failed"] = op
        records.set_status(op.stack, f"{op.prefix}_FAILED", failure.reason)
        return
    await undo(op, failure.reason)


async def undo(op, reason):
    """Rolls back what the operation did."""
    op.stack["_failed"] = None
    if op.previous is None or not op.has_stable_state:
        await undo_creation(op, reason)
        return
    records.set_status(op.stack, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
    settle_previous(op)
    await control.gate(op.name, op.name, "Rollback")
    await revert(op, list(reversed(merged(op))))


def merged(op):
    """One change for each resource: a failed update before this one may have changed it as well.

    A resource that did not exist before is deleted, not reverted.
    """
    before, found = op.stack["_resources"], {}
    for change in op.changes:
        if before.get(change.logical_id, {}).get("PhysicalResourceId") != change.physical_id:
            continue
        first = found.setdefault(change.logical_id, change)
        if first is not change:
            first.applied = change.applied
            first.untouched = first.untouched and change.untouched
    return list(found.values())


async def undo_creation(op, reason):
    words = "" if reason == "User Initiated" else "Rollback requested by user."
    records.set_status(op.stack, "ROLLBACK_IN_PROGRESS", f"{reason}{words}")
    await control.gate(op.name, op.name, "Rollback")
    failed = []
    for one in reversed(op.made):
        await control.gate(op.name, one.logical_id, "Rollback")
        if not await delete_made(op, one, noted=True):
            failed.append(one.logical_id)
    if failed:
        reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
        records.set_status(op.stack, "ROLLBACK_FAILED", reason)
        return
    records.set_status(op.stack, "ROLLBACK_COMPLETE")
    if op.on_failure == "DELETE":
        await deletion.run(deletion.Deletion(op.stack, op.principal))


async def delete_made(op, one, noted):
    """Deletes a resource that the operation created; False if it could not."""

    def event(status, reason=""):
        if noted:
            records.note(op.stack, one.logical_id, one.kind, status, reason, one.physical_id)
        else:
            records.add_event(op.stack, one.logical_id, one.kind, status, reason, one.physical_id)

    policy = op.policy("DeletionPolicy", one.logical_id)
    if policy == "Retain" and not op.retain_except_on_create:
        event("DELETE_SKIPPED")
        return True
    event("DELETE_IN_PROGRESS")
    try:
        await resources.delete(op, one.kind, one.logical_id, one.physical_id, one.properties, rollback=True)
    except ResourceFailed as problem:
        event("DELETE_FAILED", problem.reason)
        return False
    event("DELETE_COMPLETE")
    return True


async def revert(op, changes):
    """Sends updated resources back to their former properties, then deletes what the update created."""
    failed = []
    for change in changes:
        if change.logical_id in op.skip:
            records.note(op.stack, change.logical_id, change.kind, "UPDATE_COMPLETE", "", change.physical_id)
        elif not await revert_one(op, change):
            failed.append(change)
    op.changes = list(reversed(failed))
    if failed:
        op.stack["_pending"] = op
        names = ", ".join(change.logical_id for change in failed)
        reason = f"The following resource(s) failed to update: [{names}]. "
        records.set_status(op.stack, "UPDATE_ROLLBACK_FAILED", reason)
        return
    op.stack["_pending"] = None
    records.set_status(op.stack, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    await control.gate(op.name, op.name, "Cleanup")
    for one in reversed(op.made):
        await control.gate(op.name, one.logical_id, "Cleanup")
        # A failure to delete does not fail a rollback that has restored everything else.
        await delete_made(op, one, noted=False)
    records.set_status(op.stack, "UPDATE_ROLLBACK_COMPLETE")


async def revert_one(op, change):
    """False if the resource could not get its former properties again."""
    record = op.stack["_resources"][change.logical_id]
    properties = record["Properties"]

    def note(status, reason=""):
        records.note(op.stack, change.logical_id, change.kind, status, reason, change.physical_id, properties)

    if change.untouched:
        note("UPDATE_COMPLETE")
        return True
    note("UPDATE_IN_PROGRESS")
    await control.gate(op.name, change.logical_id, "Rollback")
    seed = provisioners._NAME_SEED.set(record.get("_name_seed", ""))
    try:
        _, attributes, _, _ = await resources.update(
            op, change.kind, change.logical_id, record, change.applied, change.before, rollback=True
        )
    except ResourceFailed as problem:
        note("UPDATE_FAILED", problem.reason)
        return False
    finally:
        provisioners._NAME_SEED.reset(seed)
    record["Attributes"] = {**record.get("Attributes", {}), **(attributes or {})}
    note("UPDATE_COMPLETE")
    return True


async def resume(op):
    """ContinueUpdateRollback."""
    op.is_resumed = True
    records.set_status(op.stack, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
    await control.gate(op.name, op.name, "Rollback")
    await revert(op, list(reversed(op.changes)))
