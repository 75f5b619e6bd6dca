mod assemblies;

use serde_json::json;

use super::*;
use crate::domain::{
    grants::{Allowed, Holder},
    workload::{kinds::Workload, lambda::DesiredFunction},
};

fn release(component: serde_json::Value, stage: serde_json::Value) -> ReleaseSpec {
    let mut component_of = json!({
        "name": "api",
        "lambda": {"functionName": "checkout-$(stage.name)", "artifact": "api", "runtime": "python3.13",
                   "handler": "app.handler", "role": "lambda-exec"},
    });
    merge(&mut component_of, component);
    let mut stage_of =
        json!({"name": "dev", "targets": [{"account": "dev", "region": "eu-west-1"}]});
    merge(&mut stage_of, stage);
    let digest = "ab".repeat(32);
    serde_json::from_value(json!({
        "revision": 3,
        "key": digest,
        "source": {"projectId": 1, "project": "shop/checkout", "ref": "main", "commit": "c0ffee", "shortCommit": "c0ffee",
                   "pipelineId": 77},
        "artifacts": [{"name": "api", "sha256": digest, "size": 10,
                       "location": {"account": "hub", "region": "eu-west-1", "bucket": "b", "key": "k", "versionId": "v"},
                       "archive": {"entries": 1, "uncompressedSize": 10}}],
        "template": {"artifacts": [], "components": [component_of], "stages": [stage_of], "rollback": {},
                     "progressDeadline": "10m"},
    }))
    .expect("a Release")
}

fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
    match (into, from) {
        (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn target() -> TargetSpec {
    serde_json::from_value(json!({
        "deployment": "checkout", "stage": "dev", "account": "dev", "accountId": "222222222222", "region": "eu-west-1",
        "deletionPolicy": "Retain",
    }))
    .expect("a Target")
}

fn work_out(release: &ReleaseSpec) -> Result<Desired, Invalid> {
    work_out_on(release, &target())
}

fn work_out_on(release: &ReleaseSpec, target: &TargetSpec) -> Result<Desired, Invalid> {
    let reference = ReleaseRef {
        name: "checkout-3".into(),
        uid: "u".into(),
        revision: 3,
    };
    let owner = Owner {
        cluster: "c1".into(),
        namespace: "shop".into(),
        name: "checkout".into(),
    };
    let permissions = Permissions {
        account: "dev".into(),
        holder: Holder {
            namespace: "shop".into(),
            ..Holder::default()
        },
        grants: vec![Allowed {
            functions: vec!["checkout-*".into()],
            roles: vec!["lambda-*".into()],
            stacks: vec!["checkout-*".into()],
            stack_roles: vec!["cfn-exec".into()],
            cdk_qualifiers: vec!["hnb659fds".into()],
            ..Allowed::default()
        }],
    };
    desired(&reference, release, target, &owner, &permissions)
}

fn function(component: serde_json::Value, stage: serde_json::Value) -> DesiredFunction {
    let mut desired = work_out(&release(component, stage)).expect("a desired state");
    let Workload::Lambda(function) = desired.components.remove(0).workload else {
        panic!("a function");
    };
    *function
}

fn refusal(component: serde_json::Value) -> String {
    work_out(&release(component, json!({})))
        .expect_err("a refusal")
        .to_string()
}

#[test]
fn function_name_and_role_are_resolved_for_the_target() {
    let function = function(json!({}), json!({}));
    assert_eq!(function.function_name, "checkout-dev");
    assert_eq!(
        function.configuration.role,
        "arn:aws:iam::222222222222:role/lambda-exec"
    );
    assert_eq!(function.tags["sluice.dev/name"], "checkout");
    assert_eq!(
        (
            function.configuration.memory_size,
            function.configuration.timeout
        ),
        (128, 3)
    );
}

#[test]
fn override_replaces_settings_and_merges_variables() {
    let component = json!({"lambda": {"environment": {"LEVEL": "info", "STAGE": "$(stage.name)"}, "memorySize": 512}});
    let stage = json!({"overrides": [{"component": "api", "lambda": {"memorySize": 1024, "environment": {"LEVEL": "debug"}}}]});
    let function = function(component, stage);
    assert_eq!(function.configuration.memory_size, 1024);
    let environment = [("LEVEL", "debug"), ("STAGE", "dev")];
    assert_eq!(
        function.configuration.environment,
        environment
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    );
}

#[test]
fn variables_in_a_check_are_substituted() {
    let stage = json!({"checks": [{"name": "smoke", "invoke": {
        "component": "api", "payload": {"release": "$(release.name)"}, "expect": {"path": "/stage", "equals": "$(stage.name)"},
        "timeout": "1m"}}]});
    let check = function(json!({}), stage).checks.remove(0);
    assert_eq!(check.payload, r#"{"release":"checkout-3"}"#);
    assert_eq!(check.expect.map(|expect| expect.equals), Some(json!("dev")));
    assert_eq!(check.timeout, Duration::from_mins(1));
}

#[test]
fn null_is_a_value_like_any_other() {
    let stage = |invoke: serde_json::Value| {
        let mut invoke = invoke;
        invoke["component"] = json!("api");
        json!({"checks": [{"name": "smoke", "invoke": invoke}]})
    };
    for expect in [json!({"equals": null}), json!({"isNull": true})] {
        let check = function(json!({}), stage(json!({"expect": expect})))
            .checks
            .remove(0);
        assert_eq!(
            check.expect.map(|it| it.equals),
            Some(json!(null)),
            "{expect}"
        );
    }
    let check = function(json!({}), stage(json!({"payload": null})))
        .checks
        .remove(0);
    assert_eq!(check.payload, "null");
    for (expect, why) in [
        (json!({}), "set equals to the expected value"),
        (json!({"equals": 1, "isNull": true}), "remove one of them"),
    ] {
        let release = release(json!({}), stage(json!({"expect": expect})));
        let refusal = work_out(&release).expect_err("refused").to_string();
        let field = "spec.stages[dev].checks[smoke].invoke.expect.equals: ";
        assert!(
            refusal.starts_with(field) && refusal.contains(why),
            "{refusal}"
        );
    }
}

#[test]
fn aws_limits_are_checked_after_substitution() {
    let release = release(
        json!({"lambda": {
            "functionName": format!("checkout-{}-$(stage.name)", "a".repeat(52)),
            "description": format!("{} $(source.commit)", "d".repeat(255)),
            "tags": {"Owner": "a,b;c*#"},
            "environment": {"AWS_REGION": "x", "BIG": "x".repeat(5000)},
        }}),
        json!({}),
    );
    let owner = Owner {
        cluster: "c1".into(),
        namespace: "shop".into(),
        name: "checkout".into(),
    };
    let permissions = Permissions::default();
    let reference = ReleaseRef {
        name: "checkout-3".into(),
        uid: "u".into(),
        revision: 3,
    };
    let found = examine(&reference, &release, &target(), &owner, &permissions);
    let fields: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    let expected = [
        ("functionName", "this has 65 characters"),
        ("environment", "Lambda sets AWS_REGION itself"),
        ("environment", "at most 4096"),
        ("tags", "\"Owner\": ',' is not allowed"),
        ("description", "it has 262 characters"),
    ];
    assert_eq!(fields.len(), expected.len(), "{fields:#?}");
    for (found, (field, why)) in fields.iter().zip(expected) {
        let field = format!("spec.components[api].lambda.{field}: ");
        assert!(found.starts_with(&field) && found.contains(why), "{found}");
    }
    assert!(found.components.is_empty());
}

#[test]
fn invalid_override_names_its_own_field() {
    let stage =
        json!({"overrides": [{"component": "api", "lambda": {"environment": {"URL": "$(nope)"}}}]});
    let release = release(json!({"lambda": {"environment": {"URL": "fine"}}}), stage);
    let refusal = work_out(&release).expect_err("refused").to_string();
    let field = "spec.stages[dev].overrides[api].lambda.environment.URL: $(nope)";
    assert!(refusal.starts_with(field), "{refusal}");
    for (setting, expected) in [
        (json!({"role": "$(nope)"}), "role: $(nope) is not known"),
        (
            json!({"role": "arn:aws:iam::999999999999:role/lambda-exec"}),
            "role: arn:aws:iam::999999999999:role/lambda-exec is not a role of account",
        ),
        (
            json!({"description": "$(nope)"}),
            "description: $(nope) is not known",
        ),
    ] {
        let stage = json!({"overrides": [{"component": "api", "lambda": setting}]});
        let release = self::release(json!({}), stage);
        let refusal = work_out(&release).expect_err("refused").to_string();
        let expected = format!("spec.stages[dev].overrides[api].lambda.{expected}");
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
}

#[test]
fn package_that_the_runtime_can_not_start_is_refused() {
    let mut release = release(json!({"lambda": {"runtime": "provided.al2023"}}), json!({}));
    let archive = release.artifacts[0].archive.as_mut().expect("a zip");
    archive.executable_bootstrap = Some(false);
    let refusal = work_out(&release).expect_err("refused").to_string();
    let field = "spec.components[api].lambda.artifact: its file bootstrap is not executable";
    assert!(refusal.starts_with(field), "{refusal}");
    release.template.components[0]
        .lambda
        .as_mut()
        .expect("a function")
        .runtime = "python3.13".into();
    assert!(work_out(&release).is_ok());
}

#[test]
fn repeats_times_timeout_is_limited() {
    let stage = |repeats: u32| {
        json!({"checks": [{"name": "smoke", "invoke":
            {"component": "api", "timeout": "1m", "repeats": repeats}}]})
    };
    assert_eq!(function(json!({}), stage(15)).checks[0].repeats, 15);
    let refusal = work_out(&release(json!({}), stage(16)))
        .expect_err("refused")
        .to_string();
    let expected = "spec.stages[dev].checks[smoke].invoke.repeats: repeats times timeout is more";
    assert!(refusal.starts_with(expected), "{refusal}");
}

#[test]
fn invalid_component_names_its_field() {
    for (component, expected) in [
        (
            json!({"lambda": {"functionName": "checkout-$(stage.nmae)"}}),
            "spec.components[api].lambda.functionName: $(stage.nmae) is not known here",
        ),
        (
            json!({"lambda": {"functionName": "checkout api"}}),
            "spec.components[api].lambda.functionName: \"checkout api\" is not a valid function name",
        ),
        (
            json!({"lambda": {"functionName": "payment-api"}}),
            "spec.components[api].lambda.functionName: Account dev has no grant that lets namespace shop use function \
             payment-api with role lambda-exec",
        ),
        (
            json!({"lambda": {"role": "admin"}}),
            "spec.components[api].lambda.functionName: Account dev has no grant that lets namespace shop use function \
             checkout-dev with role admin",
        ),
        (
            json!({"lambda": {"role": "arn:aws:iam::999999999999:role/lambda-exec"}}),
            "spec.components[api].lambda.role: arn:aws:iam::999999999999:role/lambda-exec is not a role of account \
             222222222222",
        ),
        (
            json!({"lambda": {"environment": {"URL": "$(secret)"}}}),
            "spec.components[api].lambda.environment.URL: $(secret) is not known here",
        ),
        (
            json!({"lambda": {"artifact": "site"}}),
            "spec.components[api].lambda.artifact: there is no artifact site",
        ),
        (
            json!({"lambda": {"artifact": "apii"}}),
            "spec.components[api].lambda.artifact: there is no artifact apii, but api",
        ),
    ] {
        let refusal = refusal(component);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn components_can_not_share_a_function() {
    let mut release = release(
        json!({"lambda": {"functionName": "checkout-api"}}),
        json!({}),
    );
    let mut twin = release.template.components[0].clone();
    twin.name = "worker".into();
    release.template.components.push(twin);
    let refusal = work_out(&release).expect_err("refused").to_string();
    assert_eq!(
        refusal,
        "spec.components[worker].lambda.functionName: function checkout-api is also that of component api"
    );
}

#[test]
fn configuration_digest_covers_every_setting() {
    let digest = |component| function(component, json!({})).configuration_digest();
    let plain = digest(json!({}));
    for change in [
        json!({"lambda": {"memorySize": 256}}),
        json!({"lambda": {"timeout": 4}}),
        json!({"lambda": {"handler": "app.other"}}),
        json!({"lambda": {"environment": {"LEVEL": "info"}}}),
        json!({"lambda": {"architecture": "arm64"}}),
        json!({"lambda": {"description": "x"}}),
    ] {
        assert_ne!(digest(change.clone()), plain, "{change}");
    }
}

#[test]
fn release_with_the_former_stage_name_is_resolved() {
    let release = release(json!({}), json!({}));
    let mut target = target();
    target.stage = "staging".into();
    let unknown = work_out_on(&release, &target).expect_err("an unknown stage");
    assert!(
        unknown.to_string().contains("has no stage staging"),
        "{unknown}"
    );
    target.former_stage = Some("dev".into());
    let desired = work_out_on(&release, &target).expect("a desired state");
    let name = desired.components[0].resource();
    assert_eq!(name, "checkout-dev", "the live function keeps its name");
}

/// The desired state with a second function `web`, whose spec has these settings.
fn with_web(web: serde_json::Value) -> Result<Desired, Invalid> {
    let mut release = release(json!({}), json!({}));
    let mut component = json!({
        "name": "web", "dependsOn": ["api"],
        "lambda": {"functionName": "checkout-web", "artifact": "api", "runtime": "python3.13",
                   "handler": "app.handler", "role": "lambda-exec"},
    });
    merge(&mut component, web);
    let component = serde_json::from_value(component).expect("a component");
    // The order in the spec does not matter.
    release.template.components.insert(0, component);
    work_out(&release)
}

fn environment(value: &str) -> serde_json::Value {
    json!({"lambda": {"environment": {"API": value}}})
}

#[test]
fn outputs_known_from_the_spec_are_substituted() {
    let arn = environment("$(components.api.outputs.aliasArn)");
    let mut desired = with_web(arn).expect("a desired state");
    let Workload::Lambda(web) = desired.components.remove(0).workload else {
        panic!("a function");
    };
    assert_eq!(
        web.configuration.environment["API"],
        "arn:aws:lambda:eu-west-1:222222222222:function:checkout-dev:live"
    );
    assert!(web.deferred.is_empty());
}

#[test]
fn outputs_known_later_stay_references() {
    let version = environment("v$(components.api.outputs.version)");
    let mut desired = with_web(version).expect("a desired state");
    let web = desired.components.remove(0);
    let needed = web.needs_output().map(ToString::to_string);
    assert_eq!(needed.as_deref(), Some("components.api.outputs.version"));
}

#[test]
fn unavailable_outputs_are_refused() {
    let refused = |web| with_web(web).expect_err("a refusal").to_string();
    let mut apart = environment("$(components.api.outputs.aliasArn)");
    apart["dependsOn"] = json!([]);
    for (web, expected) in [
        (
            apart,
            "spec.components[web].lambda.environment.API: $(components.api.outputs.aliasArn) is an output of \
             component api: add api to dependsOn",
        ),
        (
            environment("$(components.api.outputs.url)"),
            "spec.components[web].lambda.environment.API: $(components.api.outputs.url) is not known here; the known names are \
             components.api.outputs.aliasArn, components.api.outputs.aliasName",
        ),
        (
            json!({"lambda": {"description": "$(components.api.outputs.version)"}}),
            "spec.components[web].lambda.description: $(components.api.outputs.version) is known only once component \
             api serves: use it in environment",
        ),
        (
            json!({"lambda": {"tags": {"api": "$(components.api.outputs.version)"}}}),
            "spec.components[web].lambda.tags.api: $(components.api.outputs.version) is known only once component api \
             serves: use it in environment",
        ),
    ] {
        let why = refused(web);
        assert!(why.starts_with(expected), "{why}");
    }
}
