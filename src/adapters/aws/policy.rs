//! The session policy: what a session in an account may do at most, from a namespace's grants.
//!
//! It is a second fence behind the check of the plan, and coarser: a policy can't tie a role to a
//! function, so it allows the roles of all grants for the functions of all grants; and what it allows
//! on all buckets it allows on artifact buckets too, which the client for buckets refuses itself. AWS takes at most
//! 2,048 characters; where the patterns need more, those with the longest common beginning are
//! joined into one that covers both (`shop-api-*` and `shop-web` into `shop-*`), and what is left of them
//! is cut short, until it fits. Such
//! a policy still holds the session to this account, this region and these kinds of calls; the exact
//! patterns remain with the check of the plan.

use serde_json::{Value, json};

use crate::domain::{
    grants::{Permissions, matches},
    site::KEPT,
};

/// What AWS takes as a session policy.
const MOST_CHARACTERS: usize = 2048;

/// What the control plane of a function takes.
const FUNCTION_ACTIONS: [&str; 15] = [
    "lambda:CreateAlias",
    "lambda:CreateFunction",
    "lambda:DeleteAlias",
    "lambda:DeleteFunction",
    "lambda:GetAlias",
    "lambda:GetFunction",
    "lambda:GetProvisionedConcurrencyConfig",
    "lambda:InvokeFunction",
    "lambda:ListTags",
    "lambda:PublishVersion",
    "lambda:TagResource",
    "lambda:UntagResource",
    "lambda:UpdateAlias",
    "lambda:UpdateFunctionCode",
    "lambda:UpdateFunctionConfiguration",
];

/// What tells who invokes a function that is taken over.
const ADOPTING_ACTIONS: [&str; 2] = ["lambda:GetFunctionUrlConfig", "lambda:GetPolicy"];

/// The same; it knows no resources.
const EVENT_SOURCES: &str = "lambda:ListEventSourceMappings";

/// What checks read. None of it changes anything, and `GetMetricData` knows no resources.
const MONITORING_ACTIONS: [&str; 3] = [
    "cloudwatch:DescribeAlarmHistory",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
];

/// What putting files into a bucket takes: conditions on ETags need the right to read, copies that to
/// tags. The first one is the bucket's own.
const SITE_ACTIONS: [&str; 6] = [
    "s3:ListBucket",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:GetObjectTagging",
    "s3:PutObject",
    "s3:PutObjectTagging",
];

/// What copies are kept by, and put back from.
const KEPT_ACTIONS: [&str; 3] = [
    "s3:GetObjectVersionTagging",
    "s3:PutObject",
    "s3:PutObjectTagging",
];

/// Where a session is to act.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub(super) partition: &'a str,
    pub(super) account_id: &'a str,
    pub(super) region: &'a str,
    pub(super) artifact_bucket: &'a str,
}

/// The policy as JSON, at most [`MOST_CHARACTERS`] long.
pub(super) fn session_policy(place: Place<'_>, permissions: &Permissions) -> String {
    let all = |patterns: fn(&crate::domain::grants::Allowed) -> &Vec<String>| {
        permissions.grants.iter().flat_map(patterns).cloned()
    };
    let mut functions = Patterns::new(all(|grant| &grant.functions), "_-");
    let mut roles = Patterns::new(all(|grant| &grant.roles), "_+=,.@-/");
    let mut buckets = Patterns::new(all(|grant| &grant.buckets), ".-");
    let mut anywhere = Vec::new();
    let mut on_functions = FUNCTION_ACTIONS.to_vec();
    if !permissions.grants.is_empty() {
        anywhere.extend(MONITORING_ACTIONS);
    }
    if permissions.grants.iter().any(|grant| grant.may_adopt) {
        on_functions.extend(ADOPTING_ACTIONS);
        anywhere.push(EVENT_SOURCES);
    }
    loop {
        let actions = (&on_functions[..], &anywhere[..]);
        let policy = document(place, actions, &functions.0, &roles.0, &buckets.0).to_string();
        if policy.len() <= MOST_CHARACTERS {
            return policy;
        }
        // The longest first; where there is nothing to join any more, it is cut short.
        let mut all = [&mut functions, &mut roles, &mut buckets];
        all.sort_by_key(|patterns| std::cmp::Reverse(patterns.size()));
        let shorter = all.iter_mut().any(|it| it.join()) || all.iter_mut().any(|it| it.cut());
        if !shorter {
            return policy;
        }
    }
}

fn document(
    place: Place<'_>,
    (on_functions, anywhere): (&[&str], &[&str]),
    functions: &[String],
    roles: &[String],
    buckets: &[String],
) -> Value {
    let Place {
        partition,
        account_id,
        region,
        artifact_bucket,
    } = place;
    let mut statements = vec![
        // Lambda fetches a package with the rights of whoever names it.
        json!({
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": format!("arn:{partition}:s3:::{artifact_bucket}/*"),
        }),
        // Buckets and functions may be encrypted with keys of the account's own.
        json!({
            "Effect": "Allow",
            "Action": ["kms:CreateGrant", "kms:Decrypt", "kms:Encrypt"],
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
        let arn = |name: &String| format!("arn:{partition}:iam::{account_id}:role/{name}");
        let resources: Vec<String> = roles.iter().map(arn).collect();
        statements.push(json!({
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": resources,
            "Condition": { "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } },
        }));
    }
    if !buckets.is_empty() {
        let arn = |name: &str| format!("arn:{partition}:s3:::{name}");
        // A pattern's `*` reaches into the keys.
        let keys = buckets
            .iter()
            .filter(|pattern| !pattern.ends_with('*'))
            .map(|pattern| format!("{}/*", arn(pattern)));
        let resources: Vec<String> = buckets.iter().map(|name| arn(name)).chain(keys).collect();
        statements.push(json!({
            "Effect": "Allow",
            "Action": SITE_ACTIONS,
            "Resource": resources,
        }));
        statements.push(json!({
            "Effect": "Allow",
            "Action": KEPT_ACTIONS,
            "Resource": arn(&format!("{artifact_bucket}/{KEPT}/*")),
        }));
        statements.push(json!({
            "Effect": "Allow",
            "Action": SITE_ACTIONS[0],
            "Resource": arn(artifact_bucket),
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Patterns in order, none of which another one covers.
struct Patterns(Vec<String>);

impl Patterns {
    /// A pattern with a character that no such name has matches nothing, but `?` and `$` would mean
    /// something to IAM: it is left out.
    fn new(patterns: impl Iterator<Item = String>, punctuation: &str) -> Self {
        let possible = |pattern: &String| {
            let fits = |c: char| c == '*' || c.is_ascii_alphanumeric() || punctuation.contains(c);
            !pattern.is_empty() && pattern.chars().all(fits)
        };
        let mut patterns = Self(patterns.filter(possible).collect());
        patterns.reduce();
        patterns
    }

    fn size(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }

    fn reduce(&mut self) {
        self.0.sort();
        self.0.dedup();
        let all = self.0.clone();
        // A `*` in the text is matched by a `*` in the pattern only, so that "matches" is "covers".
        self.0.retain(|one| {
            !all.iter().any(|other| {
                other != one && matches(other, one) && !(matches(one, other) && one < other)
            })
        });
    }

    /// Joins the two neighbours that begin alike for longest; false where there is only one left.
    fn join(&mut self) -> bool {
        let common = |a: &str, b: &str| {
            a.bytes()
                .zip(b.bytes())
                .take_while(|(a, b)| a == b && *a != b'*')
                .count()
        };
        let best = self
            .0
            .windows(2)
            .map(|pair| pair[0][..common(&pair[0], &pair[1])].to_owned())
            .enumerate()
            .max_by_key(|(_, beginning)| beginning.len());
        let Some((at, beginning)) = best else {
            return false;
        };
        self.0.splice(at..at + 2, [format!("{beginning}*")]);
        self.reduce();
        true
    }

    /// Cuts the only one in half; false where nothing is left of it.
    fn cut(&mut self) -> bool {
        let [one] = &mut self.0[..] else {
            return false;
        };
        if one == "*" {
            return false;
        }
        let literal = one.find('*').unwrap_or(one.len());
        one.truncate(literal / 2);
        one.push('*');
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::grants::Allowed;

    const PLACE: Place<'static> = Place {
        partition: "aws",
        account_id: "222222222222",
        region: "eu-west-1",
        artifact_bucket: "artifacts-dev",
    };

    fn permissions(functions: &[&str], roles: &[&str]) -> Permissions {
        let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        Permissions {
            grants: vec![Allowed {
                functions: owned(functions),
                roles: owned(roles),
                ..Allowed::default()
            }],
        }
    }

    #[test]
    fn a_policy_names_functions_with_their_versions_and_aliases_roles_and_the_bucket() {
        let text = session_policy(
            PLACE,
            &permissions(&["checkout-*", "pay"], &["team/lambda-*"]),
        );
        let policy: Value = serde_json::from_str(&text).expect("JSON");
        insta::assert_json_snapshot!(policy, @r#"
        {
          "Statement": [
            {
              "Action": [
                "s3:GetObject",
                "s3:GetObjectVersion"
              ],
              "Effect": "Allow",
              "Resource": "arn:aws:s3:::artifacts-dev/*"
            },
            {
              "Action": [
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:Encrypt"
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
                "lambda:CreateAlias",
                "lambda:CreateFunction",
                "lambda:DeleteAlias",
                "lambda:DeleteFunction",
                "lambda:GetAlias",
                "lambda:GetFunction",
                "lambda:GetProvisionedConcurrencyConfig",
                "lambda:InvokeFunction",
                "lambda:ListTags",
                "lambda:PublishVersion",
                "lambda:TagResource",
                "lambda:UntagResource",
                "lambda:UpdateAlias",
                "lambda:UpdateFunctionCode",
                "lambda:UpdateFunctionConfiguration"
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
    fn a_policy_names_buckets_with_their_keys_and_where_copies_are_kept() {
        let grant = Allowed {
            buckets: vec!["shop-site-*".into(), "docs".into()],
            ..Allowed::default()
        };
        let text = session_policy(
            PLACE,
            &Permissions {
                grants: vec![grant],
            },
        );
        let policy: Value = serde_json::from_str(&text).expect("JSON");
        insta::assert_json_snapshot!(policy["Statement"].as_array().map(|all| &all[2..]), @r#"
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
              "arn:aws:s3:::docs/*"
            ]
          },
          {
            "Action": [
              "s3:GetObjectVersionTagging",
              "s3:PutObject",
              "s3:PutObjectTagging"
            ],
            "Effect": "Allow",
            "Resource": "arn:aws:s3:::artifacts-dev/sites/*"
          },
          {
            "Action": "s3:ListBucket",
            "Effect": "Allow",
            "Resource": "arn:aws:s3:::artifacts-dev"
          }
        ]
        "#);
    }

    #[test]
    fn without_grants_no_function_no_role_no_bucket_and_no_metric_is_allowed() {
        let text = session_policy(PLACE, &Permissions::default());
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
    fn covered_and_impossible_patterns_are_left_out() {
        let patterns = [
            "shop-*", "shop-api", "shop-a*", "shop-*", "shop-?", "${aws:x}", "pay",
        ];
        let patterns = Patterns::new(patterns.into_iter().map(str::to_owned), "_-");
        assert_eq!(patterns.0, ["pay", "shop-*"]);
        let equal = ["a**", "a*", "a***"].into_iter().map(str::to_owned);
        assert_eq!(Patterns::new(equal, "_-").0.len(), 1);
    }

    #[test]
    fn too_many_patterns_are_joined_until_the_policy_fits() {
        let names: Vec<String> = (0..60)
            .map(|n| format!("shop-{}-function-{n}", n % 3))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = session_policy(PLACE, &permissions(&names, &["lambda-exec"]));
        assert!(text.len() <= MOST_CHARACTERS, "{}", text.len());
        assert!(text.contains("function:shop-"), "{text}");
        assert!(text.contains("role/lambda-exec"), "{text}");

        let grant = |n: usize| Allowed {
            functions: vec![format!("shop-{n}-of-some-length-*")],
            roles: vec![format!("team/{n}/of-some-length")],
            buckets: vec![format!("shop-site-{n}-of-some-length")],
            may_adopt: false,
        };
        let grants = (0..40).map(grant).collect();
        let text = session_policy(PLACE, &Permissions { grants });
        assert!(text.len() <= MOST_CHARACTERS, "{}", text.len());
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
    fn what_is_asked_before_taking_over_is_allowed_where_a_grant_has_may_adopt() {
        let mut permissions = permissions(&["checkout-*"], &["lambda-exec"]);
        let asked = [ADOPTING_ACTIONS[0], ADOPTING_ACTIONS[1], EVENT_SOURCES];
        let text = session_policy(PLACE, &permissions);
        assert!(asked.iter().all(|action| !text.contains(action)), "{text}");
        permissions.grants[0].may_adopt = true;
        let text = session_policy(PLACE, &permissions);
        assert!(asked.iter().all(|action| text.contains(action)), "{text}");
    }

    proptest! {
        /// AWS refuses a longer one, and with it the whole session.
        #[test]
        fn it_always_fits(
            functions in proptest::collection::vec("[a-z*]{1,140}", 0..4),
            roles in proptest::collection::vec("[a-z*/]{1,512}", 0..4),
            buckets in proptest::collection::vec("[a-z*.-]{1,63}", 0..4),
            may_adopt in any::<bool>(),
        ) {
            let artifact_bucket = "a".repeat(63);
            let place = Place {
                partition: "aws-us-gov",
                region: "us-gov-west-1",
                artifact_bucket: &artifact_bucket,
                ..PLACE
            };
            let grant = Allowed { functions, roles, buckets, may_adopt };
            let text = session_policy(place, &Permissions { grants: vec![grant] });
            prop_assert!(text.len() <= MOST_CHARACTERS, "{}", text.len());
        }

        /// Whatever is joined, nothing that the grants allow is refused.
        #[test]
        fn joining_only_widens(
            names in proptest::collection::vec("[a-c]{1,4}[*]?[a-c]{0,3}", 1..12),
            times in 0..12_usize,
        ) {
            let mut patterns = Patterns::new(names.iter().cloned(), "_-");
            for _ in 0..times {
                if !patterns.join() {
                    patterns.cut();
                }
            }
            for name in &names {
                prop_assert!(patterns.0.iter().any(|pattern| matches(pattern, name)), "{name}");
            }
        }
    }
}
