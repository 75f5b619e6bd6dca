"""Nested stacks in change sets.

Without IncludeNestedStacks, every nested stack is listed as modified, because its template may have changed:
CloudFormation reads it only when it updates the parent (API reference, ResourceChangeDetail, ChangeSource
`Automatic`). With it, each nested stack has a change set of its own, and is listed if that has changes.
"""

import copy

from ministack.core.responses import new_uuid
from ministack.services import cloudformation as emulated

from . import changes, nested, parameters, records


def completed(change_set, stack, found):
    """The changes, with those of nested stacks."""
    by_name = {change["LogicalResourceId"]: change for change in found}
    existing = changes.existing_of(stack)
    side = changes.Side(stack, change_set["_template"], change_set["_values"], existing)
    for logical_id, definition in side.definitions.items():
        if definition["Type"] != records.STACK:
            continue
        child = None
        if change_set["IncludeNestedStacks"]:
            child = child_set(change_set, stack, logical_id, side.properties(logical_id))
            change_set["_children"][logical_id] = child["StackId"]
        change = by_name.get(logical_id)
        if change is None and logical_id in existing and (child is None or child["Changes"]):
            change = automatic(logical_id, existing[logical_id]["PhysicalResourceId"])
            found.append(change)
        if change is not None and child is not None:
            change["ChangeSetId"] = child["ChangeSetId"]
    return found


def automatic(logical_id, physical_id):
    return {
        "Action": "Modify",
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": physical_id,
        "ResourceType": records.STACK,
        "Replacement": "False",
        "Scope": ["Properties"],
        "Details": [
            {
                "Target": {"Attribute": "Properties", "RequiresRecreation": "Never"},
                "Evaluation": "Dynamic",
                "ChangeSource": "Automatic",
            }
        ],
        "_values": {},
    }


def child_set(parent, stack, logical_id, properties):
    """A nested stack's change set. A stack that does not exist yet is created for review."""
    from . import change_sets

    record = changes.existing_of(stack).get(logical_id)
    child = records.find(record["PhysicalResourceId"]) if record else None
    own = {**stack, "Capabilities": parent["Capabilities"]}
    before = child["_resolved_params"] if child else {}
    body, processed, values = nested.described(own, parent["_principal"], properties, before)
    if child is None:
        child = nested.new_child(own, logical_id, "REVIEW_IN_PROGRESS", "")
        records.set_status(child, "REVIEW_IN_PROGRESS")
    is_new = child["StackStatus"] == "REVIEW_IN_PROGRESS"
    name = f"{parent['ChangeSetName']}-{logical_id}-{new_uuid()[:8]}"
    change_set = {
        **{key: copy.copy(value) for key, value in parent.items()},
        "ChangeSetId": change_sets.arn_of(name),
        "ChangeSetName": name,
        "ChangeSetType": "CREATE" if is_new else "UPDATE",
        "StackId": child["StackId"],
        "StackName": child["StackName"],
        "Parameters": parameters.described(values),
        "ParentChangeSetId": parent["ChangeSetId"],
        "RootChangeSetId": parent["RootChangeSetId"] or parent["ChangeSetId"],
        "Tags": nested.tags_of(properties),
        "Changes": [],
        "_template_body": body,
        "_template": processed,
        "_values": values,
        "_children": {},
    }
    emulated._change_sets[change_set["ChangeSetId"]] = change_set
    failed = change_sets.compute(change_set, child)
    status = {"Status": "FAILED", "StatusReason": failed} if failed else {"Status": "CREATE_COMPLETE"}
    change_set.update(status, ExecutionStatus="UNAVAILABLE" if failed else "AVAILABLE")
    return change_set


def family(change_set):
    """The change set and those of its nested stacks, at every depth."""
    nested_ones = [
        one for one in records.change_sets() if one["RootChangeSetId"] == change_set["ChangeSetId"]
    ]
    return [change_set, *nested_ones]
