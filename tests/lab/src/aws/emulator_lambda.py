"""Lambda as on AWS, where MiniStack differs.

Without these patches, it returns the package of $LATEST for every version, names no resource in a denial,
reports every error of a handler as Runtime.HandlerError, and omits the platform's own lines from the log. It
also checks permission together with everything else: here, a request with the header x-lab-authorize is
answered as soon as it is authorized, so that the proxy can check permission first. And it spends 0.2 s of
CPU at each start of a function in Python on an import that counts recursive calls: functions of the lab
call no functions.
"""

import contextvars
import json
import re

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.services import lambda_svc

get_function = lambda_svc._get_function
serve_function_code = lambda_svc.serve_function_code
execute_warm = lambda_svc._execute_function_warm
dispatch = lambda_svc._execute_function_dispatch
answer_lambda = app.SERVICE_HANDLERS["lambda"]
deny = iam_actions.access_denied_response
evaluate = iam_evaluator.evaluate

# The action and resource that the session policy denied.
limited = contextvars.ContextVar("lab_limited", default=None)
NAMED = {"lambda", "monitoring", "cloudwatch", "s3", "cloudformation"}
FRAME = re.compile(r'  File "')
CODE = re.compile(r'"[^"]*/ministack-lambda-[^"/]*/code/')
RAISED = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")
COUNTS_CALLS = "    _ms_install_invoke_depth()\n"
WORKER = lambda_runtime._PYTHON_WORKER_SCRIPT
assert WORKER.count(COUNTS_CALLS) == 1


async def authorized_first(method, path, headers, body, query_params):
    if headers.get("x-lab-authorize"):
        return 204, {}, b""
    return await answer_lambda(method, path, headers, body, query_params)


def package_of_version(name, qualifier=None):
    status, headers, body = get_function(name, qualifier)
    if status != 200:
        return status, headers, body
    answer = json.loads(body)
    version = answer["Configuration"].get("Version", "$LATEST")
    if version != "$LATEST" and "Location" in answer["Code"]:
        answer["Code"]["Location"] = answer["Code"]["Location"].replace(f"/{name}?", f"/{name}:{version}?")
        body = json.dumps(answer).encode()
    return status, headers, body


def serve_version(reference, account_id=None, region=None):
    name, _, version = reference.partition(":")
    if not version:
        return serve_function_code(name, account_id, region)
    function = lambda_svc._functions.get_scoped(account_id, region, name) or {}
    record = function.get("versions", {}).get(version)
    if record is None:
        return 404, {"Content-Type": "text/plain"}, b"Function not found"
    return 200, {"Content-Type": "application/zip"}, record.get("code_zip") or b""


def judged(context, policies, *limits):
    result = evaluate(context, policies, *limits)
    if limits and result.decision not in ("Allow", evaluate(context, policies).decision):
        limited.set((context.action, context.resource_arn))
    return result


def denied(service, action, principal_arn, request_id, **named):
    resource = named.get("resource_arn", "*")
    own = not named.get("message") and not named.get("error_code") and not named.get("resource_policy_arn")
    if own and service in NAMED:
        shown = f'"{resource}"' if service == "s3" else resource
        message = iam_actions.identity_denial_message(action, principal_arn, shown, named.get("explicit_deny", False))
        if limited.get() == (action, resource):
            message = message.replace("an identity-based", "a session").replace("no identity-based", "no session")
        named["message"] = message
    return deny(service, action, principal_arn, request_id, **named)


def raised(log):
    """Name and stack frames of the exception at the end of a log."""
    _, found, trace = log.rpartition("Traceback (most recent call last):\n")
    if not found:
        return None
    lines = trace.splitlines()
    frames = [at for at, line in enumerate(lines) if FRAME.match(line)]
    after = next((at for at in range(frames[-1] + 1, len(lines)) if not lines[at].startswith(" ")), None) if frames else None
    name = RAISED.match(lines[after]) if after is not None else None
    if name is None:
        return None
    bounds = [*frames, after]
    # The first frame is the runtime's own.
    stack = ["\n".join(lines[at:end]) + "\n" for at, end in zip(bounds, bounds[1:])][1:]
    stack = [CODE.sub('"/var/task/', frame) for frame in stack]
    return name.group(1).rsplit(".", 1)[-1], stack


def in_aws_words(body, log, config, request_id):
    message = str(body.get("errorMessage", ""))
    module, _, function = config.get("Handler", "").rpartition(".")
    failed = message.removeprefix("Worker init failed: ")
    if body.get("errorType") == "Sandbox.Timedout":
        body["errorMessage"] = f"RequestId: {request_id} Error: {message}"
    elif failed != message or message.startswith("Worker process exited immediately"):
        if "has no attribute" in failed and function in failed:
            kind, words = "Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module}'"
        elif "No module named" in failed or "cannot import name" in failed:
            kind, words = "Runtime.ImportModuleError", f"Unable to import module '{module}': {failed}"
        else:
            kind, words = "Runtime.Unknown", failed
        body.update(errorType=kind, errorMessage=words, requestId="", stackTrace=[])
    elif message in ("Worker process died", "Worker returned no response"):
        words = f"RequestId: {request_id} Error: Runtime exited without providing a reason"
        body.update(errorType="Runtime.ExitError", errorMessage=words)
    elif body.get("errorType") == "Runtime.HandlerError" and (what := raised(log)):
        body.update(errorType=what[0], requestId=request_id, stackTrace=what[1])


def with_error_type(function, event, request_id):
    result = execute_warm(function, event, request_id)
    body = result.get("body")
    if result.get("error") and isinstance(body, dict):
        in_aws_words(body, result.get("log") or "", function.get("config") or function, request_id)
    return result


def with_platform_lines(function, config, event, request_id, started):
    result = dispatch(function, config, event, request_id, started)
    if isinstance(result, dict):
        version = config.get("Version", "$LATEST")
        memory = config.get("MemorySize", 128)
        lines = [
            f"START RequestId: {request_id} Version: {version}",
            (result.get("log") or "").rstrip("\n"),
            f"END RequestId: {request_id}",
            f"REPORT RequestId: {request_id}\tDuration: 1.00 ms\tBilled Duration: 2 ms\tMemory Size: {memory} MB\t"
            f"Max Memory Used: {min(32, memory)} MB",
        ]
        result["log"] = "\n".join(line for line in lines if line) + "\n"
    return result


app.SERVICE_HANDLERS["lambda"] = authorized_first
lambda_runtime._PYTHON_WORKER_SCRIPT = WORKER.replace(COUNTS_CALLS, "")
iam_actions.access_denied_response = denied
iam_evaluator.evaluate = judged
lambda_svc._get_function = package_of_version
lambda_svc.serve_function_code = serve_version
lambda_svc._execute_function_warm = with_error_type
lambda_svc._execute_function_dispatch = with_platform_lines

