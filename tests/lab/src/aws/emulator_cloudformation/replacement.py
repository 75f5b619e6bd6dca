"""Which properties require a new physical resource, for the types that the emulator leaves undecided.

Source: the resource types' pages in the CloudFormation Template Reference, "Update requires".
"""

from ministack.services.cloudformation import provisioners

TABLE = {
    "AWS::S3::Bucket": ("BucketName", "BucketNamePrefix", "BucketNamespace", "ObjectLockEnabled"),
    "AWS::S3::BucketPolicy": ("Bucket",),
    "AWS::Logs::LogGroup": ("LogGroupName", "LogGroupClass"),
    "AWS::Lambda::Version": (
        "CodeSha256",
        "Description",
        "FunctionName",
        "ProvisionedConcurrencyConfig",
        "RuntimePolicy",
    ),
    "AWS::Lambda::Alias": ("FunctionName", "Name"),
    "AWS::Lambda::Permission": (
        "Action",
        "EventSourceToken",
        "FunctionName",
        "FunctionUrlAuthType",
        "Principal",
        "PrincipalOrgID",
        "SourceAccount",
        "SourceArn",
    ),
    "AWS::Lambda::EventSourceMapping": (
        "EventSourceArn",
        "SelfManagedEventSource",
        "StartingPosition",
        "StartingPositionTimestamp",
    ),
    "AWS::Lambda::Url": ("Qualifier", "TargetFunctionArn"),
    "AWS::IAM::Policy": (),
    "AWS::Events::Rule": ("Name", "EventBusName"),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
    "AWS::SNS::Subscription": ("Endpoint", "Protocol", "TopicArn"),
    "AWS::SQS::QueuePolicy": (),
    # "Update requires: Some interruptions": the nested stack stays, its own resources may be replaced.
    "AWS::CloudFormation::Stack": (),
    "AWS::CloudFormation::WaitConditionHandle": (),
    "Custom::LabFailure": (),
}

for kind, names in TABLE.items():
    provisioners._REPLACING_PROPERTIES.setdefault(kind, names)
