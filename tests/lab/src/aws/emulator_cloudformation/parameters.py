"""The values of a template's parameters, with AWS's own refusals."""

from ministack.services import ssm
from ministack.services.cloudformation import engine

from . import wire
from .wire import ApiError

STORED = "AWS::SSM::Parameter::Value<"
PREVIOUS = "Invalid input for parameter key {}. Cannot specify usePreviousValue as true for a parameter"


def asked(params):
    """The request's parameters, as the emulator's functions take them."""
    fields = ("ParameterKey", "ParameterValue", "UsePreviousValue")
    return [
        {
            "Key": entry.get("ParameterKey", ""),
            "Value": entry.get("ParameterValue", ""),
            "UsePreviousValue": entry.get("UsePreviousValue", "").lower() == "true",
            "Given": "ParameterValue" in entry,
        }
        for entry in wire.structures(params, "Parameters", *fields)
    ]


def check_names(definitions, provided, previous):
    names = [entry["Key"] for entry in provided]
    if unknown := [name for name in names if name not in definitions]:
        raise ApiError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    for entry in provided:
        key = entry["Key"]
        if entry["UsePreviousValue"] and entry["Given"]:
            raise ApiError(f"{PREVIOUS.format(key)} and also specify its value")
        if entry["UsePreviousValue"] and key not in previous:
            raise ApiError(f"{PREVIOUS.format(key)} key not in the previous template")
    missing = [name for name, own in definitions.items() if name not in names and "Default" not in own]
    if missing:
        raise ApiError(f"Parameters: [{', '.join(missing)}] must have values")


def check_value(name, definition, value):
    allowed = definition.get("AllowedValues")
    members = value.split(",") if definition["Type"] == "CommaDelimitedList" else [value]
    if allowed and any(member not in [str(one) for one in allowed] for member in members):
        reason = definition.get("ConstraintDescription") or "must be one of AllowedValues"
        raise ApiError(f"Parameter '{name}' {reason}")
    if definition["Type"] == "Number":
        try:
            float(value)
        except ValueError as error:
            raise ApiError(f"Parameter '{name}' must be a number") from error
    if definition["Type"].startswith(STORED) and ssm.resolve_parameter_value(value) is None:
        raise ApiError(f"Unable to fetch parameters [{value}] from parameter store for this account.")


def resolved(template, provided, previous):
    """Every parameter with its value: {name: {Value, NoEcho, Type}}."""
    definitions = template.get("Parameters") or {}
    check_names(definitions, provided, previous)
    sent = {entry["Key"]: entry for entry in provided}
    for name, definition in definitions.items():
        if name in sent and not sent[name]["UsePreviousValue"]:
            check_value(name, definition, sent[name]["Value"])
        elif name not in sent:
            check_value(name, definition, str(definition["Default"]))
    try:
        return engine._resolve_parameters(template, provided, previous)
    except ValueError as problem:
        raise ApiError(str(problem)) from problem


def described(values):
    """The parameters as DescribeStacks and DescribeChangeSet show them: NoEcho values as ****.

    A value from Parameter Store is shown beside its name.
    """
    shown = []
    for name, value in values.items():
        entry = {"ParameterKey": name, "ParameterValue": "****" if value["NoEcho"] else value["Value"]}
        if "SsmName" in value:
            entry.update(ParameterValue=value["SsmName"], ResolvedValue=value["Value"])
        shown.append(entry)
    return shown


def masked(values):
    """The same values, for output: without those that must not be shown."""
    return {name: {**value, "Value": "****"} if value["NoEcho"] else value for name, value in values.items()}
