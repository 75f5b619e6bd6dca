use serde_json::{Value, json};

use super::*;
use crate::domain::grants::Allowed;

/// An Account whose grants allow names that begin with `shop-`.
fn account(name: &str, id: &str, change: impl FnOnce(&mut Value)) -> (String, AccountAccess) {
    let mut spec = json!({
        "accountId": id,
        "regions": [
            {"name": "eu-west-1", "artifactBucket": format!("artifacts-{name}")},
            {"name": "us-east-1", "artifactBucket": format!("artifacts-{name}-us")},
        ],
        "credentials": {"ambient": {}},
        "grants": [],
    });
    change(&mut spec);
    let spec = serde_json::from_value(spec).expect("an Account");
    let permissions = Permissions {
        grants: vec![Allowed {
            functions: vec!["shop-*".into()],
            roles: vec!["exec".into()],
            buckets: vec!["shop-*".into(), "artifacts-*".into()],
            ..Allowed::default()
        }],
        ..Permissions::default()
    };
    let entered = AccountAccess {
        account: Arc::new(Account::new(name, spec)),
        permissions,
    };
    (name.to_owned(), entered)
}

fn account_of(name: &str) -> (String, AccountAccess) {
    account(name, "333333333333", |_| ())
}

/// The input of a preflight: two stages and one component of each kind, unless a test changes it.
struct Case {
    template: Value,
    stages: Value,
    accounts: BTreeMap<String, AccountAccess>,
    owned: BTreeSet<(String, String, String)>,
}

fn case() -> Case {
    let target = |account: &str| json!([{"account": account, "region": "eu-west-1"}]);
    let stages = json!([
        {"name": "dev", "targets": target("dev")},
        {"name": "production", "targets": target("prod")},
    ]);
    Case {
        template: json!({
            "artifacts": [{"name": "all", "job": {"name": "build"}}],
            "components": [
                {"name": "api", "lambda": {"functionName": "shop-api", "artifact": "all",
                    "runtime": "python3.13", "handler": "app.handler", "role": "exec"}},
                {"name": "site", "s3": {"bucket": "shop-site", "prefix": "docs", "artifact": "all"}},
            ],
            "stages": stages,
            "rollback": {},
            "progressDeadline": "10m",
        }),
        stages,
        accounts: [
            account("dev", "111111111111", |_| ()),
            account("prod", "222222222222", |_| ()),
        ]
        .into(),
        owned: BTreeSet::new(),
    }
}

impl Case {
    fn problems(&self) -> Vec<String> {
        let digest = "ab".repeat(32);
        let release: ReleaseSpec = serde_json::from_value(json!({
            "revision": 3,
            "key": digest,
            "source": {"projectId": 1, "project": "shop/checkout", "ref": "main", "commit": "c0ffee",
                "shortCommit": "c0ffee", "pipelineId": 77},
            "artifacts": [{"name": "all", "sha256": digest, "size": 10,
                "location": {"account": "hub", "region": "eu-west-1", "bucket": "b", "key": "k", "versionId": "v"},
                "archive": {"entries": 1, "uncompressedSize": 10}}],
            "template": self.template,
        }))
        .expect("a Release");
        let stages: Vec<Stage> = serde_json::from_value(self.stages.clone()).expect("stages");
        let buckets = BTreeMap::from([("artifacts-prod".to_owned(), "prod".to_owned())]);
        let preflight = Preflight {
            reference: &ReleaseRef {
                name: "checkout-3".into(),
                uid: "u".into(),
                revision: 3,
            },
            release: &release,
            stages: &stages,
            owner: &Owner {
                cluster: "c1".into(),
                namespace: "shop".into(),
                name: "checkout".into(),
            },
            accounts: &self.accounts,
            granting: &self.accounts.keys().cloned().collect(),
            artifact_buckets: &buckets,
            owned: &self.owned,
        };
        preflight
            .problems()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[track_caller]
    fn finds(&self, expected: &[(&str, &str)]) {
        let found = self.problems();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, (beginning, part)) in found.iter().zip(expected) {
            assert!(
                found.starts_with(beginning) && found.contains(part),
                "{found}"
            );
        }
    }
}

#[test]
fn valid_release_has_no_problems() {
    case().finds(&[]);
}

#[test]
fn preflight_finds_a_too_long_name_in_a_later_stage() {
    let mut case = case();
    let name = format!("shop-{}-$(stage.name)", "a".repeat(50));
    case.template["components"][0]["lambda"]["functionName"] = json!(name);
    let field = "production: spec.components[api].lambda.functionName: ";
    case.finds(&[(field, "this has 66 characters")]);
}

#[test]
fn preflight_finds_missing_accounts_regions_and_grants() {
    let mut missing = case();
    missing.accounts.remove("prod");
    let target = "production: spec.stages[production].targets[].";
    let account = format!("{target}account: ");
    missing.finds(&[(&account, "There is no Account prod; ask the platform team")]);
    missing
        .accounts
        .extend([account_of("prod-eu"), account_of("prods")]);
    missing.finds(&[(
        &account,
        "There is no Account prod, but prods: correct the name",
    )]);

    let mut elsewhere = case();
    elsewhere.template["stages"][1]["targets"][0]["region"] = json!("eu-north-1");
    let region = format!("{target}region: ");
    elsewhere.finds(&[(
        &region,
        "Account prod has no region eu-north-1, but eu-west-1, us-east-1; ask",
    )]);

    let mut closed = case();
    let prod = closed.accounts.get_mut("prod").expect("Account prod");
    prod.permissions = Permissions::default();
    closed.finds(&[(&account, "grants nothing to namespace shop")]);

    let mut narrow = case();
    let prod = narrow.accounts.get_mut("prod").expect("Account prod");
    prod.permissions.grants[0].functions = vec!["other-*".into()];
    prod.permissions.grants[0].buckets.clear();
    narrow.finds(&[
        (
            "production: spec.components[api].lambda.functionName: ",
            "no grant",
        ),
        ("production: spec.components[site].s3.bucket: ", "no grant"),
    ]);
}

#[test]
fn problem_of_several_targets_is_reported_once() {
    let mut case = case();
    case.template["stages"][1]["targets"] = json!([
        {"account": "prod", "region": "eu-west-1"}, {"account": "prod", "region": "us-east-1"},
    ]);
    case.template["stages"][1]["rollout"] = json!({"canary": {"steps": [
        {"weight": 50, "bake": "5m"}, {"weight": 10, "bake": "5m"},
    ]}});
    case.template["stages"][1]["checks"] = json!([
        {"name": "page", "http": {"url": "https://example.com", "bodyPattern": "("}},
    ]);
    case.finds(&[
        (
            "production: spec.stages[production].rollout.canary.steps[].weight: ",
            "more weight",
        ),
        (
            "production: spec.stages[production].checks[page].http.bodyPattern: ",
            "",
        ),
    ]);
}

#[test]
fn preflight_finds_a_bake_too_short_for_its_metric() {
    let mut case = case();
    let metric = |period: &str| {
        json!([{"name": "errors", "metric": {"metricStat": {"namespace": "Shop", "metricName": "Errors",
            "statistic": "Sum"}, "threshold": {"max": 1}, "period": period}}])
    };
    case.template["stages"][1]["rollout"] = json!({"allAtOnce": {}, "finalBake": "5m"});
    case.template["stages"][1]["checks"] = metric("1m");
    case.finds(&[]);
    case.template["stages"][1]["checks"] = metric("5m");
    let field = "production: spec.stages[production].checks[errors].metric.period: ";
    case.finds(&[(field, "a bake of 5m is too short")]);
}

#[test]
fn preflight_finds_a_gate_that_can_never_open() {
    let mut case = case();
    case.stages[1]["gate"] = json!({"windows": [
        {"schedule": "0 9 * * MON", "timeZone": "Mars/Olympus", "duration": "8h"},
    ]});
    let field = "production: spec.stages[production].gate: ";
    case.finds(&[(field, "windows[0].timeZone")]);

    let mut required = self::case();
    required
        .accounts
        .extend([account("prod", "222222222222", |spec| {
            spec["requires"] = json!({"windows": [
                {"schedule": "61 9 * * *", "timeZone": "UTC", "duration": "8h"},
            ]});
        })]);
    required.finds(&[(field, "Account prod: windows[0].schedule")]);
}

#[test]
fn adoption_needs_a_grant_until_it_is_complete() {
    let mut case = case();
    case.template["components"][0]["adopt"] = json!(true);
    for name in ["dev", "prod"] {
        let known = (
            name.to_owned(),
            "eu-west-1".to_owned(),
            "shop-api".to_owned(),
        );
        case.owned.insert(known);
    }
    case.finds(&[]);
    case.owned.retain(|(account, ..)| account == "dev");
    let field = "production: spec.components[api].lambda.functionName: ";
    case.finds(&[(
        field,
        "Account prod has no grant with mayAdopt for function shop-api",
    )]);
    let prod = case.accounts.get_mut("prod").expect("Account prod");
    prod.permissions.grants[0].may_adopt = true;
    case.finds(&[]);
}

#[test]
fn preflight_refuses_an_artifact_bucket() {
    let mut case = case();
    case.template["components"][1]["s3"]["bucket"] = json!("artifacts-$(target.account)");
    let field = "production: spec.components[site].s3.bucket: ";
    case.finds(&[(field, "Account prod keeps artifacts in artifacts-prod")]);
}

#[test]
fn preflight_finds_stages_that_share_a_function_or_s3_location() {
    let mut case = case();
    case.template["stages"][1]["targets"][0]["account"] = json!("dev");
    let function = "production: spec.components[api].lambda.functionName: ";
    let site = "production: spec.components[site].s3.prefix: ";
    case.finds(&[
        (function, "of component api in stage dev (dev/eu-west-1)"),
        (site, "s3://shop-site/docs/ overlaps s3://shop-site/docs/"),
    ]);

    // Functions in different regions don't conflict, nor do buckets on targets in different regions.
    case.template["stages"][1]["targets"][0]["region"] = json!("us-east-1");
    case.finds(&[]);
    case.template["stages"][1]["targets"][0]["region"] = json!("eu-west-1");
    case.template["components"][0]["lambda"]["functionName"] = json!("shop-api-$(stage.name)");
    case.template["components"][1]["s3"]["prefix"] = json!("$(stage.name)");
    case.finds(&[]);

    // One prefix contains the other.
    case.template["components"] = json!([
        {"name": "site", "s3": {"bucket": "shop-site", "prefix": "$(stage.name)", "artifact": "all"}},
        {"name": "inner", "s3": {"bucket": "shop-site", "prefix": "production/$(stage.name)",
            "artifact": "all"}},
    ]);
    let found = case.problems();
    assert!(
        found
            .iter()
            .any(|it| it.contains("of component inner in stage dev")),
        "{found:#?}"
    );
}

#[test]
fn preflight_compares_account_ids_not_names() {
    let mut case = case();
    case.accounts
        .extend([account("prod", "111111111111", |_| ())]);
    let function = "production: spec.components[api].lambda.functionName: ";
    let site = "production: spec.components[site].s3.prefix: ";
    case.finds(&[
        (function, "in stage dev (dev/eu-west-1)"),
        (site, "in stage dev"),
    ]);
    // The same holds within one stage.
    case.template["stages"] = json!([{"name": "all", "targets": [
        {"account": "dev", "region": "eu-west-1"}, {"account": "prod", "region": "eu-west-1"},
    ]}]);
    case.finds(&[
        (
            "all: spec.components[api].lambda.functionName: ",
            "in stage all",
        ),
        ("all: spec.components[site].s3.prefix: ", "in stage all"),
    ]);
}

#[test]
fn summary_shows_the_first_problems_and_counts_the_others() {
    let problem = |n: usize| Problem {
        stage: "dev".into(),
        field: format!("f{n}"),
        message: "m".into(),
    };
    let many: Vec<Problem> = (0..8).map(problem).collect();
    let text = summary(&many);
    assert!(text.starts_with("dev: f0: m; dev: f1: m; "), "{text}");
    assert!(text.ends_with("dev: f4: m; and 3 more problems"), "{text}");
    assert_eq!(summary(&many[..1]), "dev: f0: m");
}
