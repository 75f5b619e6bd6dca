"""The changes that a change set describes.

Which resources change and why comes from the emulator, whose results were measured on AWS. Added here: what a
change to the names of references does, values before and after, and the contexts of whole resources.

Without property values, a detail names a property. With them, a detail names each value that differs, by its
path. A value that is known only once another resource exists is `{{changeSet:KNOWN_AFTER_APPLY}}` (seen in
change sets of AWS; AWS's user guide, "View a change set").
"""

import copy
import json

from ministack.services.cloudformation import engine, stacks

from . import parameters

UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"
ATTRIBUTES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")


class Anything(dict):
    """The attributes of a resource that does not exist yet."""

    def __contains__(self, name):
        return True

    def __getitem__(self, name):
        return UNKNOWN


class Symbols(dict):
    """The attributes of a resource, each as a name for itself."""

    def __init__(self, resource):
        super().__init__()
        self.resource = resource

    def __contains__(self, name):
        return True

    def __getitem__(self, name):
        return f"{{{{{self.resource}.{name}}}}}"


class Side:
    """One template with its values and the resources that its references see."""

    def __init__(self, stack, template, values, resources):
        self.stack, self.template, self.values, self.resources = stack, template, values, resources
        self.conditions = engine._evaluate_conditions(template, values) if template else {}
        every = (template.get("Resources") or {}).items()
        self.definitions = {
            name: own for name, own in every if self.conditions.get(own.get("Condition"), True)
        }

    def resolve(self, value, values):
        resolved = engine._resolve_refs(
            copy.deepcopy(value),
            self.resources,
            values,
            self.conditions,
            self.template.get("Mappings", {}),
            self.stack["StackName"],
            self.stack["StackId"],
        )
        return settled(resolved)

    def properties(self, logical_id, shown=False):
        """The resource's properties; `shown` hides values that must not be shown."""
        values = parameters.masked(self.values) if shown else self.values
        own = self.definitions[logical_id].get("Properties") or {}
        found = {}
        for name, value in own.items():
            try:
                result = self.resolve({name: value}, values)
            except (ValueError, KeyError, IndexError, TypeError):
                result = {name: UNKNOWN}
            found.update(result)
        return found

    def compared(self):
        """The template as the emulator compares it: references to resources stand for themselves."""
        symbols = {
            name: {"PhysicalResourceId": f"{{{{{name}}}}}", "Attributes": Symbols(name)}
            for name in self.template.get("Resources") or {}
        }
        side = Side(self.stack, self.template, self.values, symbols)
        side.definitions = self.definitions
        definitions = {
            name: {**own, "Properties": side.properties(name)} for name, own in self.definitions.items()
        }
        return {"Resources": definitions}


def settled(value):
    """A text that contains something unknown is unknown as a whole."""
    if isinstance(value, dict):
        return {name: settled(item) for name, item in value.items()}
    if isinstance(value, list):
        return [settled(item) for item in value]
    return UNKNOWN if isinstance(value, str) and UNKNOWN in value else value


def unknown_resource():
    return {"PhysicalResourceId": UNKNOWN, "Attributes": Anything()}


def computed(stack, template, values, tags, tags_given, is_new):
    """The changes, each with what DescribeChangeSet shows with property values under `_values`."""
    existing = {} if is_new else existing_of(stack)
    old = Side(stack, {} if is_new else stack["_template"], stack["_resolved_params"], existing)
    if stack["StackStatus"].endswith("_FAILED"):
        # The template is that of the failed operation: each resource has the definition it last got.
        old.definitions = {name: own["_template"] for name, own in existing.items() if "_template" in own}
    new = Side(stack, template, values, existing)
    changed_values = {
        name for name, value in values.items() if old.values.get(name, {}).get("Value") != value["Value"]
    }
    retag = existing if not is_new and stacks._stack_tags_changed(stack, tags, tags_given) else ()
    raw = {**template, "Resources": new.definitions}
    found = stacks._diff_resources(old.compared(), new.compared(), existing, raw, changed_values, retag)
    replaced, modified = affected(found)
    new.resources = {name: unknown_resource() for name in new.definitions if name not in existing}
    for name, record in existing.items():
        known = with_unknown_attributes(record, name in modified)
        new.resources[name] = unknown_resource() if name in replaced else known
    return [detailed(one["ResourceChange"], old, new) for one in found]


def existing_of(stack):
    gone = ("DELETE_COMPLETE", "DELETE_SKIPPED")
    return {
        name: record
        for name, record in stack["_resources"].items()
        if record.get("PhysicalResourceId") and record["ResourceStatus"] not in gone
    }


def affected(found):
    replaced, modified = set(), set()
    for one in found:
        change = one["ResourceChange"]
        if change["Action"] == "Modify":
            name = change["LogicalResourceId"]
            (replaced if change["Replacement"] == "True" else modified).add(name)
    return replaced, modified


def with_unknown_attributes(record, modified):
    """The attributes of a resource that changes in place are not known before."""
    return {**record, "Attributes": Anything()} if modified and record.get("Attributes") else record


def context(side, logical_id):
    """The whole resource as one side has it, in JSON."""
    definition = side.definitions[logical_id]
    shown = {"Properties": side.properties(logical_id, shown=True)}
    shown.update({name: definition[name] for name in ATTRIBUTES if name in definition})
    return json.dumps(shown, default=str)


def detailed(change, old, new):
    """A change with its details by value, and its contexts."""
    name, action = change["LogicalResourceId"], change["Action"]
    values = {}
    if action != "Add":
        values["BeforeContext"] = context(old, name)
    if action != "Remove":
        values["AfterContext"] = context(new, name)
    if action == "Modify":
        hidden = old.properties(name, shown=True), new.properties(name, shown=True)
        real = old.properties(name), new.properties(name)
        details = [evaluated(detail, real[1]) for detail in change["Details"]]
        other_type = old.definitions[name]["Type"] != new.definitions[name]["Type"]
        change = {**change, "Details": details, "Replacement": stacks._replacement(details, other_type)}
        values["Details"] = [
            one for detail in details for one in by_value(detail, real, hidden, old, new, name)
        ]
    return {**change, "_values": values}


def evaluated(detail, properties):
    """A direct modification whose new value is not known yet is Dynamic."""
    value = properties.get(detail["Target"].get("Name"))
    unknown = UNKNOWN in json.dumps(value, default=str)
    if unknown and detail.get("ChangeSource") == "DirectModification":
        return {**detail, "Evaluation": "Dynamic"}
    return detail


def by_value(detail, real, hidden, old, new, logical_id):
    """A detail of a property as details of the values that differ in it."""
    target = detail["Target"]
    if target["Attribute"] == "Tags":
        return [detail]
    if target["Attribute"] != "Properties":
        pair = [side.definitions[logical_id].get(target["Attribute"]) for side in (old, new)]
        return [with_values(detail, f"/{target['Attribute']}", pair, pair)]
    name = target["Name"]
    found = list(differences([side.get(name) for side in real], [side.get(name) for side in hidden]))
    start = f"/Properties/{name}"
    if not found:
        return [{**detail, "Target": {**target, "Path": start}}]
    return [with_values(detail, start + path, pair, shown) for path, pair, shown in found]


def differences(pair, shown, path=""):
    """Path, values and shown values of each leaf that differs."""
    before, after = pair
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
    elif isinstance(before, list) and isinstance(after, list):
        keys = range(max(len(before), len(after)))
    else:
        yield path, pair, shown
        return
    for key in keys:
        yield from differences(
            [item(side, key) for side in pair], [item(side, key) for side in shown], f"{path}/{key}"
        )


def item(side, key):
    if isinstance(side, list):
        return side[key] if key < len(side) else None
    return side.get(key) if isinstance(side, dict) else None


def plain(value):
    return value if isinstance(value, str) else json.dumps(value, default=str)


def with_values(detail, path, pair, shown):
    before, after = pair
    kind = "Add" if before is None else "Remove" if after is None else "Modify"
    target = {**detail["Target"], "Path": path}
    if before is not None:
        target["BeforeValue"] = plain(shown[0])
    if after is not None:
        target["AfterValue"] = plain(shown[1])
    return {**detail, "Target": {**target, "AttributeChangeType": kind}}
