"""Starts MiniStack, with two things put right that a proxy in front can't: which action and resource
a policy is held against. AWS authorises CreateFunction on the function's ARN, which MiniStack would
have to take from the body; it uses "*" and so denies everybody whose policy names functions. And
it takes every call on one alias for ListAliases."""

import json

from ministack.app import main
from ministack.core import iam_actions

extract_resource_arn = iam_actions.extract_resource_arn
lambda_action = iam_actions._lambda_action


def resource_arn(service, method, path, headers, body, query_params, region, account_id):
    arn = extract_resource_arn(service, method, path, headers, body, query_params, region, account_id)
    if service == "lambda" and method == "POST" and arn == "*" and path.rstrip("/").endswith("/functions"):
        name = json.loads(body or b"{}").get("FunctionName", "")
        return f"arn:aws:lambda:{region}:{account_id}:function:{name}"
    return arn


def action(method, path):
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 2 and parts[-2] == "aliases" and "functions" in parts:
        return {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}.get(method)
    return lambda_action(method, path)


iam_actions.extract_resource_arn = resource_arn
iam_actions._lambda_action = action
main()
