"""Whose rights a stack's operation has, and what they allow.

An operation runs with the stack's service role, or else with the rights that the caller had when it began.
(CloudFormation User Guide, "CloudFormation service role"; API reference, CreateChangeSet, RoleARN.)
"""

import contextvars
import json
from fnmatch import fnmatchcase

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam

from . import records, wire
from .wire import ApiError

SERVICE = "cloudformation.amazonaws.com"
# Root may do everything; so may the lab's own tests, which are root.
caller = contextvars.ContextVar("lab_cloudformation_caller")

tag_context = iam_actions.request_tag_context
resource_of = iam_actions.extract_resource_arn


def evaluated(principal, action, resource, context=None):
    if principal.policies is None:
        return iam_evaluator.EvalResult("Allow")
    keys = {name.lower(): value for name, value in (context or {}).items()}
    keys.setdefault("aws:tagkeys", None)
    asked = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        service_context=keys,
        principal_keys=principal.keys,
    )
    return iam_evaluator.evaluate(asked, principal.policies, *principal.limits)


def denial(principal, action, resource, context=None):
    """IAM's message if the principal may not act; None if it may."""
    decision = evaluated(principal, action, resource, context).decision
    if decision == "Allow":
        return None
    return iam_actions.identity_denial_message(action, principal.arn, resource, decision == "Deny")


def require(action, resource, context=None):
    """Refuses the request unless its caller may do this."""
    if message := denial(caller.get(), action, resource, context):
        raise ApiError(message, "AccessDenied", 403)


def role_record(arn):
    account, _, name = arn.removeprefix("arn:aws:iam::").partition(":role/")
    return iam._roles.get_scoped(account, None, name.rsplit("/", 1)[-1])


def passed_role(params):
    """The service role that the request names, which its caller must be allowed to pass."""
    arn = wire.text(params, "RoleARN")
    if not arn:
        return None
    require("iam:PassRole", arn, {"iam:PassedToService": SERVICE})
    assumable(arn)
    return arn


def assumable(arn):
    role = role_record(arn)
    trust = role and role["AssumeRolePolicyDocument"]
    asked = iam_evaluator.EvalContext(
        principal_arn=SERVICE,
        principal_type="AWSService",
        principal_account="",
        action="sts:AssumeRole",
        resource_arn="*",
        region="",
        service_context={"aws:sourceaccount": get_account_id()},
    )
    if not role or not trusts(trust, asked):
        raise ApiError(f"Role {arn} is invalid or cannot be assumed")


def many(value):
    return value if isinstance(value, list) else [value]


def trusts(document, asked):
    """Whether a trust policy lets the CloudFormation service assume the role."""
    found = False
    for statement in json.loads(document)["Statement"]:
        principal = statement.get("Principal", {})
        named = principal == "*" or SERVICE in many(principal.get("Service", []))
        acts = any(fnmatchcase("sts:AssumeRole", action) for action in many(statement.get("Action", [])))
        if named and acts and iam_evaluator._conditions_met(statement.get("Condition", {}), asked):
            if statement["Effect"] == "Deny":
                return False
            found = True
    return found


def principal_of(role, fallback):
    """The principal that acts for a stack: its service role, or `fallback`."""
    if not role:
        return fallback
    account = role.split(":")[4]
    name = role.rsplit("/", 1)[-1]
    return iam_evaluator.PrincipalInfo(
        arn=f"arn:aws:sts::{account}:assumed-role/{name}/AWSCloudFormation",
        type="AssumedRole",
        account=account,
        policies=iam_evaluator._gather_role_policies(name, account),
        keys={},
        limits=iam_evaluator._permissions_boundary(iam._roles, name, account),
    )


def remember_caller(headers, query_params):
    from ministack.core.router import extract_access_key_id

    key = extract_access_key_id(headers, query_params)
    principal = iam_evaluator.resolve_principal(key, get_account_id())
    caller.set(principal)


def stack_arn(params, region, account):
    """The stack that a request acts on; with `*` for its id if it does not exist yet."""
    name = wire.text(params, "StackName")
    change_set = wire.text(params, "ChangeSetName")
    if not name and change_set.startswith("arn:"):
        found = next((c for c in records.change_sets() if c["ChangeSetId"] == change_set), None)
        return found["StackId"] if found else "*"
    if not name or name.startswith("arn:"):
        return name or "*"
    stack = records.find(name)
    return stack["StackId"] if stack else f"arn:aws:cloudformation:{region}:{account}:stack/{name}/*"


def resource(service, method, path, headers, body, query_params, region, account_id):
    if service == "cloudformation":
        return stack_arn(query_params, region, account_id)
    return resource_of(service, method, path, headers, body, query_params, region, account_id)


def context(service, iam_action, body, params):
    """CloudFormation's condition keys.

    Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS CloudFormation".
    """
    keys = tag_context(service, iam_action, body, params)
    if service != "cloudformation":
        return keys
    for key, field in [
        ("cloudformation:RoleArn", "RoleARN"),
        ("cloudformation:TemplateUrl", "TemplateURL"),
        ("cloudformation:StackPolicyUrl", "StackPolicyURL"),
        ("cloudformation:ChangeSetName", "ChangeSetName"),
    ]:
        if value := wire.text(params, field):
            keys[key] = value
    if types := wire.strings(params, "ResourceTypes"):
        keys["cloudformation:ResourceTypes"] = types
    if name := wire.text(params, "StackName"):
        stack = records.find(name)
        for tag in stack["Tags"] if stack else []:
            keys[f"aws:ResourceTag/{tag['Key']}"] = tag["Value"]
    return keys


iam_actions.extract_resource_arn = resource
iam_actions.request_tag_context = context
