//! The policy for functions, the buckets of files, and checks.
//!
//! A policy can't tie a role to a function, so it allows the roles of all grants for the functions of all
//! grants. A policy that allows all buckets allows artifact buckets too, which the client for buckets refuses
//! itself.
//!
//! # Guarantees
//! - A pattern of buckets allows no key of another bucket: `*` in a policy also matches `/`, so the policy
//!   takes only patterns that end in their only `*` and so match a prefix of the bucket's name. It allows S3
//!   in the Account's own account only (`s3:ResourceAccount`).
//! - In the artifact bucket, a session reads packages, which are named by their digests, and reads and writes
//!   the copies of files in its Target's own folder. It reads no snapshot, plan or artifact.

use serde_json::{Value, json};

use super::{
    patterns::{Patterns, fitted},
    scope::{SessionScope, all},
};
use crate::domain::{
    grants::{Holder, Permissions, is_bucket_pattern},
    workload::{lambda::PACKAGES_PREFIX, s3::site::SITES_PREFIX},
};

/// The actions on functions. `*` is used where it covers no other action, to save characters for patterns:
/// Sluice creates, reads, updates and deletes aliases, and updates the code and the configuration of
/// functions.
const FUNCTION_ACTIONS: [&str; 11] = [
    "lambda:*Alias",
    "lambda:CreateFunction",
    "lambda:DeleteFunction",
    "lambda:GetFunction",
    "lambda:GetProvisionedConcurrencyConfig",
    "lambda:InvokeFunction",
    "lambda:ListTags",
    "lambda:PublishVersion",
    "lambda:TagResource",
    "lambda:UntagResource",
    "lambda:UpdateFunctionCo*",
];

/// The actions that find the callers of a function before it is adopted.
const ADOPTION_ACTIONS: [&str; 2] = ["lambda:GetFunctionUrlConfig", "lambda:GetPolicy"];

/// The same; this action supports no resources.
const EVENT_SOURCES: &str = "lambda:ListEventSourceMappings";

/// The actions of checks. None of them changes anything, and `GetMetricData` supports no resources.
const MONITORING_ACTIONS: [&str; 3] = [
    "cloudwatch:DescribeAlarmHistory",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
];

/// The actions on buckets: conditions on ETags need permission to read, and copies need permission to tag.
/// The first action applies to the bucket itself.
const SITE_ACTIONS: [&str; 6] = [
    "s3:ListBucket",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:GetObjectTagging",
    "s3:PutObject",
    "s3:PutObjectTagging",
];

/// The actions that keep copies in the artifact bucket and restore them, versions and tags included.
const COPY_ACTIONS: [&str; 3] = ["s3:GetObject*", "s3:PutObject", "s3:PutObjectTagging"];

/// The most characters of a Target's name in a policy; `*` matches the rest of a longer name.
const MAX_TARGET_LENGTH: usize = 60;

/// The policy as JSON.
pub(super) fn policy(scope: SessionScope<'_>, permissions: &Permissions) -> String {
    let functions = Patterns::new(all(permissions, |grant| &grant.functions), "_-");
    let roles = Patterns::new(all(permissions, |grant| &grant.roles), "_+=,.@-/");
    let safe =
        all(permissions, |grant| &grant.buckets).filter(|pattern| is_bucket_pattern(pattern));
    let buckets = Patterns::new(safe, ".-");
    let folder = folder(&permissions.holder);
    let mut anywhere = Vec::new();
    let mut on_functions = FUNCTION_ACTIONS.to_vec();
    if !permissions.grants.is_empty() {
        anywhere.extend(MONITORING_ACTIONS);
    }
    if permissions.grants.iter().any(|grant| grant.may_adopt) {
        on_functions.extend(ADOPTION_ACTIONS);
        anywhere.push(EVENT_SOURCES);
    }
    fitted(
        [functions, roles, buckets],
        |[functions, roles, buckets]| {
            let actions = (&on_functions[..], &anywhere[..]);
            let (functions, roles) = (functions.all(), roles.all());
            document(scope, &folder, actions, functions, roles, buckets.all())
        },
    )
}

/// The folder of a Target's copies of files.
fn folder(holder: &Holder) -> String {
    let target = match holder.target.get(..MAX_TARGET_LENGTH) {
        Some(beginning) if beginning.len() < holder.target.len() => format!("{beginning}*"),
        _ => format!("{}/*", holder.target),
    };
    format!("{SITES_PREFIX}/{}/{target}", holder.namespace)
}

fn document(
    scope: SessionScope<'_>,
    folder: &str,
    (on_functions, anywhere): (&[&str], &[&str]),
    functions: &[String],
    roles: &[String],
    buckets: &[String],
) -> Value {
    let SessionScope {
        partition,
        account_id,
        region,
        artifact_bucket,
    } = scope;
    let mut statements = vec![
        // Whatever the patterns of buckets: none of another account.
        json!({
            "Effect": "Deny",
            "Action": "s3:*",
            "Resource": "*",
            "Condition": { "StringNotEquals": { "s3:ResourceAccount": account_id } },
        }),
        // Lambda fetches a package with the permissions of the caller.
        json!({
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": format!("arn:{partition}:s3:::{artifact_bucket}/{PACKAGES_PREFIX}/*"),
        }),
        // Buckets and functions may be encrypted with the account's own keys.
        json!({
            "Effect": "Allow",
            "Action": ["kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": { "StringLike": {
                "kms:ViaService": [format!("lambda.{region}.*"), format!("s3.{region}.*")],
            } },
        }),
    ];
    if !functions.is_empty() {
        let arn =
            |name: &String| format!("arn:{partition}:lambda:{region}:{account_id}:function:{name}");
        let qualified = functions
            .iter()
            .filter(|pattern| !pattern.ends_with('*'))
            .map(|pattern| format!("{}:*", arn(pattern)));
        let resources: Vec<String> = functions.iter().map(arn).chain(qualified).collect();
        statements.push(json!({
            "Effect": "Allow",
            "Action": on_functions,
            "Resource": resources,
        }));
    }
    if !anywhere.is_empty() {
        statements.push(json!({
            "Effect": "Allow",
            "Action": anywhere,
            "Resource": "*",
        }));
    }
    if !roles.is_empty() {
        let resources: Vec<String> = roles.iter().map(|name| scope.role(name)).collect();
        statements.push(json!({
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": resources,
            "Condition": { "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } },
        }));
    }
    if !buckets.is_empty() {
        let arn = |name: &str| format!("arn:{partition}:s3:::{name}");
        // A pattern's `*` also matches keys.
        let keys = buckets
            .iter()
            .filter(|pattern| !pattern.ends_with('*'))
            .map(|pattern| format!("{}/*", arn(pattern)));
        let resources: Vec<String> = buckets
            .iter()
            .map(|name| arn(name))
            .chain(keys)
            // Only `s3:ListBucket` applies to the artifact bucket itself. Without it, S3 answers a
            // read of a missing copy with 403 instead of 404.
            .chain([arn(artifact_bucket)])
            .collect();
        statements.push(json!({
            "Effect": "Allow",
            "Action": SITE_ACTIONS,
            "Resource": resources,
        }));
        statements.push(json!({
            "Effect": "Allow",
            "Action": COPY_ACTIONS,
            "Resource": arn(&format!("{artifact_bucket}/{folder}")),
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}
