"""Runs MiniStack with IAM's checks of Lambda operations and S3's conditions as on AWS.

Without these patches, it treats every operation on a single alias as ListAliases or CreateAlias, and
CreateFunction as an operation on all functions, so that no policy that names functions could allow them.
It ignores the conditions on a copy's destination and on a bucket's expected owner, and returns the whole
object for a range of one version. And an invocation fails in it if a session begins meanwhile.
"""

import json
import time

import emulator_cloudformation  # noqa: F401
from ministack.app import main
from ministack.core import iam_actions
from ministack.services import s3, sts

ON_ONE_ALIAS = {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}

action_of = iam_actions._lambda_action
resource_of = iam_actions.extract_resource_arn


def steps(path):
    """The path segments after `functions`; empty without `functions`."""
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


scope_of_bucket = s3._apply_bucket_scope
copy_object = s3._copy_object
get_object = s3._get_object


def bucket_scope(method, bucket, key, headers, *rest, **named):
    source = headers.get("x-amz-copy-source", "").lstrip("/").partition("/")[0]
    for name, header in [(bucket, "x-amz-expected-bucket-owner"), (source, "x-amz-source-expected-bucket-owner")]:
        expected = headers.get(header)
        owner = s3._bucket_owner_account(name) if name else None
        if expected and owner and expected != owner:
            return s3._error("AccessDenied", "Access Denied", 403, f"/{name}")
    return scope_of_bucket(method, bucket, key, headers, *rest, **named)


def conditional_copy(bucket, key, headers):
    there = (s3._ensure_bucket(bucket) or {}).get("objects", {}).get(key)
    return s3._check_put_preconditions(headers, there) or copy_object(bucket, key, headers)


def ranged_get(bucket, key, headers, query_params=None):
    status, answered, body = get_object(bucket, key, headers, query_params)
    if status != 200 or not headers.get("range"):
        return status, answered, body
    span = s3._parse_range(headers["range"], len(body))
    if span is None:
        return s3._error("InvalidRange", "The requested range is not satisfiable", 416, f"/{bucket}/{key}")
    part = body[span[0] : span[1] + 1]
    # A checksum covers the whole object.
    answered = {name: value for name, value in answered.items() if not name.lower().startswith("x-amz-checksum")}
    answered["Content-Length"] = str(len(part))
    answered["Content-Range"] = f"bytes {span[0]}-{span[1]}/{len(body)}"
    return 206, answered, part


def evict_expired_sessions():
    """Runs once a minute, on a copy of the table: invocations and others add to it concurrently."""
    if time.monotonic() < evict_expired_sessions.next:
        return
    evict_expired_sessions.next = time.monotonic() + 60
    for key, session in list(sts._sessions.items()):
        if sts._session_expired(session):
            sts._sessions.pop(key, None)


evict_expired_sessions.next = 0
s3._apply_bucket_scope = bucket_scope
s3._get_object = ranged_get
s3._copy_object = conditional_copy
sts._evict_expired_sessions = evict_expired_sessions
iam_actions._lambda_action = lambda_action
iam_actions.extract_resource_arn = resource

main()
