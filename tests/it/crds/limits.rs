//! AWS limits and conflicts between stages that a schema can detect, and values that must be stored as
//! written.

use serde_json::{Value, json};

use super::{Case, DEPLOYMENT, check, parse, try_create, with};
use crate::cluster::{accepted, as_controller, cluster, create, refused};

#[test]
fn aws_limits_are_refused_by_the_schema() {
    let lambda = |field: &str| format!("/spec/components/0/lambda/{field}");
    let over = |field: &str| format!("/spec/stages/1/overrides/0/lambda/{field}");
    let (name, role, environment) = (
        lambda("functionName"),
        lambda("role"),
        lambda("environment"),
    );
    let (tags, bake) = (lambda("tags"), json!("1m"));
    let (own_role, own_environment, own_tags) = (over("role"), over("environment"), over("tags"));
    let names = "names must be letters, digits and _";
    let reserved = "Lambda sets its reserved variables itself";
    let keys = "keys must be 1 to 128 letters";
    let taken = "the prefixes sluice.dev/ and aws: are reserved";
    let steps = |weights: &[i64]| {
        let steps: Vec<Value> = (weights.iter())
            .map(|weight| json!({"weight": weight, "bake": bake}))
            .collect();
        json!({"canary": {"steps": steps}})
    };
    let long = "a".repeat(65);
    let mut cases: Vec<Case<'_>> = vec![
        (&name, json!("a".repeat(64)), json!(long), "must be 1 to 64"),
        (
            &name,
            json!(format!("{}-$(stage.name)", "a".repeat(60))),
            json!("a.b"),
            "must be 1 to 64",
        ),
        (
            "/spec/stages/0/rollout",
            steps(&[1, 10, 50]),
            steps(&[1, 50, 10]),
            "each step must have more weight than the one before",
        ),
    ];
    for role in [&role, &own_role] {
        cases.push((
            role,
            json!("arn:aws:iam::111111111111:role/team/exec"),
            json!("not a role"),
            "must be the name of a role",
        ));
    }
    for environment in [&environment, &own_environment] {
        cases.push((environment, json!({"A1": "b"}), json!({"1A": "b"}), names));
        cases.push((
            environment,
            json!({"AWS_LAMBDA_EXEC_WRAPPER": "/opt/x"}),
            json!({"AWS_REGION": "x"}),
            reserved,
        ));
        cases.push((
            environment,
            json!({"A1": "x".repeat(4096)}),
            json!({"A1": "x".repeat(4097)}),
            "Too long",
        ));
    }
    for tags in [&tags, &own_tags] {
        cases.push((tags, json!({"Größe 1": "b"}), json!({"a*": "b"}), keys));
        cases.push((
            tags,
            json!({"k".repeat(128): "b"}),
            json!({"k".repeat(129): "b"}),
            keys,
        ));
        cases.push((tags, json!({"a": "b"}), json!({"sluice.dev/x": "b"}), taken));
    }
    check(DEPLOYMENT, &cases);
}

#[test]
fn preflight_finds_stages_that_share_a_function_or_s3_location() {
    let why = "two stages with the same account and region would change the same function, files or stack";
    let stages = |second: &str| {
        let stage = |name: &str, region: &str| {
            json!({"name": name, "targets": [
                {"account": "dev", "region": "eu-west-1"}, {"account": "dev", "region": region}]})
        };
        let mut second = stage("prod", second);
        second["targets"].as_array_mut().unwrap().remove(0);
        json!([stage("dev", "us-east-1"), second])
    };
    check(
        DEPLOYMENT,
        &[(
            "/spec/stages",
            stages("eu-central-1"),
            stages("us-east-1"),
            why,
        )],
    );
    // Names that differ by stage may share account and region.
    let mut named = with(DEPLOYMENT, "/spec/stages", &stages("us-east-1"));
    let name = &mut named["spec"]["components"][0]["lambda"]["functionName"];
    *name = json!("checkout-$(stage.name)");
    accepted(&try_create(&named));
    let site = |prefix: &str| {
        let s3 = json!({"bucket": "shop-site", "prefix": prefix, "artifact": "api"});
        let mut object = named.clone();
        let components = object["spec"]["components"].as_array_mut().unwrap();
        components.push(json!({"name": "site", "s3": s3}));
        try_create(&object)
    };
    accepted(&site("$(stage.name)"));
    refused(&site("docs"), why);
}

#[test]
fn expected_null_is_stored() {
    let [user, group] = as_controller();
    let options = [
        "--dry-run=server",
        "--namespace=default",
        "--output=json",
        &user,
        &group,
    ];
    let invoke = |expect: Value| {
        let pointer = "/spec/stages/0/checks/0/invoke";
        let value = json!({"component": "api", "payload": null, "expect": expect});
        let object = with(DEPLOYMENT, pointer, &value);
        let output = create(cluster(), &options, &object.to_string());
        accepted(&output);
        let stored: Value = serde_json::from_slice(&output.stdout).unwrap();
        let deployment: sluice::api::v1alpha1::Deployment = serde_json::from_value(stored).unwrap();
        let check = deployment.spec.stages[0].checks[0].clone();
        check.invoke.unwrap()
    };
    let written = invoke(json!({"path": "/error", "equals": null}));
    assert_eq!(written.payload, Some(Value::Null));
    assert_eq!(written.expect.unwrap().equals, Some(Value::Null));
    let explicit = invoke(json!({"path": "/error", "isNull": true}))
        .expect
        .unwrap();
    assert!(explicit.is_null && explicit.equals.is_none());
}

#[test]
fn content_types_are_patterns_with_media_types() {
    let api = parse(DEPLOYMENT)["spec"]["components"][0].clone();
    let site = |types: Value| {
        let s3 = json!({"bucket": "shop-site", "artifact": "api", "contentTypes": types});
        json!([api, {"name": "site", "s3": s3}])
    };
    let one = |pattern: &str, value: &str| json!([{"match": pattern, "value": value}]);
    check(
        DEPLOYMENT,
        &[
            (
                "/spec/components",
                site(one("feeds/*", "application/rss+xml; charset=utf-8")),
                site(one("feeds/*", "xml")),
                "contentTypes[0].value",
            ),
            (
                "/spec/components",
                site(one("*", "text/html")),
                site(one("", "text/html")),
                "contentTypes[0].match",
            ),
            (
                "/spec/components",
                site(json!([])),
                site(json!([{"match": "a", "value": "a/b"}, {"match": "a", "value": "c/d"}])),
                "Duplicate value",
            ),
        ],
    );
}
