"""Creates in the emulated accounts the resources that a platform team would have set up by hand.

Reads {"endpoint", "regions", "accounts": [{"name", "id"}], "externalId", "issuer", "audience",
"subject"} from standard input, writes the accounts as JSON to standard output. The first account is
the hub. Every client acts as the root user of its account, whose access key is the account's id.
"""

import json
import sys

import boto3
from botocore.config import Config

ASK = json.load(sys.stdin)
HUB = ASK["accounts"][0]["id"]
DEPLOYER = "sluice-deployer"
EXECUTION = "lambda-exec"
STACKS = "cfn-exec"
USER = "sluice"
# As `cdk bootstrap` has it unless it gets another.
QUALIFIER = "hnb659fds"


def client(service, account, region="us-east-1"):
    return boto3.client(
        service,
        endpoint_url=ASK["endpoint"],
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="root",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions, resources):
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def arn(account, name):
    return f"arn:aws:iam::{account}:{name}"


def bucket_name(account, region):
    return f"sluice-artifacts-{account}-{region}"


def site_name(account, region):
    return f"sluice-site-{account}-{region}"


def site_rights(account):
    names = [f"arn:aws:s3:::{site_name(account, region)}" for region in ASK["regions"]]
    return [
        allow(["s3:ListBucket"], names),
        allow(
            [
                "s3:GetObject",
                "s3:GetObjectTagging",
                "s3:PutObject",
                "s3:PutObjectTagging",
                "s3:DeleteObject",
            ],
            [f"{name}/*" for name in names],
        ),
    ]


def bucket_rights(account):
    names = [f"arn:aws:s3:::{bucket_name(account, region)}" for region in ASK["regions"]]
    return [
        allow(
            [
                "s3:ListBucket",
                "s3:ListBucketMultipartUploads",
                "s3:GetBucketLocation",
                "s3:GetBucketVersioning",
                "s3:GetLifecycleConfiguration",
            ],
            names,
        ),
        allow(
            [
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:GetObjectTagging",
                "s3:GetObjectVersionTagging",
                "s3:PutObject",
                "s3:PutObjectTagging",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            [f"{name}/*" for name in names],
        ),
    ]


def create_bucket(s3, name, region):
    if region == "us-east-1":
        s3.create_bucket(Bucket=name)
    else:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    return name


def cdk_name(what, account, region):
    return f"cdk-{QUALIFIER}-{what}-{account}-{region}"


def make_cdk_bootstrap(iam, account, region):
    """What of `cdk bootstrap` (bootstrap-template.yaml of aws-cdk 2.1148.1) publishing files needs."""
    s3 = client("s3", account, region)
    bucket = create_bucket(s3, cdk_name("assets", account, region), region)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": account},
        "Action": "sts:AssumeRole",
        "Condition": {"Null": {"sts:ExternalId": "true"}},
    }
    actions = [
        "s3:GetObject*",
        "s3:GetBucket*",
        "s3:GetEncryptionConfiguration",
        "s3:List*",
        "s3:DeleteObject*",
        "s3:PutObject*",
        "s3:Abort*",
    ]
    rights = policy(allow(actions, [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]))
    make_role(iam, account, cdk_name("file-publishing-role", account, region), trust, rights)
    client("ssm", account, region).put_parameter(
        Name=f"/cdk-bootstrap/{QUALIFIER}/version", Type="String", Value="32"
    )


def cdk_rights(account):
    """What publishing the files of CDK stacks takes, and checking the version of the bootstrap."""
    return [
        allow(["sts:AssumeRole"], arn(account, f"role/cdk-*-file-publishing-role-{account}-*")),
        allow(["ssm:GetParameters"], f"arn:aws:ssm:*:{account}:parameter/cdk-bootstrap/*"),
    ]


def make_site(account, region):
    return create_bucket(client("s3", account, region), site_name(account, region), region)


def make_bucket(account, region):
    s3 = client("s3", account, region)
    name = create_bucket(s3, bucket_name(account, region), region)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_lifecycle_configuration(
        Bucket=name,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "abort-incomplete-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ]
        },
    )
    return name


def stack_arns(account):
    return f"arn:aws:cloudformation:*:{account}:stack/lab-*/*"


def passed(account, role, service):
    resource = arn(account, f"role/{role}")
    condition = {"StringEquals": {"iam:PassedToService": service}}
    return {**allow(["iam:PassRole"], resource), "Condition": condition}


def stack_rights(account):
    """What it takes to deliver stacks whose names begin with `lab-`, with the service role."""
    return [
        allow(
            [
                "cloudformation:CancelUpdateStack",
                "cloudformation:ContinueUpdateRollback",
                "cloudformation:CreateChangeSet",
                "cloudformation:DeleteChangeSet",
                "cloudformation:DeleteStack",
                "cloudformation:DescribeChangeSet",
                "cloudformation:DescribeEvents",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStackResources",
                "cloudformation:DescribeStacks",
                "cloudformation:ExecuteChangeSet",
                "cloudformation:GetStackPolicy",
                "cloudformation:GetTemplate",
                "cloudformation:ListChangeSets",
                "cloudformation:ListStackResources",
                "cloudformation:RollbackStack",
            ],
            stack_arns(account),
        ),
        # Macros that AWS hosts: a template that uses one needs the permission on it.
        allow(["cloudformation:CreateChangeSet"], "arn:aws:cloudformation:*:aws:transform/*"),
        allow(["cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"], "*"),
        passed(account, STACKS, "cloudformation.amazonaws.com"),
    ]


def stack_role_policy(account):
    """What stacks may manage: resources whose names begin with `lab-`, as the stacks' own names do."""

    def arns(service, *names):
        return [f"arn:aws:{service}:*:{account}:{name}" for name in names]

    return policy(
        allow(["lambda:*"], arns("lambda", "function:lab-*")),
        allow(["s3:*"], ["arn:aws:s3:::lab-*"]),
        allow(["ssm:*"], arns("ssm", "parameter/lab-*")),
        allow(["sqs:*"], arns("sqs", "lab-*")),
        allow(["sns:*"], arns("sns", "lab-*")),
        allow(["dynamodb:*"], arns("dynamodb", "table/lab-*")),
        allow(["logs:*"], arns("logs", "log-group:lab-*", "log-group:/lab-*", "log-group:/aws/lambda/lab-*")),
        allow(["iam:*"], [arn(account, "role/lab-*")]),
        allow(["cloudformation:*"], [stack_arns(account)]),
        passed(account, EXECUTION, "lambda.amazonaws.com"),
        passed(account, "lab-*", "lambda.amazonaws.com"),
        allow(
            ["s3:GetObject", "s3:GetObjectVersion"],
            [
                f"arn:aws:s3:::{bucket}/*"
                for region in ASK["regions"]
                for bucket in (bucket_name(account, region), cdk_name("assets", account, region))
            ],
        ),
    )


def deployer_policy(account):
    return policy(
        allow(["lambda:*"], "*"),
        allow(["iam:PassRole"], arn(account, f"role/{EXECUTION}")),
        allow(
            ["cloudwatch:DescribeAlarmHistory", "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData"],
            "*",
        ),
        *bucket_rights(account),
        *site_rights(account),
        *stack_rights(account),
        *cdk_rights(account),
    )


def make_role(iam, account, name, trust, rights=None):
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    if rights:
        iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=rights)
    return arn(account, f"role/{name}")


def make_web_identity_role(iam, account):
    provider = ASK["issuer"].removeprefix("https://")
    iam.create_open_id_connect_provider(
        Url=ASK["issuer"], ClientIDList=[ASK["audience"]], ThumbprintList=["0" * 40]
    )
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": arn(account, f"oidc-provider/{provider}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        # Kubernetes writes the audience as a list, which the emulator matches by this operator only.
        "Condition": {
            "ForAnyValue:StringEquals": {f"{provider}:aud": ASK["audience"]},
            "StringEquals": {f"{provider}:sub": ASK["subject"]},
        },
    }
    return make_role(iam, account, "sluice-web-identity", trust, deployer_policy(account))


def make_hub_user():
    iam = client("iam", HUB)
    iam.create_user(UserName=USER)
    # `sluice` is the role that the templates of docs/aws make.
    names = (DEPLOYER, "sluice")
    roles = [arn(account["id"], f"role/{name}") for account in ASK["accounts"] for name in names]
    iam.put_user_policy(
        UserName=USER,
        PolicyName=USER,
        PolicyDocument=policy(allow(["sts:AssumeRole", "sts:TagSession"], roles), *bucket_rights(HUB)),
    )
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def make_account(name, account):
    iam = client("iam", account)
    deployer = make_role(
        iam,
        account,
        DEPLOYER,
        {
            "Effect": "Allow",
            "Principal": {"AWS": arn(HUB, f"user/{USER}")},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {"sts:ExternalId": ASK["externalId"]}},
        },
        deployer_policy(account),
    )
    execution = make_role(
        iam,
        account,
        EXECUTION,
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    )
    stacks = make_role(
        iam,
        account,
        STACKS,
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudformation.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
        stack_role_policy(account),
    )
    for region in ASK["regions"]:
        make_cdk_bootstrap(iam, account, region)
    return {
        "name": name,
        "id": account,
        "roleArn": deployer,
        "executionRoleArn": execution,
        "stackRoleArn": stacks,
        "externalId": ASK["externalId"],
        "webIdentityRoleArn": make_web_identity_role(iam, account) if name == "dev" else None,
        "buckets": {region: make_bucket(account, region) for region in ASK["regions"]},
        "sites": {region: make_site(account, region) for region in ASK["regions"]},
    }


key = make_hub_user()
accounts = [make_account(account["name"], account["id"]) for account in ASK["accounts"]]
json.dump({"accessKey": key, "accounts": accounts}, sys.stdout)
