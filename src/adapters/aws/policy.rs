//! The session policy: the most that a session in an account may do, from a namespace's grants.
//!
//! It is a second fence behind the check before each wave, and coarser. A policy can't tie a role to a
//! function, so it allows the roles of all grants for the functions of all grants. A policy that allows all
//! buckets allows artifact buckets too, which the client for buckets refuses itself. AWS takes at most 2,048
//! characters. If the patterns need more, the policy joins those with the longest common prefix into one that
//! covers both (`shop-api-*` and `shop-web` into `shop-*`), and then shortens the last one, until it fits.
//! Such a policy still limits the session to this account, this region and these kinds of calls; the check
//! before each wave enforces the exact patterns.
//!
//! # Guarantees
//! - A pattern of buckets allows no key of another bucket: `*` in a policy also matches `/`, so the policy
//!   takes only patterns that end in their only `*` and so match a prefix of the bucket's name. It allows S3
//!   in the Account's own account only (`s3:ResourceAccount`).
//! - In the artifact bucket, a session reads packages, which are named by their digests, and reads and writes
//!   the copies of files in its Target's own folder. It reads no snapshot, plan or artifact.

use serde_json::{Value, json};

use crate::domain::{
    grants::{Holder, Permissions, is_bucket_pattern, matches},
    workload::{lambda::PACKAGES_PREFIX, s3::site::SITES_PREFIX},
};

/// The longest session policy that AWS takes.
const MAX_CHARACTERS: usize = 2048;

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

/// The account and region of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionScope<'a> {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub(super) partition: &'a str,
    pub(super) account_id: &'a str,
    pub(super) region: &'a str,
    pub(super) artifact_bucket: &'a str,
}

/// The policy as JSON, at most [`MAX_CHARACTERS`] long.
pub(super) fn session_policy(scope: SessionScope<'_>, permissions: &Permissions) -> String {
    let all = |patterns: fn(&crate::domain::grants::Allowed) -> &Vec<String>| {
        permissions.grants.iter().flat_map(patterns).cloned()
    };
    let mut functions = Patterns::new(all(|grant| &grant.functions), "_-");
    let mut roles = Patterns::new(all(|grant| &grant.roles), "_+=,.@-/");
    let safe = all(|grant| &grant.buckets).filter(|pattern| is_bucket_pattern(pattern));
    let mut buckets = Patterns::new(safe, ".-");
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
    loop {
        let actions = (&on_functions[..], &anywhere[..]);
        let policy = document(scope, &folder, actions, &functions.0, &roles.0, &buckets.0);
        let policy = policy.to_string();
        if policy.len() <= MAX_CHARACTERS {
            return policy;
        }
        // The longest list first. With nothing left to join, a pattern is shortened.
        let mut all = [&mut functions, &mut roles, &mut buckets];
        all.sort_by_key(|patterns| std::cmp::Reverse(patterns.size()));
        let shorter = all.iter_mut().any(|it| it.join()) || all.iter_mut().any(|it| it.cut());
        if !shorter {
            return policy;
        }
    }
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

/// Sorted patterns, none of which covers another.
struct Patterns(Vec<String>);

impl Patterns {
    /// Leaves out patterns with a character that no such name has: they match nothing, but `?` and
    /// `$` have a meaning in IAM.
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
        // Only a `*` in the pattern matches a `*` in the text, so that "matches" means "covers".
        self.0.retain(|one| {
            !all.iter().any(|other| {
                other != one && matches(other, one) && !(matches(one, other) && one < other)
            })
        });
    }

    /// Joins the two neighbours with the longest common prefix; false if only one is left.
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

    /// Cuts the only pattern in half; false if nothing is left of it.
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
    use crate::domain::grants::{Allowed, Resource};

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

    /// Whether a statement of the policy allows this in the Account's own account, as IAM matches.
    fn allows(policy: &str, action: &str, arn: &str) -> bool {
        let policy: Value = serde_json::from_str(policy).expect("JSON");
        let texts = |value: &Value| match value {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        };
        let statements = policy["Statement"].as_array().expect("statements");
        statements.iter().any(|statement| {
            let has = |what: &str, text: &str| {
                let patterns = texts(&statement[what]);
                let mut patterns = patterns.iter().filter_map(Value::as_str);
                patterns.any(|pattern| matches(pattern, text))
            };
            statement["Effect"] == "Allow" && has("Action", action) && has("Resource", arn)
        })
    }

    #[test]
    fn policy_lists_functions_with_qualifiers_roles_and_the_bucket() {
        let text = session_policy(
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
        let text = session_policy(SCOPE, &on_buckets(&["shop-site-*", "docs"]));
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
        let text = session_policy(SCOPE, &permissions);
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
        let text = session_policy(SCOPE, &on_buckets(&["docs"]));
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
        let text = session_policy(SCOPE, &Permissions::default());
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
        let text = session_policy(SCOPE, &permissions(&names, &["lambda-exec"]));
        assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
        assert!(text.contains("function:shop-"), "{text}");
        assert!(text.contains("role/lambda-exec"), "{text}");

        let grant = |n: usize| Allowed {
            functions: vec![format!("shop-{n}-of-some-length-*")],
            roles: vec![format!("team/{n}/of-some-length")],
            buckets: vec![format!("shop-site-{n}-of-some-length")],
            may_adopt: false,
        };
        let text = session_policy(SCOPE, &of((0..40).map(grant).collect()));
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
        let asked = [ADOPTION_ACTIONS[0], ADOPTION_ACTIONS[1], EVENT_SOURCES];
        let text = session_policy(SCOPE, &permissions);
        assert!(asked.iter().all(|action| !text.contains(action)), "{text}");
        permissions.grants[0].may_adopt = true;
        let text = session_policy(SCOPE, &permissions);
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
            let grant = Allowed { functions, roles, buckets, may_adopt };
            let mut permissions = of(vec![grant]);
            permissions.holder.namespace = namespace;
            permissions.holder.target = target;
            let text = session_policy(scope, &permissions);
            prop_assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
        }

        /// Joined patterns still allow all that the grants allow.
        #[test]
        fn joining_patterns_only_widens(
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
