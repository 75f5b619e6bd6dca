"""Templates: where they come from, what CloudFormation refuses at once, and their transforms.

The wording of the errors is that of AWS, as issues of client libraries and LocalStack's tests recorded on AWS
quote it (localstack/localstack, tests/aws/services/cloudformation).
"""

import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from ministack.core.responses import get_region
from ministack.services import s3
from ministack.services.cloudformation import engine, handlers, helpers
from ministack.services.cloudformation.engine import CfnLoader

from . import identity, wire
from .wire import ApiError

FORMAT = "Template format error: "
SECTIONS = (
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Transform",
    "Resources",
    "Outputs",
    "Hooks",
)
S3_ERROR = "\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"
S3_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com")
PSEUDO = "AWS::"
SERVERLESS = "AWS::Serverless-2016-10-31"


class TransformFailed(Exception):
    """A macro failed: the change set fails, not the request."""


def location(url):
    """Bucket, key and version of an S3 URL. The lab's own endpoint is S3 with the bucket in the path."""
    parts = urlsplit(url)
    host = S3_HOST.fullmatch(parts.hostname or "")
    own = parts.hostname in ("127.0.0.1", "localhost") and parts.port
    if not (host and parts.scheme == "https" or own):
        raise ApiError("TemplateURL must be a supported URL.")
    bucket, path = host["bucket"] if host else None, unquote(parts.path.lstrip("/"))
    if bucket is None:
        bucket, _, path = path.partition("/")
    return bucket, path, parse_qs(parts.query).get("versionId", [None])[0]


def fetched(url, principal=None):
    """The text of an object in S3, read with the rights of `principal` or of the caller."""
    bucket, key, version = location(url)
    action = "s3:GetObjectVersion" if version else "s3:GetObject"
    principal = principal or identity.caller.get()
    if identity.denial(principal, action, f"arn:aws:s3:::{bucket}/{key}"):
        raise ApiError(f"S3 error: Access Denied{S3_ERROR}")
    if s3._buckets.get(bucket) is None:
        raise ApiError(f"S3 error: The specified bucket does not exist{S3_ERROR}")
    data = s3._get_object_data(bucket, key, version)
    if data is None:
        raise ApiError(f"S3 error: The specified key does not exist.{S3_ERROR}")
    if len(data) > helpers.TEMPLATE_URL_MAX_BYTES:
        raise ApiError(f"Template may not exceed {helpers.TEMPLATE_URL_MAX_BYTES} bytes in size.")
    return data.decode("utf-8-sig")


def sent(params):
    """The template that the request sends or points to; None if it does neither."""
    body, url = wire.text(params, "TemplateBody"), wire.text(params, "TemplateURL")
    if body and url:
        raise ApiError("You may specify either a TemplateURL or a TemplateBody, not both")
    return fetched(url) if url else body or None


def parsed(body):
    """The template as a dictionary, checked for its format."""
    try:
        if body.lstrip().startswith("{"):
            template = json.loads(body)
        else:
            template = yaml.load(body, Loader=CfnLoader)
    except json.JSONDecodeError as error:
        raise ApiError(
            f"{FORMAT}JSON not well-formed. (line {error.lineno}, column {error.colno})"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ApiError(f"{FORMAT}YAML not well-formed.{where}") from error
    if not isinstance(template, dict):
        raise ApiError(f"{FORMAT}unsupported structure.")
    check_format(template)
    return template


def check_format(template):
    known = {*SECTIONS}
    if SERVERLESS in engine.declared_transforms(template):
        # A section of SAM, which the transform consumes.
        known.add("Globals")
    if unknown := [name for name in template if name not in known]:
        raise ApiError(f"Invalid template property or properties [{', '.join(map(str, unknown))}]")
    resources = template.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise ApiError(f"{FORMAT}At least one Resources member must be defined.")
    for name, resource in resources.items():
        if str(name).startswith("Fn::ForEach"):
            continue
        if not re.fullmatch("[A-Za-z0-9]+", str(name)):
            raise ApiError(f"{FORMAT}Resource name {name} is non alphanumeric.")
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise ApiError(f"{FORMAT}[/Resources/{name}] Every Resources object must contain a Type member.")
    if path := null_in(template):
        raise ApiError(f"[{path}] 'null' values are not allowed in templates")
    for parameter in (template.get("Parameters") or {}).values():
        if not isinstance(parameter, dict) or "Type" not in parameter:
            raise ApiError(f"{FORMAT}Every Parameters object must contain a Type member.")


def null_in(node, path=""):
    """The path of the first null value in a template."""
    if node is None:
        return path
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return next((found for name, item in members if (found := null_in(item, f"{path}/{name}"))), None)


def transformed(template, provided, previous):
    """The template after its transforms; a failed transform raises `TransformFailed`."""
    try:
        result = engine._apply_transforms(template, provided, previous)
    except Exception as problem:
        name = (engine.declared_transforms(template) or ["?"])[-1]
        reason = str(problem).strip() or type(problem).__name__
        if causes := getattr(problem, "causes", None):
            # The transform's own list of errors.
            reason = " ".join([problem.message, *(cause.message for cause in causes)])
        raise TransformFailed(f"Transform {name} failed with: {reason}") from problem
    if isinstance(result, engine._TransformFailed):
        raise TransformFailed(result.error)
    return result


def check_transforms(template):
    """The caller needs CreateChangeSet on the transforms that AWS hosts.

    Source: CloudFormation User Guide, "Control access with IAM", on macros hosted by CloudFormation.
    """
    for name in engine.declared_transforms(template):
        if name.startswith(PSEUDO) and name != "AWS::Include":
            arn = f"arn:aws:cloudformation:{get_region()}:aws:transform/{name.removeprefix(PSEUDO)}"
            identity.require("cloudformation:CreateChangeSet", arn)


def check_references(template):
    """Every name that a reference uses must exist."""
    names = {*(template.get("Resources") or {}), *(template.get("Parameters") or {})}
    resources = template.get("Resources") or {}
    for block in ("Resources", "Outputs"):
        missing = []
        for definition in (template.get(block) or {}).values():
            for name, attribute in engine._intrinsic_references(definition):
                if name in names or name.startswith(PSEUDO) or name in missing:
                    continue
                if attribute:
                    raise ApiError(
                        f"Template error: instance of Fn::GetAtt references undefined resource {name}"
                    )
                missing.append(name)
            needs = definition.get("DependsOn", []) if block == "Resources" else []
            missing += [
                name for name in ([needs] if isinstance(needs, str) else needs) if name not in resources
            ]
        if missing:
            raise ApiError(
                f"{FORMAT}Unresolved resource dependencies [{', '.join(missing)}] in the {block} block of "
                "the template"
            )
    try:
        engine._topological_sort(resources, {})
    except ValueError as problem:
        cycle = str(problem).rpartition(": ")[2]
        raise ApiError(f"Circular dependency between resources: [{cycle}]") from problem


def check_capabilities(params, as_sent, template, macros):
    """`macros`: "CAPABILITY_AUTO_EXPAND […] doesn't apply to creating change sets" (API, CreateChangeSet)."""
    required = handlers._required_iam_capabilities(template)
    if macros and handlers._uses_macro(as_sent):
        required.append("CAPABILITY_AUTO_EXPAND")
    missing = handlers._missing_capabilities(set(wire.strings(params, "Capabilities")), required)
    if missing:
        raise ApiError(f"Requires capabilities : [{', '.join(missing)}]", "InsufficientCapabilitiesException")


def check(template, conditions, values):
    """Types, quotas, mappings, rules and references of a template after its transforms."""
    try:
        engine.validate_template_support(template, conditions, params=values)
    except ValueError as problem:
        raise ApiError(str(problem)) from problem
    check_references(template)
