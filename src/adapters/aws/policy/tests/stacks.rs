//! The policy for stacks.

use super::*;

/// Every action that the adapter for CloudFormation makes on a stack.
const PORT: [&str; 12] = [
    "cloudformation:CancelUpdateStack",
    "cloudformation:ContinueUpdateRollback",
    "cloudformation:CreateChangeSet",
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

fn on_stacks(stacks: &[&str], roles: &[&str], parameters: &[&str]) -> String {
    let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
    let permissions = of(vec![Allowed {
        stacks: owned(stacks),
        stack_roles: owned(roles),
        parameters: owned(parameters),
        ..Allowed::default()
    }]);
    session_policy(&Purpose::Stacks, SCOPE, &permissions)
}

fn stack(name: &str) -> String {
    format!(
        "arn:aws:cloudformation:eu-west-1:222222222222:stack/{name}/0c5b6a20-2b2e-11ef-8000-0a1b2c3d4e5f"
    )
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::222222222222:role/{name}")
}

#[test]
fn policy_lists_stacks_roles_parameters_and_templates() {
    let text = on_stacks(&["shop-*", "pay"], &["cfn/exec-*"], &["/shop/*", "stage"]);
    let policy: Value = serde_json::from_str(&text).expect("JSON");
    insta::assert_json_snapshot!(policy["Statement"], @r#"
    [
      {
        "Action": [
          "s3:GetObject",
          "s3:GetObjectVersion"
        ],
        "Effect": "Allow",
        "Resource": "arn:aws:s3:::artifacts-dev/templates/*"
      },
      {
        "Action": "kms:Decrypt",
        "Condition": {
          "StringLike": {
            "kms:ViaService": "s3.eu-west-1.*"
          }
        },
        "Effect": "Allow",
        "Resource": "*"
      },
      {
        "Action": [
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
          "cloudformation:ContinueUpdateRollback",
          "cloudformation:CreateChangeSet"
        ],
        "Effect": "Allow",
        "Resource": [
          "arn:aws:cloudformation:eu-west-1:222222222222:stack/pay/*",
          "arn:aws:cloudformation:eu-west-1:222222222222:stack/shop-*/*"
        ]
      },
      {
        "Action": "cloudformation:GetTemplateSummary",
        "Effect": "Allow",
        "Resource": "*"
      },
      {
        "Action": [
          "cloudformation:DescribeChangeSet",
          "cloudformation:DescribeStackEvents"
        ],
        "Effect": "Allow",
        "Resource": [
          "arn:aws:cloudformation:eu-west-1:222222222222:stack/pay-*-*/*"
        ]
      },
      {
        "Action": "iam:PassRole",
        "Condition": {
          "StringEquals": {
            "iam:PassedToService": "cloudformation.amazonaws.com"
          }
        },
        "Effect": "Allow",
        "Resource": [
          "arn:aws:iam::222222222222:role/cfn/exec-*"
        ]
      },
      {
        "Action": [
          "cloudformation:ContinueUpdateRollback",
          "cloudformation:CreateChangeSet"
        ],
        "Condition": {
          "ArnNotLike": {
            "cloudformation:RoleArn": [
              "arn:aws:iam::222222222222:role/cfn/exec-*"
            ]
          }
        },
        "Effect": "Deny",
        "Resource": "arn:aws:cloudformation:*:*:stack/*"
      },
      {
        "Action": "cloudformation:CreateChangeSet",
        "Effect": "Allow",
        "Resource": "arn:aws:cloudformation:eu-west-1:aws:transform/*"
      },
      {
        "Action": "ssm:GetParameters",
        "Effect": "Allow",
        "Resource": [
          "arn:aws:ssm:eu-west-1:222222222222:parameter/shop/*",
          "arn:aws:ssm:eu-west-1:222222222222:parameter/stage",
          "arn:aws:ssm:eu-west-1::parameter/aws/*"
        ]
      }
    ]
    "#);
}

#[test]
fn all_calls_of_the_port_are_allowed_on_granted_stacks_only() {
    let text = on_stacks(&["shop-*", "pay"], &["cfn-exec"], &[]);
    let exec = role("cfn-exec");
    for action in PORT {
        let on = |arn: &str| allows_with(&text, action, arn, Some(&exec));
        for name in ["shop-web", "shop-", "pay"] {
            assert!(on(&stack(name)), "{action} on {name}");
        }
        for name in ["web", "my-shop-web", "pays", "pay-db"] {
            assert!(!on(&stack(name)), "{action} on {name}");
        }
        let (ours, theirs) = (stack("pay"), "333333333333");
        assert!(!on(&ours.replace("222222222222", theirs)), "{action}");
        assert!(!on(&ours.replace("eu-west-1", "eu-west-2")), "{action}");
    }
    // A new stack has no ARN yet.
    let new = "arn:aws:cloudformation:eu-west-1:222222222222:stack/pay/*";
    assert!(allows_with(
        &text,
        "cloudformation:CreateChangeSet",
        new,
        Some(&exec)
    ));
    assert!(allows(&text, "cloudformation:GetTemplateSummary", "*"));
    for action in [
        "CreateStack",
        "UpdateStack",
        "SetStackPolicy",
        "UpdateTerminationProtection",
    ] {
        let action = format!("cloudformation:{action}");
        assert!(
            !allows_with(&text, &action, &stack("pay"), Some(&exec)),
            "{action}"
        );
    }
}

#[test]
fn change_set_needs_a_granted_role() {
    let text = on_stacks(&["shop-*"], &["cfn/exec-*"], &[]);
    for action in ["CreateChangeSet", "ContinueUpdateRollback"] {
        let action = format!("cloudformation:{action}");
        let with = |role: Option<&str>| allows_with(&text, &action, &stack("shop-web"), role);
        assert!(with(Some(&role("cfn/exec-shop"))), "{action}");
        assert!(!with(Some(&role("admin"))), "{action}");
        assert!(!with(None), "{action}");
    }
    // The other calls name no role.
    assert!(allows(
        &text,
        "cloudformation:ExecuteChangeSet",
        &stack("shop-web")
    ));
    assert!(allows(&text, "iam:PassRole", &role("cfn/exec-shop")));
    assert!(!allows(&text, "iam:PassRole", &role("admin")));

    let none = on_stacks(&["shop-*"], &[], &[]);
    for action in [
        "cloudformation:CreateChangeSet",
        "iam:PassRole",
        "cloudformation:ContinueUpdateRollback",
    ] {
        assert!(!none.contains(action), "{none}");
    }
    assert!(allows(
        &none,
        "cloudformation:DescribeStacks",
        &stack("shop-web")
    ));
}

#[test]
fn transforms_of_aws_are_allowed_and_macros_of_the_account_are_not() {
    let text = on_stacks(&["*"], &["*"], &[]);
    let create = |arn: &str| allows(&text, "cloudformation:CreateChangeSet", arn);
    assert!(create(
        "arn:aws:cloudformation:eu-west-1:aws:transform/Serverless-2016-10-31"
    ));
    assert!(!create(
        "arn:aws:cloudformation:eu-west-1:222222222222:transform/Own"
    ));
}

#[test]
fn session_reads_templates_and_granted_parameters_only() {
    let text = on_stacks(&["shop-*"], &["cfn-exec"], &["/shop/*", "stage"]);
    let get = |arn: &str| allows(&text, "ssm:GetParameters", arn);
    let own = "arn:aws:ssm:eu-west-1:222222222222:parameter";
    assert!(get(&format!("{own}/shop/db/url")));
    assert!(get(&format!("{own}/stage")));
    assert!(!get(&format!("{own}/pay/db/url")));
    assert!(!get(&format!("{own}/aws/own")));
    assert!(get(
        "arn:aws:ssm:eu-west-1::parameter/aws/service/ami-amazon-linux-latest/al2023"
    ));

    let read = |key: &str| {
        let arn = format!("arn:aws:s3:::artifacts-dev/{key}");
        allows(&text, "s3:GetObject", &arn) && allows(&text, "s3:GetObjectVersion", &arn)
    };
    assert!(read("templates/0a"));
    for key in [
        "packages/0a.zip",
        "snapshots/shop/web/1.json",
        "plans/shop/web/1.json",
        "sites/shop/web/x",
    ] {
        assert!(!read(key), "{key}");
    }
    for word in ["s3:Put", "s3:Delete", "s3:List", "lambda:", "cloudwatch:"] {
        assert!(!text.contains(word), "{text}");
    }
}

#[test]
fn nested_stacks_of_granted_stacks_can_be_read() {
    let text = on_stacks(&["pay", "*-site"], &["cfn-exec"], &[]);
    let exec = role("cfn-exec");
    for name in ["pay-Database-1A2B3C4D5E6F7", "my-site-Cdn-1A2B3C4D5E6F7"] {
        for action in ["DescribeChangeSet", "DescribeStackEvents"] {
            let action = format!("cloudformation:{action}");
            assert!(allows(&text, &action, &stack(name)), "{action} on {name}");
        }
        for action in [
            "CreateChangeSet",
            "ExecuteChangeSet",
            "DeleteStack",
            "GetTemplate",
        ] {
            let action = format!("cloudformation:{action}");
            assert!(
                !allows_with(&text, &action, &stack(name), Some(&exec)),
                "{action} on {name}"
            );
        }
    }
    assert!(!allows(
        &text,
        "cloudformation:DescribeChangeSet",
        &stack("pay-db")
    ));
}

#[test]
fn policy_without_grants_allows_no_stack_role_or_parameter() {
    let text = session_policy(&Purpose::Stacks, SCOPE, &Permissions::default());
    for word in ["cloudformation:", "iam:", "ssm:"] {
        assert!(!text.contains(word), "{text}");
    }
    // A role or parameter is of no use without a stack.
    let text = on_stacks(&[], &["cfn-exec"], &["/shop/*"]);
    for word in ["cloudformation:", "iam:", "ssm:"] {
        assert!(!text.contains(word), "{text}");
    }
}

#[test]
fn too_many_stacks_are_joined_until_the_policy_fits() {
    let names: Vec<String> = (0..32)
        .map(|n| format!("shop-{n}-of-some-length-*"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = on_stacks(&names, &["cfn/exec-a", "cfn/exec-b"], &["/shop/*"]);
    assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
    assert!(allows(
        &text,
        "cloudformation:DescribeStacks",
        &stack("shop-31-of-some-length-x")
    ));
    assert!(!allows(
        &text,
        "cloudformation:DescribeStacks",
        &stack("pay")
    ));
    assert!(!allows(&text, "iam:PassRole", &role("admin")));
}

#[test]
fn usual_grants_fit_as_they_are() {
    let stacks = ["checkout-*", "shop", "shop-web-*"];
    let text = on_stacks(
        &stacks,
        &["cfn-exec", "deploy/cfn-*"],
        &["/checkout/*", "/shop/*"],
    );
    for name in stacks {
        assert!(text.contains(&format!(":stack/{name}/*")), "{text}");
    }
    assert!(text.contains("role/cfn-exec\""), "{text}");
}

/// What a name may consist of: parts that patterns have too, so that they match often.
const NAME: &str = "(a|b|shop|-|1){1,6}";

proptest! {
    /// AWS refuses a longer policy, and with it the whole session.
    #[test]
    fn policy_for_stacks_always_fits(
        stacks in proptest::collection::vec("[a-z*-]{1,128}", 0..6),
        stack_roles in proptest::collection::vec("[a-z*/]{1,512}", 0..6),
        parameters in proptest::collection::vec("/?[a-z*/]{1,1011}", 0..6),
    ) {
        let artifact_bucket = "a".repeat(63);
        let scope = SessionScope {
            partition: "aws-us-gov",
            region: "us-gov-west-1",
            artifact_bucket: &artifact_bucket,
            ..SCOPE
        };
        let grant = Allowed { stacks, stack_roles, parameters, ..Allowed::default() };
        let text = session_policy(&Purpose::Stacks, scope, &of(vec![grant]));
        prop_assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
    }

    /// The policy allows a stack exactly if a pattern matches its name, wherever the pattern has its stars.
    #[test]
    fn star_in_a_pattern_of_stacks_reaches_no_other_stack(
        pattern in "(a|b|shop|-|[*]){1,6}",
        name in NAME,
        id in "[0-9a-f]{1,4}-(a|b|shop|-|1){1,4}",
    ) {
        let text = on_stacks(&[&pattern], &["cfn-exec"], &[]);
        let arn = format!("arn:aws:cloudformation:eu-west-1:222222222222:stack/{name}/{id}");
        let allowed = allows(&text, "cloudformation:ExecuteChangeSet", &arn);
        prop_assert_eq!(allowed, matches(&pattern, &name), "{} on {}", pattern, arn);
        for other in ["stackset", "changeSet", "type/resource"] {
            let arn = format!("arn:aws:cloudformation:eu-west-1:222222222222:{other}/{name}/{id}");
            prop_assert!(!allows(&text, "cloudformation:ExecuteChangeSet", &arn), "{}", arn);
        }
    }
}
