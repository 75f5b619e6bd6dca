//! The policy for CloudFormation stacks.
//!
//! Which actions support which resources and conditions is from the Service Authorization Reference
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html>).
//! CloudFormation reads a template by its URL, and the values of Systems Manager parameters, with the
//! permissions of the caller; CDK's deployment role has the same permissions for the same reason.
//!
//! # Guarantees
//! - A pattern of stacks allows no other stack: an ARN ends in `stack/<name>/<uuid>`, neither part has a `/`,
//!   and so the pattern's own `/` can match only the one between them. `*` is safe anywhere.
//! - A change set is created only with a granted service role, so that no stack changes anything with the
//!   permissions of the session, nor with a role that it had before and no grant names.
//! - Macros of the account may not be used: they would run with the template of a tenant.
//!
//! Nested stacks get names of the form `<stack>-<logical id>-<suffix>`. What a session may read of them, it may
//! read of every stack whose name looks like that.

use serde_json::{Value, json};

use super::{
    patterns::{Patterns, fitted},
    scope::{SessionScope, all},
};
use crate::domain::{
    grants::{Permissions, version_parameter},
    workload::cloud_formation::TEMPLATES_PREFIX,
};

/// The actions on stacks that need no service role. `DeleteStack` uses the one that the stack has.
const ACTIONS: [&str; 10] = [
    "cloudformation:CancelUpdateStack",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStacks",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:GetTemplate",
    "cloudformation:ListChangeSets",
    "cloudformation:ListStackResources",
];

/// The actions that must name a granted service role.
const WITH_ROLE: [&str; 2] = [
    "cloudformation:ContinueUpdateRollback",
    "cloudformation:CreateChangeSet",
];

/// The actions on nested stacks.
const NESTED: [&str; 2] = [
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeStackEvents",
];

/// The policy as JSON.
pub(super) fn policy(scope: SessionScope<'_>, permissions: &Permissions) -> String {
    let stacks = Patterns::new(all(permissions, |grant| &grant.stacks), "-");
    let roles = Patterns::new(all(permissions, |grant| &grant.stack_roles), "_+=,.@-/");
    // In an ARN, a name has no leading slash.
    let versions = all(permissions, |grant| &grant.cdk_qualifiers);
    let versions = versions.map(|qualifier| version_parameter(&qualifier));
    let parameters = all(permissions, |grant| &grant.parameters).chain(versions);
    let parameters = parameters.map(|pattern| pattern.trim_start_matches('/').to_owned());
    let parameters = Patterns::new(parameters, "_.-/");
    fitted(
        [stacks, roles, parameters],
        |[stacks, roles, parameters]| document(scope, stacks.all(), roles.all(), parameters.all()),
    )
}

fn document(
    scope: SessionScope<'_>,
    stacks: &[String],
    roles: &[String],
    parameters: &[String],
) -> Value {
    let SessionScope {
        partition,
        region,
        artifact_bucket,
        ..
    } = scope;
    let mut statements = vec![
        json!({
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": format!("arn:{partition}:s3:::{artifact_bucket}/{TEMPLATES_PREFIX}/*"),
        }),
        // The bucket may be encrypted with the account's own key.
        json!({
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": "*",
            "Condition": { "StringLike": { "kms:ViaService": format!("s3.{region}.*") } },
        }),
    ];
    if !stacks.is_empty() {
        statements.extend(on_stacks(scope, stacks, !roles.is_empty()));
        statements.extend(with_roles(scope, roles));
        statements.push(on_parameters(scope, parameters));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// The statements about stacks, nested ones included.
fn on_stacks(scope: SessionScope<'_>, stacks: &[String], has_roles: bool) -> Vec<Value> {
    let SessionScope {
        partition,
        account_id,
        region,
        ..
    } = scope;
    let arn =
        |name: &str| format!("arn:{partition}:cloudformation:{region}:{account_id}:stack/{name}/*");
    let mut actions = ACTIONS.to_vec();
    if has_roles {
        actions.extend(WITH_ROLE);
    }
    let resources: Vec<String> = stacks.iter().map(|name| arn(name)).collect();
    let mut statements = vec![
        json!({ "Effect": "Allow", "Action": actions, "Resource": resources }),
        // Of a template that is in no stack yet: no resource could be named.
        json!({ "Effect": "Allow", "Action": "cloudformation:GetTemplateSummary", "Resource": "*" }),
    ];
    // A pattern that ends in `*` covers the nested stacks too.
    let nested: Vec<String> = stacks
        .iter()
        .filter(|pattern| !pattern.ends_with('*'))
        .map(|pattern| arn(&format!("{pattern}-*-*")))
        .collect();
    if !nested.is_empty() {
        statements.push(json!({ "Effect": "Allow", "Action": NESTED, "Resource": nested }));
    }
    statements
}

/// The statements about service roles, and about what needs one.
fn with_roles(scope: SessionScope<'_>, roles: &[String]) -> Vec<Value> {
    let SessionScope {
        partition, region, ..
    } = scope;
    if roles.is_empty() {
        return Vec::new();
    }
    let roles: Vec<String> = roles.iter().map(|name| scope.role(name)).collect();
    vec![
        json!({
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": roles,
            "Condition": { "StringEquals": { "iam:PassedToService": "cloudformation.amazonaws.com" } },
        }),
        // A negated condition also holds for a call without a role. The right to pass a role is not enough:
        // CloudFormation does not ask for it if the stack has the role already.
        json!({
            "Effect": "Deny",
            "Action": WITH_ROLE,
            "Resource": format!("arn:{partition}:cloudformation:*:*:stack/*"),
            "Condition": { "ArnNotLike": { "cloudformation:RoleArn": roles } },
        }),
        // AWS's own transforms, such as `AWS::Serverless-2016-10-31`, are resources of their own.
        json!({
            "Effect": "Allow",
            "Action": "cloudformation:CreateChangeSet",
            "Resource": format!("arn:{partition}:cloudformation:{region}:aws:transform/*"),
        }),
    ]
}

/// The statement about Systems Manager parameters: those of the grants, and AWS's public ones, which belong to
/// no account.
fn on_parameters(scope: SessionScope<'_>, parameters: &[String]) -> Value {
    let SessionScope {
        partition,
        account_id,
        region,
        ..
    } = scope;
    let granted = parameters
        .iter()
        .map(|name| format!("arn:{partition}:ssm:{region}:{account_id}:parameter/{name}"));
    let public = format!("arn:{partition}:ssm:{region}::parameter/aws/*");
    let resources: Vec<String> = granted.chain([public]).collect();
    json!({ "Effect": "Allow", "Action": "ssm:GetParameters", "Resource": resources })
}
