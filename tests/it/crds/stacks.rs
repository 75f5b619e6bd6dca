//! Stacks that the schema accepts and refuses: their names, parameters, tags and permissions, and grants of them.

use serde_json::{Value, json};

use super::{ACCOUNT, Case, DEPLOYMENT, check, parse, try_create, with};
use crate::cluster::{accepted, cluster, create, refused};

/// The components of the manifest and a stack, with this field changed; `Value::Null` removes it.
fn components(field: &str, value: &Value) -> Value {
    let mut stack = json!({
        "stackName": "checkout-infra",
        "artifact": "api",
        "template": "infra/template.yaml",
        "role": "cfn-exec",
    });
    if value.is_null() {
        stack.as_object_mut().unwrap().remove(field);
    } else {
        stack[field] = value.clone();
    }
    let function = parse(DEPLOYMENT)["spec"]["components"][0].clone();
    json!([function, {"name": "infra", "cloudFormation": stack}])
}

/// Tries a field of a stack with each of these: an accepted value, a refused one, and the text of the refusal.
fn check_field(field: &str, cases: &[(Value, Value, &str)]) {
    let cases: Vec<Case<'_>> = cases
        .iter()
        .map(|(good, bad, why)| {
            let (good, bad) = (components(field, good), components(field, bad));
            ("/spec/components", good, bad, *why)
        })
        .collect();
    check(DEPLOYMENT, &cases);
}

#[test]
fn stack_has_a_name_a_role_and_an_artifact() {
    let name = "must be 1 to 128 letters, digits and -, beginning with a letter";
    check_field(
        "stackName",
        &[
            (json!("a".repeat(128)), json!("a".repeat(129)), name),
            (json!("shop-$(stage.name)"), json!("1shop"), name),
            (json!("Shop-1"), json!("shop_infra"), name),
            (
                json!("shop"),
                json!("arn:aws:cloudformation:eu-west-1:1:stack/shop/1"),
                name,
            ),
            (json!("shop"), Value::Null, "stackName must be set"),
        ],
    );
    let role = "must be the name of a role, with its path if it has one, or its ARN";
    check_field(
        "role",
        &[
            (json!("teams/cfn-exec"), json!("not a role"), role),
            (
                json!("arn:aws:iam::111111111111:role/teams/cfn-exec"),
                json!("arn:aws:iam::111111111111:role/"),
                role,
            ),
            (json!("$(stage.name)-cfn"), Value::Null, "role: Required"),
        ],
    );
    check_field(
        "artifact",
        &[(
            json!("api"),
            json!("web"),
            "there is no web (component infra)",
        )],
    );
    check_field(
        "template",
        &[(Value::Null, json!(""), "cloudFormation.template")],
    );
    check_field(
        "importExistingResources",
        &[(json!(true), json!("yes"), "importExistingResources")],
    );
}

#[test]
fn parameters_and_tags_of_a_stack_are_within_bounds() {
    let names = "names must be 1 to 255 letters and digits";
    let many = |count: usize| {
        let one = |n: usize| (format!("P{n}"), json!("x"));
        Value::Object((0..count).map(one).collect())
    };
    check_field(
        "parameters",
        &[
            (json!({"Size1": "x"}), json!({"my-size": "x"}), names),
            (json!({"Size": ""}), json!({"Size": 1}), "parameters.Size"),
            (
                json!({"Size": "x".repeat(4096)}),
                json!({"Size": "x".repeat(4097)}),
                "Too long",
            ),
            (many(200), many(201), "parameters"),
        ],
    );
    check_field(
        "usePrevious",
        &[(json!(["A", "B"]), json!(["A", "A"]), "Duplicate value")],
    );
    let reserved = "the prefixes sluice.dev/ and aws: are reserved";
    let keys = "keys must be 1 to 128 letters";
    check_field(
        "tags",
        &[
            (
                json!({"team": "$(stage.name)"}),
                json!({"sluice.dev/name": "x"}),
                reserved,
            ),
            (json!({"Größe 1": "x"}), json!({"aws:x": "x"}), reserved),
            (json!({"a/b": "x"}), json!({"a*": "x"}), keys),
        ],
    );
}

#[test]
fn capabilities_topics_and_permissions_of_a_stack_are_known() {
    check_field(
        "capabilities",
        &[
            (
                json!([
                    "CAPABILITY_IAM",
                    "CAPABILITY_NAMED_IAM",
                    "CAPABILITY_AUTO_EXPAND"
                ]),
                json!(["CAPABILITY_ROOT"]),
                "Unsupported value",
            ),
            (
                json!([]),
                json!(["CAPABILITY_IAM", "CAPABILITY_IAM"]),
                "Duplicate value",
            ),
        ],
    );
    let topics = |count: usize| {
        let topic = |n: usize| json!(format!("arn:aws:sns:eu-west-1:111111111111:events-{n}"));
        Value::Array((0..count).map(topic).collect())
    };
    check_field(
        "notificationArns",
        &[(topics(5), topics(6), "notificationArns")],
    );
    check_field(
        "allow",
        &[
            (
                json!({"replacement": ["Table", "AWS::SQS::*"], "deletion": ["*"]}),
                json!({"replace": ["Table"]}),
                "unknown field",
            ),
            (
                json!({"deletion": []}),
                json!({"deletion": [""]}),
                "allow.deletion[0]",
            ),
            (json!({}), json!(["Table"]), "allow"),
        ],
    );
}

#[test]
fn stage_overrides_parameters_and_tags_of_a_stack_only() {
    let override_of = |component: &str, settings: &Value| json!([{"component": component, "cloudFormation": settings}]);
    let manifest = with(
        DEPLOYMENT,
        "/spec/components",
        &components("role", &json!("cfn-exec")),
    );
    let manifest = manifest.to_string();
    let settings = json!({"parameters": {"Size": "2"}, "tags": {"tier": "gold"}});
    let names = "names must be 1 to 255 letters and digits";
    check(
        &manifest,
        &[
            (
                "/spec/stages/1/overrides",
                override_of("infra", &settings),
                override_of("infra", &json!({"role": "other"})),
                "unknown field",
            ),
            (
                "/spec/stages/1/overrides",
                override_of("infra", &json!({})),
                override_of("infra", &json!({"parameters": {"a-b": "x"}})),
                names,
            ),
            (
                "/spec/stages/1/overrides",
                override_of("infra", &settings),
                override_of("api", &settings),
                "stages[].overrides[].component must be the name of",
            ),
        ],
    );
}

#[test]
fn stack_is_one_kind_of_component() {
    let stack = components("role", &json!("cfn-exec"));
    let mut two_kinds = stack.clone();
    two_kinds[1]["lambda"] = stack[0]["lambda"].clone();
    let mut depends = stack.clone();
    depends[1]["dependsOn"] = json!(["api"]);
    let mut itself = stack.clone();
    itself[1]["dependsOn"] = json!(["infra"]);
    check(
        DEPLOYMENT,
        &[
            (
                "/spec/components",
                stack,
                two_kinds,
                "exactly one of lambda",
            ),
            (
                "/spec/components",
                depends,
                itself,
                "a component can't depend on itself",
            ),
        ],
    );
    // Two stages in the same account and region need two stacks.
    let of = |name: &str| {
        let mut object = with(
            DEPLOYMENT,
            "/spec/components",
            &components("stackName", &json!(name)),
        );
        object["spec"]["components"][0]["lambda"]["functionName"] = json!("api-$(stage.name)");
        object["spec"]["stages"][1]["targets"] = object["spec"]["stages"][0]["targets"].clone();
        try_create(&object)
    };
    accepted(&of("infra-$(stage.name)"));
    let why = "two stages with the same account and region would change the same";
    refused(&of("infra"), why);
}

#[test]
fn grants_name_stacks_roles_and_parameters() {
    let grant = |field: &str, patterns: Value| json!([{"namespaceSelector": {}, field: patterns}]);
    let role = "r".repeat(512);
    check(
        ACCOUNT,
        &[
            (
                "/spec/grants",
                grant("stacks", json!(["checkout-*", "*-infra"])),
                grant("stacks", json!(["check_out"])),
                "spec.grants[0].stacks[0]",
            ),
            (
                "/spec/grants",
                grant("stacks", json!(["a".repeat(128)])),
                grant("stacks", json!(["a".repeat(129)])),
                "spec.grants[0].stacks[0]",
            ),
            (
                "/spec/grants",
                grant("stackRoles", json!(["teams/cfn-*", role])),
                grant("stackRoles", json!([""])),
                "spec.grants[0].stackRoles[0]",
            ),
            (
                "/spec/grants",
                grant("parameters", json!(["/shop/*"])),
                grant("parameters", json!([""])),
                "spec.grants[0].parameters[0]",
            ),
        ],
    );
}

#[test]
fn values_of_a_stack_are_stored_as_written() {
    let mut object = with(
        DEPLOYMENT,
        "/spec/components",
        &components(
            "parameters",
            &json!({"Account": "012345678901", "Yes": "yes"}),
        ),
    );
    object["metadata"]["namespace"] = json!("default");
    let output = create(
        cluster(),
        &["--output=json", "--dry-run=server"],
        &object.to_string(),
    );
    accepted(&output);
    let stored: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stack = &stored["spec"]["components"][1]["cloudFormation"];
    assert_eq!(
        stack["parameters"],
        json!({"Account": "012345678901", "Yes": "yes"})
    );
    assert_eq!(stack["allow"], Value::Null, "no default is filled in");
}
