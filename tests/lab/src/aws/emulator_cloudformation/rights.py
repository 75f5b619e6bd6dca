"""The permissions that a resource's creation, update and deletion need.

CloudFormation calls the resource's own service with the rights of the operation, and a denied call fails the
resource. (Source of the actions: the `handlers` of each type's schema in the CloudFormation registry. Only
the calls that create, change or delete the resource itself are checked, not the reads of a handler.)
"""

from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation.provisioners import _physical_name

from . import identity

# Properties of a bucket with an operation of their own.
BUCKET_PARTS = {
    "VersioningConfiguration": "s3:PutBucketVersioning",
    "Tags": "s3:PutBucketTagging",
    "LifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "BucketEncryption": "s3:PutEncryptionConfiguration",
    "PublicAccessBlockConfiguration": "s3:PutBucketPublicAccessBlock",
    "CorsConfiguration": "s3:PutBucketCORS",
    "WebsiteConfiguration": "s3:PutBucketWebsite",
    "NotificationConfiguration": "s3:PutBucketNotification",
}

# Type: service, resource, property with the name, actions of create, update and delete.
TYPES = {
    "AWS::Lambda::Function": (
        "lambda",
        "function:",
        "FunctionName",
        "CreateFunction",
        None,
        "DeleteFunction",
    ),
    "AWS::Lambda::Version": ("lambda", "function:", "FunctionName", "PublishVersion", None, "DeleteFunction"),
    "AWS::Lambda::Alias": (
        "lambda",
        "function:",
        "FunctionName",
        "CreateAlias",
        "UpdateAlias",
        "DeleteAlias",
    ),
    "AWS::Lambda::Permission": (
        "lambda",
        "function:",
        "FunctionName",
        "AddPermission",
        "AddPermission",
        "RemovePermission",
    ),
    "AWS::S3::Bucket": ("s3", "", "BucketName", "CreateBucket", None, "DeleteBucket"),
    "AWS::S3::BucketPolicy": ("s3", "", "Bucket", "PutBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"),
    "AWS::SSM::Parameter": ("ssm", "parameter/", "Name", "PutParameter", "PutParameter", "DeleteParameter"),
    "AWS::SQS::Queue": ("sqs", "", "QueueName", "CreateQueue", "SetQueueAttributes", "DeleteQueue"),
    "AWS::SNS::Topic": ("sns", "", "TopicName", "CreateTopic", "SetTopicAttributes", "DeleteTopic"),
    "AWS::DynamoDB::Table": ("dynamodb", "table/", "TableName", "CreateTable", "UpdateTable", "DeleteTable"),
    "AWS::IAM::Role": ("iam", "role/", "RoleName", "CreateRole", "UpdateRole", "DeleteRole"),
    "AWS::Logs::LogGroup": (
        "logs",
        "log-group:",
        "LogGroupName",
        "CreateLogGroup",
        "PutRetentionPolicy",
        "DeleteLogGroup",
    ),
}
VERBS = {"create": 3, "update": 4, "delete": 5}


def named(kind, stack, logical_id, properties, physical_id):
    """The ARN of the resource as far as it is known."""
    service, prefix, naming = TYPES[kind][:3]
    name = properties.get(naming) or physical_id or _physical_name(stack["StackName"], logical_id)
    if str(name).startswith(f"arn:aws:{service}:"):
        return name
    name = str(name).rsplit("/", 1)[-1] if service == "sqs" else str(name)
    if service == "ssm":
        name = (properties.get("Name") or physical_id or f"{stack['StackName']}/{logical_id}").lstrip("/")
    if service == "s3":
        return f"arn:aws:s3:::{name.lower()}"
    region = "" if service == "iam" else get_region()
    return f"arn:aws:{service}:{region}:{get_account_id()}:{prefix}{name}"


def changed(properties, before):
    return {name for name in {*properties, *before} if properties.get(name) != before.get(name)}


def function_actions(verb, properties, before):
    if verb == "create":
        return ["CreateFunction"]
    differing = changed(properties, before)
    actions = ["UpdateFunctionCode"] if "Code" in differing else []
    return actions + (["UpdateFunctionConfiguration"] if differing - {"Code", "Tags"} else [])


def needed(kind, verb, arn, properties, before):
    """Pairs of action and resource, and the condition keys of each."""
    service, action = TYPES[kind][0], TYPES[kind][VERBS[verb]]
    if verb == "delete":
        return [(f"{service}:{action}", arn, {})]
    calls = [(f"{service}:{action}", arn, {})] if action else []
    differing = changed(properties, before) if verb == "update" else set(properties)
    if kind == "AWS::Lambda::Function":
        calls = [(f"lambda:{name}", arn, {}) for name in function_actions(verb, properties, before)]
        if "Role" in differing and properties.get("Role"):
            calls.append(
                ("iam:PassRole", properties["Role"], {"iam:PassedToService": "lambda.amazonaws.com"})
            )
        code = properties.get("Code") or {}
        if "Code" in differing and code.get("S3Bucket"):
            calls.append(("s3:GetObject", f"arn:aws:s3:::{code['S3Bucket']}/{code.get('S3Key', '')}", {}))
    if kind == "AWS::S3::Bucket":
        # CloudFormation's own three tags do not count.
        calls += [(BUCKET_PARTS[name], arn, {}) for name in sorted(differing & {*BUCKET_PARTS} - {"Tags"})]
    if kind == "AWS::IAM::Role":
        if "Policies" in differing:
            calls.append(("iam:PutRolePolicy", arn, {}))
        if "ManagedPolicyArns" in differing:
            calls.append(("iam:AttachRolePolicy", arn, {}))
        if verb == "update" and "AssumeRolePolicyDocument" in differing:
            calls.append(("iam:UpdateAssumeRolePolicy", arn, {}))
    return calls


def refusal(principal, verb, kind, stack, logical_id, properties, before, physical_id=""):
    """IAM's message if the principal may not do this to the resource; None if it may, or for other types."""
    if kind not in TYPES:
        return None
    arn = named(kind, stack, logical_id, properties, physical_id)
    for action, resource, context in needed(kind, verb, arn, properties, before):
        if message := identity.denial(principal, action, resource, context):
            return message
    return None
