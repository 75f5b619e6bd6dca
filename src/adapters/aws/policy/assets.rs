//! The policy for the files of CDK stacks: the bucket of one bootstrap.
//!
//! The role of the bootstrap may also delete objects, and write to any key of the bucket. The tenants of an account share
//! the bucket, so nothing that exists is replaced: every write has a condition, which the client sets.

use serde_json::json;

use super::scope::SessionScope;
use crate::domain::workload::cloud_formation::Bootstrap;

/// The policy as JSON.
pub(super) fn policy(scope: SessionScope<'_>, bootstrap: &Bootstrap) -> String {
    let SessionScope {
        partition, region, ..
    } = scope;
    let bucket = format!("arn:{partition}:s3:::{}", bootstrap.bucket());
    let account = json!({ "StringEquals": { "s3:ResourceAccount": bootstrap.account_id } });
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            // Without this right, S3 answers 403 for a missing object.
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": bucket,
                "Condition": account,
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:AbortMultipartUpload",
                    "s3:GetObject",
                    "s3:GetObjectVersion",
                    "s3:PutObject",
                ],
                "Resource": format!("{bucket}/*"),
                "Condition": account,
            },
            // The bucket may be encrypted with a key of the account.
            {
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                "Resource": "*",
                "Condition": { "StringLike": { "kms:ViaService": format!("s3.{region}.*") } },
            },
        ],
    });
    policy.to_string()
}
