"""Exports: values that other stacks import, and that may not go or change as long as they do."""

from ministack.services import cloudformation as emulated
from ministack.services.cloudformation.handlers import _imported_export_names

from . import records


def importers(name, own):
    """The stacks that import an export, by name."""
    return sorted(
        stack["StackName"]
        for stack in records.stacks()
        if stack is not own
        and stack["StackStatus"] not in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS")
        and name in _imported_export_names(stack, stack["StackName"])
    )


def owned(stack):
    return {name: own for name, own in emulated._exports.items() if own["StackId"] == stack["StackId"]}


def deletion_refusal(stack):
    """The reason why the stack cannot be deleted; None if nothing imports from it.

    DeleteStack succeeds all the same; the stack keeps its state and shows this reason.
    """
    for name in owned(stack):
        if used := importers(name, stack):
            return f"Delete canceled. Cannot delete export {name} as it is in use by {', '.join(used)}."
    return None


def check_changes(op):
    """Refuses an operation whose outputs conflict with those of other stacks."""
    for name in op.exports:
        other = emulated._exports.get(name)
        if other and other["StackId"] != op.stack["StackId"]:
            owner = other["StackId"].split("/")[1]
            raise ValueError(f"Export with name {name} is already exported by stack {owner}. ")
    for name, own in owned(op.stack).items():
        if name not in op.exports and (used := importers(name, op.stack)):
            raise ValueError(
                f"Delete canceled. Cannot delete export {name} as it is in use by {', '.join(used)}."
            )
        changed = name in op.exports and op.exports[name]["Value"] != own["Value"]
        if changed and (used := importers(name, op.stack)):
            raise ValueError(f"Export {name} cannot be updated as it is in use by {', '.join(used)}")


def publish(op):
    withdraw(op.stack)
    emulated._exports.update(op.exports)


def withdraw(stack):
    for name in owned(stack):
        emulated._exports.pop(name, None)
