"""Runs MiniStack with Lambda's operations judged by IAM as AWS judges them.

It takes every operation on one alias for ListAliases or CreateAlias, and CreateFunction for one on
all functions, so that no policy that names functions could allow them.
"""

import json

from ministack.app import main
from ministack.core import iam_actions

ON_ONE_ALIAS = {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}

action_of = iam_actions._lambda_action
resource_of = iam_actions.extract_resource_arn


def steps(path):
    """What follows `functions` in the path; nothing where that is not in it."""
    parts = [part for part in path.split("/") if part]
    return parts[parts.index("functions") + 1 :] if "functions" in parts else []


def lambda_action(method, path):
    one_alias = len(steps(path)) == 3 and steps(path)[1] == "aliases"
    return ON_ONE_ALIAS[method] if one_alias and method in ON_ONE_ALIAS else action_of(method, path)


def resource(service, method, path, headers, body, query_params, region, account_id):
    if service == "lambda" and method == "POST" and path.rstrip("/").endswith("/functions"):
        try:
            name = json.loads(body)["FunctionName"]
        except (ValueError, KeyError, TypeError):
            return "*"
        return name if name.startswith("arn:") else f"arn:aws:lambda:{region}:{account_id}:function:{name}"
    return resource_of(service, method, path, headers, body, query_params, region, account_id)


iam_actions._lambda_action = lambda_action
iam_actions.extract_resource_arn = resource

main()
