"""Stack policies: which updates of which resources are allowed.

With a policy, everything that it does not allow is denied (CloudFormation User Guide, "Prevent updates to
stack resources"). CloudFormation fails the resource when its turn comes.
"""

import json
from fnmatch import fnmatchcase

from .resources import ResourceFailed


def many(value):
    return value if isinstance(value, list) else [value]


def matches(statement, action, logical_id, kind):
    acts = any(fnmatchcase(action, pattern) for pattern in many(statement.get("Action", [])))
    if "NotAction" in statement:
        acts = not any(fnmatchcase(action, pattern) for pattern in many(statement["NotAction"]))
    name = f"LogicalResourceId/{logical_id}"
    names = many(statement.get("Resource", "*"))
    named = any(pattern == "*" or fnmatchcase(name, pattern) for pattern in names)
    if "NotResource" in statement:
        named = not any(fnmatchcase(name, pattern) for pattern in many(statement["NotResource"]))
    for operator, keys in (statement.get("Condition") or {}).items():
        types = many(keys.get("ResourceType", []))
        if operator in ("StringEquals", "StringLike") and not any(fnmatchcase(kind, one) for one in types):
            return False
    return acts and named


def refusal(policy, action, logical_id, kind):
    statements = many(json.loads(policy)["Statement"])
    found = [(n, s) for n, s in enumerate(statements, 1) if matches(s, action, logical_id, kind)]
    for number, statement in found:
        if statement["Effect"] == "Deny":
            return (
                f"Action denied by stack policy: Statement [#{number}] does not allow [{action}] "
                "for resource "
                f"[LogicalResourceId/{logical_id}];"
            )
    if not any(statement["Effect"] == "Allow" for _, statement in found):
        return (
            f"Action not allowed by stack policy: [{action}] for resource [LogicalResourceId/{logical_id}];"
        )
    return None


def check(op, action, logical_id, kind):
    policy = op.stack.get("_during_policy") or op.stack.get("_stack_policy")
    if policy and op.previous is not None and not op.is_rollback:
        if reason := refusal(policy, action, logical_id, kind):
            raise ResourceFailed(reason, untouched=True)
