"""Starts MiniStack, with one thing put right that a proxy in front can't: which resource a policy
is held against. AWS authorises CreateFunction on the function's ARN, which MiniStack would have to
take from the body; it uses "*" and so denies everybody whose policy names functions."""

import json

from ministack.app import main
from ministack.core import iam_actions

extract = iam_actions.extract_resource_arn


def extract_with_body(service, method, path, headers, body, query_params, region, account_id):
    arn = extract(service, method, path, headers, body, query_params, region, account_id)
    if service == "lambda" and method == "POST" and arn == "*" and path.rstrip("/").endswith("/functions"):
        name = json.loads(body or b"{}").get("FunctionName", "")
        return f"arn:aws:lambda:{region}:{account_id}:function:{name}"
    return arn


iam_actions.extract_resource_arn = extract_with_body
main()
