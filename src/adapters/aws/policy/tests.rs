//! The policy for functions and buckets, and what the tests of both policies use.

use proptest::prelude::*;
use serde_json::Value;

use super::{patterns::MAX_CHARACTERS, *};
use crate::domain::grants::{Allowed, Holder, Resource, matches};

mod stacks;

const SCOPE: SessionScope<'static> = SessionScope {
    partition: "aws",
    account_id: "222222222222",
    region: "eu-west-1",
    artifact_bucket: "artifacts-dev",
};

fn of(grants: Vec<Allowed>) -> Permissions {
    Permissions {
        account: "dev".into(),
        holder: Holder {
            namespace: "shop".into(),
            deployment: "checkout".into(),
            target: "checkout-dev".into(),
        },
        grants,
    }
}

fn permissions(functions: &[&str], roles: &[&str]) -> Permissions {
    let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
    of(vec![Allowed {
        functions: owned(functions),
        roles: owned(roles),
        ..Allowed::default()
    }])
}

fn on_buckets(patterns: &[&str]) -> Permissions {
    of(vec![Allowed {
        buckets: patterns.iter().map(ToString::to_string).collect(),
        ..Allowed::default()
    }])
}

/// Whether the policy allows this in the Account's own account, as IAM matches. Of conditions, only those on
/// the service role of a stack count.
fn allows_with(policy: &str, action: &str, arn: &str, role: Option<&str>) -> bool {
    let policy: Value = serde_json::from_str(policy).expect("JSON");
    let texts = |value: &Value| match value {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    let any = |patterns: &Value, text: &str| {
        let patterns = texts(patterns);
        let mut patterns = patterns.iter().filter_map(Value::as_str);
        patterns.any(|pattern| matches(pattern, text))
    };
    let applies = |effect: &str| {
        let statements = policy["Statement"].as_array().expect("statements");
        statements.iter().any(|statement| {
            let condition = &statement["Condition"];
            let holds = match &condition["ArnNotLike"]["cloudformation:RoleArn"] {
                Value::Null => condition["StringNotEquals"].is_null(),
                // A negated condition also holds for a call without a role.
                roles => role.is_none_or(|role| !any(roles, role)),
            };
            statement["Effect"] == effect
                && any(&statement["Action"], action)
                && any(&statement["Resource"], arn)
                && holds
        })
    };
    applies("Allow") && !applies("Deny")
}

/// The same of a call without a service role.
fn allows(policy: &str, action: &str, arn: &str) -> bool {
    allows_with(policy, action, arn, None)
}

#[test]
fn policy_lists_functions_with_qualifiers_roles_and_the_bucket() {
    let text = session_policy(
        &Purpose::Functions,
        SCOPE,
        &permissions(&["checkout-*", "pay"], &["team/lambda-*"]),
    );
    let policy: Value = serde_json::from_str(&text).expect("JSON");
    insta::assert_json_snapshot!(policy, @r#"
    {
      "Statement": [
        {
          "Action": "s3:*",
          "Condition": {
            "StringNotEquals": {
              "s3:ResourceAccount": "222222222222"
            }
          },
          "Effect": "Deny",
          "Resource": "*"
        },
        {
          "Action": [
            "s3:GetObject",
            "s3:GetObjectVersion"
          ],
          "Effect": "Allow",
          "Resource": "arn:aws:s3:::artifacts-dev/packages/*"
        },
        {
          "Action": [
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:Encrypt",
            "kms:GenerateDataKey"
          ],
          "Condition": {
            "StringLike": {
              "kms:ViaService": [
                "lambda.eu-west-1.*",
                "s3.eu-west-1.*"
              ]
            }
          },
          "Effect": "Allow",
          "Resource": "*"
        },
        {
          "Action": [
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
            "lambda:UpdateFunctionCo*"
          ],
          "Effect": "Allow",
          "Resource": [
            "arn:aws:lambda:eu-west-1:222222222222:function:checkout-*",
            "arn:aws:lambda:eu-west-1:222222222222:function:pay",
            "arn:aws:lambda:eu-west-1:222222222222:function:pay:*"
          ]
        },
        {
          "Action": [
            "cloudwatch:DescribeAlarmHistory",
            "cloudwatch:DescribeAlarms",
            "cloudwatch:GetMetricData"
          ],
          "Effect": "Allow",
          "Resource": "*"
        },
        {
          "Action": "iam:PassRole",
          "Condition": {
            "StringEquals": {
              "iam:PassedToService": "lambda.amazonaws.com"
            }
          },
          "Effect": "Allow",
          "Resource": [
            "arn:aws:iam::222222222222:role/team/lambda-*"
          ]
        }
      ],
      "Version": "2012-10-17"
    }
    "#);
}

#[test]
fn policy_lists_buckets_with_keys_and_the_folder_of_copies() {
    let text = session_policy(
        &Purpose::Functions,
        SCOPE,
        &on_buckets(&["shop-site-*", "docs"]),
    );
    let policy: Value = serde_json::from_str(&text).expect("JSON");
    insta::assert_json_snapshot!(policy["Statement"].as_array().map(|all| &all[3..]), @r#"
    [
      {
        "Action": [
          "cloudwatch:DescribeAlarmHistory",
          "cloudwatch:DescribeAlarms",
          "cloudwatch:GetMetricData"
        ],
        "Effect": "Allow",
        "Resource": "*"
      },
      {
        "Action": [
          "s3:ListBucket",
          "s3:DeleteObject",
          "s3:GetObject",
          "s3:GetObjectTagging",
          "s3:PutObject",
          "s3:PutObjectTagging"
        ],
        "Effect": "Allow",
        "Resource": [
          "arn:aws:s3:::docs",
          "arn:aws:s3:::shop-site-*",
          "arn:aws:s3:::docs/*",
          "arn:aws:s3:::artifacts-dev"
        ]
      },
      {
        "Action": [
          "s3:GetObject*",
          "s3:PutObject",
          "s3:PutObjectTagging"
        ],
        "Effect": "Allow",
        "Resource": "arn:aws:s3:::artifacts-dev/sites/shop/checkout-dev/*"
      }
    ]
    "#);
}

#[test]
fn bucket_pattern_allows_no_key_of_another_bucket() {
    let permissions = on_buckets(&["*-site", "a*b", "shop-*", "docs"]);
    let text = session_policy(&Purpose::Functions, SCOPE, &permissions);
    let put = |arn: &str| allows(&text, "s3:PutObject", arn);
    assert!(put("arn:aws:s3:::shop-web/any/key"));
    assert!(put("arn:aws:s3:::docs/any/key"));
    for arn in [
        "arn:aws:s3:::other/x-site",
        "arn:aws:s3:::other/x-site/key",
        "arn:aws:s3:::a1/xb",
        "arn:aws:s3:::docs-old/key",
    ] {
        assert!(!put(arn), "{arn}");
    }
    // The check before each wave also refuses a pattern that the policy can't express safely.
    assert!(permissions.refusal(Resource::Bucket("x-site")).is_some());
}

#[test]
fn session_reaches_only_packages_and_its_own_copies() {
    let text = session_policy(&Purpose::Functions, SCOPE, &on_buckets(&["docs"]));
    let own = "arn:aws:s3:::artifacts-dev/sites/shop/checkout-dev/x/1";
    let package = "arn:aws:s3:::artifacts-dev/packages/0a.zip";
    assert!(allows(&text, "s3:PutObject", own));
    assert!(allows(&text, "s3:GetObjectVersion", own));
    assert!(allows(&text, "s3:GetObjectVersion", package));
    assert!(!allows(&text, "s3:PutObject", package));
    for key in [
        "sites/shop/checkout-prod/x/1",
        "sites/pay/checkout-dev/x/1",
        "snapshots/shop/checkout-dev/1.json",
        "plans/shop/checkout-dev/1.json",
        "artifacts/gitlab/1/2/3/4",
    ] {
        let arn = format!("arn:aws:s3:::artifacts-dev/{key}");
        for action in ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"] {
            assert!(!allows(&text, action, &arn), "{action} {key}");
        }
    }
}

#[test]
fn policy_without_grants_allows_no_function_role_bucket_or_metric() {
    let text = session_policy(&Purpose::Functions, SCOPE, &Permissions::default());
    for word in [
        "lambda:",
        "iam:",
        "cloudwatch:",
        "s3:Put",
        "s3:Delete",
        "s3:List",
    ] {
        assert!(!text.contains(word), "{text}");
    }
}

#[test]
fn too_many_patterns_are_joined_until_the_policy_fits() {
    let names: Vec<String> = (0..60)
        .map(|n| format!("shop-{}-function-{n}", n % 3))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = session_policy(
        &Purpose::Functions,
        SCOPE,
        &permissions(&names, &["lambda-exec"]),
    );
    assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
    assert!(text.contains("function:shop-"), "{text}");
    assert!(text.contains("role/lambda-exec"), "{text}");

    let grant = |n: usize| Allowed {
        functions: vec![format!("shop-{n}-of-some-length-*")],
        roles: vec![format!("team/{n}/of-some-length")],
        buckets: vec![format!("shop-site-{n}-of-some-length")],
        ..Allowed::default()
    };
    let text = session_policy(
        &Purpose::Functions,
        SCOPE,
        &of((0..40).map(grant).collect()),
    );
    assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
    for part in [
        "function:shop-",
        "role/team/",
        "s3:::shop-site-",
        "cloudwatch:GetMetricData",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn adoption_reads_are_allowed_only_with_may_adopt() {
    let mut permissions = permissions(&["checkout-*"], &["lambda-exec"]);
    let asked = [
        "lambda:GetFunctionUrlConfig",
        "lambda:GetPolicy",
        "lambda:ListEventSourceMappings",
    ];
    let text = session_policy(&Purpose::Functions, SCOPE, &permissions);
    assert!(asked.iter().all(|action| !text.contains(action)), "{text}");
    permissions.grants[0].may_adopt = true;
    let text = session_policy(&Purpose::Functions, SCOPE, &permissions);
    assert!(asked.iter().all(|action| text.contains(action)), "{text}");
}

proptest! {
    /// AWS refuses a longer policy, and with it the whole session.
    #[test]
    fn session_policy_always_fits(
        functions in proptest::collection::vec("[a-z*]{1,140}", 0..4),
        roles in proptest::collection::vec("[a-z*/]{1,512}", 0..4),
        buckets in proptest::collection::vec("[a-z.-]{1,62}[*]?", 0..4),
        may_adopt in any::<bool>(),
        namespace in "[a-z]{1,63}",
        target in "[a-z]{1,220}",
    ) {
        let artifact_bucket = "a".repeat(63);
        let scope = SessionScope {
            partition: "aws-us-gov",
            region: "us-gov-west-1",
            artifact_bucket: &artifact_bucket,
            ..SCOPE
        };
        let grant = Allowed { functions, roles, buckets, may_adopt, ..Allowed::default() };
        let mut permissions = of(vec![grant]);
        permissions.holder.namespace = namespace;
        permissions.holder.target = target;
        let text = session_policy(&Purpose::Functions, scope, &permissions);
        prop_assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
    }
}
