//! Objects that the resource definitions accept and refuse, on a real API server.
//!
//! Each rule is tried with an object that keeps it and one that breaks it. An object is a manifest with one
//! field changed.

mod gate;
mod limits;
mod stacks;

use serde_json::{Value, json};
use sluice_lab::kube::User;

use crate::cluster::{accepted, as_controller, cluster, create, namespace, refused};

const CONNECTION: &str = include_str!("manifests/connection.yaml");
const ACCOUNT: &str = include_str!("manifests/account.yaml");
const DEPLOYMENT: &str = include_str!("manifests/deployment.yaml");
const RELEASE: &str = include_str!("manifests/release.yaml");
const TARGET: &str = include_str!("manifests/target.yaml");

/// One field changed: its JSON pointer, a value that is accepted, one that is not, and the text of the
/// refusal. `Value::Null` removes the field.
type Case<'a> = (&'a str, Value, Value, &'a str);

fn parse(manifest: &str) -> Value {
    serde_saphyr::from_str(manifest).unwrap()
}

/// The manifest with `value` at `pointer`, whose parent must exist.
fn with(manifest: &str, pointer: &str, value: &Value) -> Value {
    let mut object = parse(manifest);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("no parent of {pointer}"));
    match parent {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
        Value::Object(members) if value.is_null() => {
            members.remove(name);
        }
        Value::Object(members) => {
            members.insert(name.to_owned(), value.clone());
        }
        other => panic!("{pointer} is within {other}"),
    }
    object
}

fn try_create(object: &Value) -> std::process::Output {
    let [user, group] = as_controller();
    let options = ["--dry-run=server", "--namespace=default", &user, &group];
    create(cluster(), &options, &object.to_string())
}

fn check(manifest: &str, cases: &[Case]) {
    for (pointer, good, bad, why) in cases {
        println!("{pointer} = {good}");
        accepted(&try_create(&with(manifest, pointer, good)));
        println!("{pointer} = {bad}");
        refused(&try_create(&with(manifest, pointer, bad)), why);
    }
}

#[test]
fn connection_needs_a_url_and_a_token() {
    check(
        CONNECTION,
        &[
            (
                "/spec/url",
                json!("https://gitlab.com"),
                json!("gitlab.com"),
                "must be an http or https URL",
            ),
            (
                "/spec/url",
                json!("http://127.0.0.1:8080/git"),
                json!("ftp://gitlab.com"),
                "must be an http or https URL",
            ),
            (
                "/spec/url",
                json!("https://gitlab.com/"),
                json!("https://gitlab.com/?a=b"),
                "without a query",
            ),
            (
                "/spec/tokenSecretRef",
                json!({"name": "a", "key": "b"}),
                Value::Null,
                "spec.tokenSecretRef: Required",
            ),
            (
                "/spec/tokenSecretRef",
                json!({"name": "a", "key": "b"}),
                json!({"name": "a"}),
                "spec.tokenSecretRef.key: Required",
            ),
            (
                "/spec/tokenSecretRef/name",
                json!("a"),
                json!(""),
                "spec.tokenSecretRef.name",
            ),
            (
                "/spec/requestsPerMinute",
                json!(1),
                json!(0),
                "spec.requestsPerMinute",
            ),
            (
                "/spec/requestsPerMinute",
                json!(100_000),
                json!(100_001),
                "spec.requestsPerMinute",
            ),
            (
                "/spec/caBundleRef",
                json!({"name": "a", "key": "b"}),
                json!({"name": "a", "value": "b"}),
                "unknown field",
            ),
        ],
    );
}

#[test]
fn account_has_exactly_one_kind_of_credentials() {
    let exactly_one = "exactly one of ambient, accessKey, webIdentity and assumeRole must be set";
    let role = "arn:aws:iam::111111111111:role/sluice";
    check(
        ACCOUNT,
        &[
            (
                "/spec/credentials",
                json!({"ambient": {}}),
                json!({}),
                exactly_one,
            ),
            (
                "/spec/credentials",
                json!({"accessKey": {"secretRef": {"name": "keys"}}}),
                json!({"ambient": {}, "accessKey": {"secretRef": {"name": "keys"}}}),
                exactly_one,
            ),
            (
                "/spec/credentials",
                json!({"webIdentity": {"roleArn": role}}),
                json!({"webIdentity": {"roleArn": role}, "assumeRole": {"roleArn": role}}),
                exactly_one,
            ),
            (
                "/spec/credentials",
                // An absent member may be written as null.
                json!({"assumeRole": {"roleArn": role, "via": "hub"}, "ambient": null}),
                json!({"ambient": null}),
                exactly_one,
            ),
            (
                "/spec/credentials",
                json!({"ambient": {}}),
                Value::Null,
                "spec.credentials: Required",
            ),
        ],
    );
}

#[test]
fn account_is_within_bounds() {
    let region = |name: &str| json!({"name": name, "artifactBucket": "artifacts"});
    let grant = |functions: Value| json!([{"namespaceSelector": {}, "functions": functions}]);
    let buckets = |pattern: &str| json!([{"namespaceSelector": {}, "buckets": [pattern]}]);
    check(
        ACCOUNT,
        &[
            // Before the end, `*` would match keys of other buckets.
            (
                "/spec/grants",
                buckets("shop-*"),
                buckets("*-shop"),
                "spec.grants[0].buckets[0]",
            ),
            (
                "/spec/grants",
                buckets("*"),
                buckets("shop-*-eu"),
                "buckets",
            ),
            (
                "/spec/accountId",
                json!("012345678901"),
                json!("12345678901"),
                "spec.accountId",
            ),
            (
                "/spec/accountId",
                json!("012345678901"),
                json!(123_456_789_012_i64),
                "spec.accountId",
            ),
            (
                "/spec/regions",
                json!([region("eu-west-1"), region("us-gov-west-1")]),
                json!([region("eu-west-1"), region("eu-west-1")]),
                "Duplicate value",
            ),
            (
                "/spec/regions",
                json!([region("eu-west-1")]),
                json!([]),
                "spec.regions",
            ),
            (
                "/spec/regions/0/name",
                json!("ap-southeast-2"),
                json!("Ireland"),
                "spec.regions[0].name",
            ),
            (
                "/spec/regions/0/artifactBucket",
                json!("a-b.c"),
                json!("A_B"),
                "spec.regions[0].artifactBucket",
            ),
            (
                "/spec/endpointUrl",
                json!("http://127.0.0.1:4566"),
                json!("127.0.0.1:4566"),
                "must be an http or https URL",
            ),
            (
                "/spec/credentials/assumeRole/roleArn",
                json!("arn:aws-cn:iam::111111111111:role/a/b"),
                json!("arn:aws:iam::111111111111:user/a"),
                "spec.credentials.assumeRole.roleArn",
            ),
            (
                "/spec/credentials/assumeRole/externalId",
                json!("a+b=c"),
                json!("a b"),
                "externalId",
            ),
            (
                "/spec/credentials/assumeRole/sessionTags",
                json!({"team": "shop"}),
                json!({"team": 1}),
                "sessionTags",
            ),
            (
                "/spec/grants",
                grant(json!(["checkout-*"])),
                grant(json!([""])),
                "spec.grants[0].functions[0]",
            ),
            (
                "/spec/grants",
                json!([{"namespaceSelector": {}, "buckets": ["checkout-site-*"]}]),
                json!([{"namespaceSelector": {}, "buckets": ["b".repeat(64)]}]),
                "spec.grants[0].buckets[0]",
            ),
            (
                "/spec/grants",
                json!([]),
                json!([{"functions": ["*"]}]),
                "namespaceSelector: Required",
            ),
        ],
    );
}

#[test]
fn deployment_references_must_exist() {
    check(
        DEPLOYMENT,
        &[
            (
                "/spec/components/0/lambda/artifact",
                json!("api"),
                json!("web"),
                "the artifact of each of components[] must be the name of one of artifacts[]; there is \
                 no web (component api)",
            ),
            (
                "/spec/stages/0/checks/0/invoke/component",
                json!("api"),
                json!("web"),
                "stages[].checks[].invoke.component must be the name of a function among components[]; see stage \
                 dev",
            ),
            (
                "/spec/stages/1/overrides/0/component",
                json!("api"),
                json!("web"),
                "stages[].overrides[].component must be the name of a component of the same kind; see stage \
                 prod",
            ),
            // Settings that may not differ between stages have no field.
            (
                "/spec/stages/1/overrides/0/lambda",
                json!({"role": "other", "environment": {"A1": "b"}}),
                json!({"functionName": "other"}),
                "unknown field",
            ),
            (
                "/spec/stages/1/overrides/0/lambda",
                json!({}),
                json!({"artifact": "other"}),
                "unknown field",
            ),
        ],
    );
}

#[test]
fn component_is_a_function_or_files() {
    let api = parse(DEPLOYMENT)["spec"]["components"][0].clone();
    let both = |site: Value| json!([api, site]);
    let files = json!({"bucket": "shop-site", "artifact": "api", "path": "public/"});
    let site = |s3: Value| both(json!({"name": "site", "s3": s3}));
    let mut elsewhere = files.clone();
    elsewhere["artifact"] = json!("web");
    let mut adopted = site(files.clone());
    adopted[1]["adopt"] = json!(true);
    let mut unqualified = json!([api]);
    unqualified[0]["adopt"] = json!(true);
    unqualified[0]["allowUnqualified"] = json!(true);
    let mut not_adopted = unqualified.clone();
    not_adopted[0]["adopt"] = json!(false);
    let mut two_kinds = api.clone();
    two_kinds["s3"] = files.clone();
    check(
        DEPLOYMENT,
        &[
            (
                "/spec/components",
                site(files.clone()),
                site(elsewhere),
                "the artifact of each of components[] must be the name of one of artifacts[]",
            ),
            (
                "/spec/components",
                site(json!({"bucket": "$(stage.name)-site", "artifact": "api"})),
                both(json!({"name": "site"})),
                "exactly one of lambda",
            ),
            (
                "/spec/components/0/adopt",
                json!(true),
                json!("yes"),
                "spec.components[0].adopt",
            ),
            (
                "/spec/components",
                site(files.clone()),
                adopted,
                "adopt applies only to functions",
            ),
            (
                "/spec/components",
                unqualified,
                not_adopted,
                "allowUnqualified applies only to an adopted function",
            ),
            (
                "/spec/components",
                json!([api]),
                json!([two_kinds]),
                "exactly one of lambda",
            ),
        ],
    );
    let mut checked = parse(DEPLOYMENT);
    checked["spec"]["components"] = site(files);
    let check = &mut checked["spec"]["stages"][0]["checks"][0]["invoke"];
    check["component"] = json!("site");
    let why = "invoke.component must be the name of a function among components[]";
    refused(&try_create(&checked), why);
}

#[test]
fn names_are_unique_in_a_deployment() {
    let deployment = parse(DEPLOYMENT);
    let twice = |pointer: &str| {
        let item = deployment.pointer(pointer).unwrap();
        json!([item, item])
    };
    let two = |pointer: &str, name: &str| {
        let item = deployment.pointer(pointer).unwrap();
        let mut other = item.clone();
        other["name"] = json!(name);
        json!([item, other])
    };
    let duplicate = "Duplicate value";
    check(
        DEPLOYMENT,
        &[
            (
                "/spec/artifacts",
                two("/spec/artifacts/0", "web"),
                twice("/spec/artifacts/0"),
                duplicate,
            ),
            (
                "/spec/components",
                two("/spec/components/0", "web"),
                twice("/spec/components/0"),
                duplicate,
            ),
            (
                "/spec/stages",
                deployment["spec"]["stages"].clone(),
                twice("/spec/stages/0"),
                duplicate,
            ),
            (
                "/spec/stages/0/checks",
                two("/spec/stages/0/checks/0", "other"),
                twice("/spec/stages/0/checks/0"),
                duplicate,
            ),
            (
                "/spec/stages/0/targets",
                json!([{"account": "dev", "region": "eu-west-1"}, {"account": "dev", "region": "eu-west-2"}]),
                twice("/spec/stages/0/targets/0"),
                duplicate,
            ),
            (
                "/spec/stages/1/overrides",
                json!([]),
                twice("/spec/stages/1/overrides/0"),
                duplicate,
            ),
        ],
    );
}

#[test]
fn durations_are_within_bounds() {
    let seconds_to_a_day = "must be a duration from 1s to 24h";
    let deadline = "must be a duration from 10s to 24h";
    let check_timeout = "must be a duration from 1s to 15m";
    check(
        DEPLOYMENT,
        &[
            (
                "/spec/source/interval",
                json!("1s"),
                json!("0s"),
                seconds_to_a_day,
            ),
            (
                "/spec/source/interval",
                json!("24h"),
                json!("24h1s"),
                seconds_to_a_day,
            ),
            (
                "/spec/source/interval",
                json!("1h30m"),
                json!("1 hour"),
                seconds_to_a_day,
            ),
            (
                "/spec/source/interval",
                json!("90s"),
                json!("90"),
                seconds_to_a_day,
            ),
            (
                "/spec/source/interval",
                json!("90s"),
                json!("-5m"),
                seconds_to_a_day,
            ),
            (
                "/spec/source/interval",
                json!("90s"),
                json!("500ms"),
                seconds_to_a_day,
            ),
            (
                "/spec/progressDeadline",
                json!("10s"),
                json!("9s"),
                deadline,
            ),
            (
                "/spec/progressDeadline",
                json!("24h"),
                json!("25h"),
                deadline,
            ),
            (
                "/spec/stages/0/checks/0/invoke/timeout",
                json!("15m"),
                json!("16m"),
                check_timeout,
            ),
            (
                "/spec/stages/0/checks/0/invoke/repeats",
                json!(20),
                json!(21),
                "repeats",
            ),
            (
                "/spec/stages/0/checks/0/invoke/repeats",
                json!(1),
                json!(0),
                "repeats",
            ),
            (
                "/spec/stages/0/checks/0/invoke/timeout",
                json!("1s"),
                json!(""),
                check_timeout,
            ),
        ],
    );
}

#[test]
fn function_is_within_bounds() {
    let lambda = |field: &str| format!("/spec/components/0/lambda/{field}");
    check(
        DEPLOYMENT,
        &[
            (
                &lambda("functionName"),
                json!("checkout-$(stage.name)"),
                json!(""),
                "functionName",
            ),
            (&lambda("alias"), json!("live"), json!("7"), "alias"),
            (
                &lambda("memorySize"),
                json!(10240),
                json!(10241),
                "memorySize",
            ),
            (&lambda("memorySize"), json!(128), json!(127), "memorySize"),
            (&lambda("timeout"), json!(900), json!(901), "timeout"),
            (
                &lambda("architecture"),
                json!("arm64"),
                json!("arm"),
                "architecture",
            ),
            (
                &lambda("environment"),
                json!({"A1": ""}),
                json!({"1A": ""}),
                "names must be letters, digits and _",
            ),
            (
                &lambda("environment"),
                json!({"AB": "1"}),
                json!({"AB": 1}),
                "environment",
            ),
            (
                &lambda("tags"),
                json!({"team": "shop"}),
                json!({"aws:team": "shop"}),
                "the prefixes sluice.dev/ and aws: are reserved",
            ),
            (
                &lambda("tags"),
                json!({"team": "shop"}),
                json!({"sluice.dev/a": "b"}),
                "the prefixes sluice.dev/ and aws: are reserved",
            ),
        ],
    );
}

#[test]
fn project_url_is_refused_with_the_path_to_write() {
    check(
        DEPLOYMENT,
        &[
            (
                "/spec/source/project",
                json!("42"),
                json!("checkout"),
                "must be a numeric id or a path",
            ),
            (
                "/spec/source/project",
                json!("a.b/c_d/checkout.x"),
                json!("https://gitlab.example.com/shop/checkout.git"),
                "must be the path of the project, not its URL: write shop/checkout\n",
            ),
            (
                "/spec/source/project",
                json!("42"),
                json!("https://gitlab.example.com/a/shop/checkout/-/pipelines"),
                "must be the path of the project, not its URL: write a/shop/checkout\n",
            ),
            (
                "/spec/source/project",
                json!("42"),
                json!("git@gitlab.example.com:shop/checkout.git"),
                "must be the path of the project, not its URL: write shop/checkout\n",
            ),
            (
                "/spec/source/project",
                json!("42"),
                json!("https://gitlab.example.com"),
                "write it with its namespace, such as shop/checkout",
            ),
        ],
    );
}

#[test]
fn deployment_is_within_bounds() {
    let stages = |count: usize| {
        let stage = |n| json!({"name": format!("s{n}"), "targets": [{"account": format!("a{n}"), "region": "eu-west-1"}]});
        Value::Array((0..count).map(stage).collect())
    };
    check(
        DEPLOYMENT,
        &[
            (
                "/metadata/name",
                json!("a".repeat(63)),
                json!("a".repeat(64)),
                "the name may have at most 63 characters",
            ),
            (
                "/spec/source/project",
                json!("a/b/c"),
                json!(42),
                "spec.source.project",
            ),
            (
                "/spec/source/ref",
                json!("v*"),
                json!(""),
                "spec.source.ref",
            ),
            (
                "/spec/source/pipeline",
                json!({"minimumTests": 1}),
                json!({"minimumTests": 0}),
                "minimumTests",
            ),
            (
                "/spec/artifacts/0/name",
                json!("api"),
                json!("API"),
                "spec.artifacts[0].name",
            ),
            (
                "/spec/artifacts/0/job",
                json!({"name": "build it"}),
                json!({"path": "a.zip"}),
                "job.name: Required",
            ),
            ("/spec/stages", stages(16), stages(17), "spec.stages"),
            ("/spec/stages", stages(1), json!([]), "spec.stages"),
            (
                "/spec/stages/0/targets",
                json!([{"account": "a", "region": "b"}]),
                json!([]),
                "spec.stages[0].targets",
            ),
            (
                "/spec/stages/0/checks/0/invoke/expect",
                json!({"equals": null}),
                json!({"path": "statusCode", "equals": 1}),
                "expect.path",
            ),
            (
                "/spec/rollback",
                json!({"onFailure": "Automatic"}),
                json!({"onFailure": "Never"}),
                "onFailure",
            ),
            (
                "/spec/deletionPolicy",
                json!("Delete"),
                json!("Orphan"),
                "deletionPolicy",
            ),
            ("/spec/historyLimit", json!(1), json!(0), "historyLimit"),
            ("/spec/historyLimit", json!(100), json!(101), "historyLimit"),
            ("/spec/suspend", json!(true), json!("yes"), "suspend"),
        ],
    );
}

#[test]
fn rollouts_and_gates_are_within_bounds() {
    check(
        DEPLOYMENT,
        &[
            (
                "/spec/superseding",
                json!("Hold"),
                json!("Oldest"),
                "superseding",
            ),
            (
                "/spec/rollback",
                json!({"onFailure": "Hold"}),
                json!({"onFailure": "Stay"}),
                "onFailure",
            ),
            (
                "/spec/stages/0/rollout",
                json!({"linear": {"increment": 10, "interval": "1m"}, "finalBake": "5m"}),
                json!({"linear": {"increment": 10, "interval": "1m"}, "allAtOnce": {}}),
                "exactly one of allAtOnce, canary and linear must be set",
            ),
            (
                "/spec/stages/0/rollout",
                json!({"canary": {"steps": [{"weight": 1, "bake": "1h30m"}]}}),
                json!({"canary": {"steps": [{"weight": 100, "bake": "1m"}]}}),
                "weight",
            ),
            (
                "/spec/stages/0/maxConcurrentTargets",
                json!(1),
                json!(0),
                "maxConcurrentTargets",
            ),
            (
                "/spec/stages/0/gate",
                json!({"approval": {"gitlab": {"manualJob": "approve"}}}),
                json!({"approval": {}}),
                "exactly one of kubernetes and gitlab must be set",
            ),
            (
                "/spec/drift",
                json!({"interval": "1s", "policy": "Correct"}),
                json!({"interval": "0s"}),
                "must be a duration from 1s to 24h",
            ),
            (
                "/spec/drift",
                json!({"policy": "Ignore"}),
                json!({"policy": "Revert"}),
                "spec.drift.policy",
            ),
            (
                "/spec/components/0/dependsOn",
                json!([]),
                json!(["api"]),
                "a component can't depend on itself",
            ),
            (
                "/spec/components/0/dependsOn",
                json!([]),
                json!(["nothing"]),
                "components[].dependsOn must be names of components[]; see component api",
            ),
        ],
    );
}

#[test]
fn releases_and_targets_are_within_bounds() {
    check(
        RELEASE,
        &[
            ("/spec/revision", json!(1), json!(0), "spec.revision"),
            (
                "/spec/key",
                json!("0".repeat(64)),
                json!("0".repeat(63)),
                "spec.key",
            ),
            (
                "/spec/artifacts/0/sha256",
                json!("a".repeat(64)),
                json!("A".repeat(64)),
                "sha256",
            ),
            ("/spec/artifacts/0/size", json!(0), json!(-1), "size"),
        ],
    );
    let run = |goal: &str, attempt: i64| json!({"release": {"name": "a-1", "uid": "u", "revision": 1}, "attempt": attempt, "goal": goal, "sequence": 1});
    check(
        TARGET,
        &[
            (
                "/spec/accountId",
                json!("000000000000"),
                json!("1"),
                "spec.accountId",
            ),
            (
                "/spec/deletionPolicy",
                json!("Retain"),
                Value::Null,
                "spec.deletionPolicy: Required",
            ),
            (
                "/spec/run",
                run("Deliver", 1),
                run("Hope", 1),
                "spec.run.goal",
            ),
            (
                "/spec/run",
                run("Restore", 2),
                run("Restore", 0),
                "spec.run.attempt",
            ),
        ],
    );
}

#[test]
fn identifying_fields_are_immutable() {
    let here = "crds-immutable";
    namespace(here);
    let [user, group] = as_controller();
    let in_namespace = ["--namespace", here, &user, &group];
    let patch = |what: &str, path: &str, value: Value| {
        let patch = json!([{"op": "replace", "path": path, "value": value}]).to_string();
        let arguments = ["patch", what, "--type=json", "--patch", &patch];
        cluster()
            .kubectl(User::Admin, &[&arguments, &in_namespace[..]].concat())
            .unwrap()
    };

    accepted(&create(cluster(), &in_namespace, RELEASE));
    let release = "releases.sluice.dev/checkout-1";
    refused(
        &patch(release, "/spec/revision", json!(2)),
        "a Release is immutable",
    );
    let size = "/spec/artifacts/0/size";
    refused(&patch(release, size, json!(1001)), "a Release is immutable");
    accepted(&patch(release, size, json!(1000)));

    accepted(&create(cluster(), &in_namespace, TARGET));
    let target = "targets.sluice.dev/checkout-dev";
    refused(
        &patch(target, "/spec/accountId", json!("222222222222")),
        "is immutable",
    );
    refused(
        &patch(target, "/spec/region", json!("eu-west-2")),
        "is immutable",
    );
    accepted(&patch(target, "/spec/deletionPolicy", json!("Delete")));

    let account = with(ACCOUNT, "/metadata/name", &json!(here));
    accepted(&create(cluster(), &[], &account.to_string()));
    let account = format!("accounts.sluice.dev/{here}");
    let other = json!("222222222222");
    refused(
        &patch(&account, "/spec/accountId", other),
        "is immutable: create another Account",
    );
    accepted(&patch(
        &account,
        "/spec/regions/0/artifactBucket",
        json!("another"),
    ));
}

#[test]
fn defaults_are_filled_in() {
    let output = ["--output=json", "--dry-run=server", "--namespace=default"];
    let output = create(cluster(), &output, DEPLOYMENT);
    accepted(&output);
    let deployment: Value = serde_json::from_slice(&output.stdout).unwrap();
    let spec = &deployment["spec"];
    assert_eq!(spec["source"]["interval"], "1m");
    assert_eq!(spec["progressDeadline"], "10m");
    assert_eq!(spec["historyLimit"], 10);
    assert_eq!(spec["deletionPolicy"], "Retain");
    assert_eq!(
        spec["drift"],
        json!({"interval": "10m", "policy": "Report"})
    );
    assert_eq!(spec["rollback"], json!({"onFailure": "Automatic"}));
    assert_eq!(spec["components"][0]["lambda"]["alias"], "live");
    assert_eq!(spec["components"][0]["lambda"]["architecture"], "x86_64");
    let invoke = &spec["stages"][0]["checks"][0]["invoke"];
    assert_eq!(
        (&invoke["timeout"], &invoke["repeats"]),
        (&json!("10s"), &json!(1))
    );
}

#[test]
fn kubectl_get_prints_the_documented_columns() {
    let here = "crds-columns";
    namespace(here);
    let [user, group] = as_controller();
    let in_namespace = ["--namespace", here, &user, &group];
    for manifest in [CONNECTION, DEPLOYMENT, RELEASE, TARGET] {
        accepted(&create(cluster(), &in_namespace, manifest));
    }
    let account = with(ACCOUNT, "/metadata/name", &json!(here)).to_string();
    accepted(&create(cluster(), &[], &account));
    let columns = |kind: &str| {
        let table = cluster()
            .kubectl_text(User::Admin, &["get", kind, "--namespace", here])
            .unwrap();
        let header = table.lines().next().unwrap_or_default();
        header.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // The short names, so that they are tried too.
    for (kind, expected) in [
        (
            "sdep",
            "NAME READY AVAILABLE DRIFTED NEWEST LIVE SINCE STATUS",
        ),
        ("srel", "NAME REVISION COMMIT PIPELINE OUTCOME AGE"),
        (
            "stgt",
            "NAME DEPLOYMENT STAGE ACCOUNT REGION LIVE SINCE READY DRIFTED STATUS",
        ),
        ("glc", "NAME URL READY VERSION USER EXPIRES STATUS AGE"),
        ("acct", "NAME ACCOUNT-ID READY IDENTITY STATUS AGE"),
    ] {
        assert_eq!(columns(kind), expected, "{kind}");
    }
    let all = ["get", "sluice", "--namespace", here, "--output=name"];
    let all = cluster().kubectl_text(User::Admin, &all).unwrap();
    for kind in ["deployment", "release", "target", "gitlabconnection"] {
        assert!(
            all.contains(&format!("{kind}.sluice.dev/")),
            "{kind} in {all}"
        );
    }
}
