//! Stacks of CDK apps: published, delivered and invoked.
//!
//! `cdk/` has what `cdk synth` of aws-cdk-lib 2.276.0 (Apache-2.0) left of an app with a function.

use aws_sdk_cloudformation::types::StackStatus;
use serde_json::{Value, json};
use sluice::domain::digest::Sha256;
use sluice_lab::{gitlab::zip, lab::HUB_REGION};

use super::{
    emulator::parameter,
    fixture::{
        checked, client, deployment, name, nothing_written, outputs, push_archive, push_files,
        spec, template, wait_no_change_sets,
    },
};
use crate::{
    assemblies,
    e2e::{
        check_kinds::Page,
        run,
        scene::{Scene, assert_contains},
    },
};

const MANIFEST: &str = include_str!("cdk/manifest.json");
const ASSETS: &str = include_str!("cdk/HelloCdk.assets.json");
const TEMPLATE: &str = include_str!("cdk/HelloCdk.template.json");
/// The digests of the template and of the function's code in the fixture.
const TEMPLATE_ID: &str = "32cf81a21c63a8bb9c809079a5d6c26f3a9565383985a9cc4663812724ea7550";
const CODE_ID: &str = "89bc3effb68cbbe81fa59d8c4c25fa34db73395bcffa98eeb3489644a8ca943a";

/// An assembly as `cdk synth` writes it for an account, with functions of one version.
struct Assembly {
    manifest: String,
    assets: String,
    template: String,
    code: String,
    code_id: String,
}

impl Assembly {
    /// The assembly for the account dev, whose function answers with this version.
    fn of(scene: &Scene<'_>, version: &str) -> Self {
        let account = scene.environment.lab.account_id("dev").unwrap();
        let code = format!("def handler(event, context):\n    return {{'version': '{version}'}}\n");
        let code_id = Sha256::of(code.as_bytes()).to_string();
        let here = |text: &str| {
            text.replace("000000000000", account)
                .replace("us-east-1", HUB_REGION)
                .replace(CODE_ID, &code_id)
        };
        // A version of a function has another logical id for each code.
        let template = here(TEMPLATE).replace("5cfd749ae74ee7272a9a51f90368fdee", &code_id[..32]);
        let template_id = Sha256::of(template.as_bytes()).to_string();
        Self {
            manifest: here(MANIFEST).replace(TEMPLATE_ID, &template_id),
            assets: here(ASSETS).replace(TEMPLATE_ID, &template_id),
            template,
            code,
            code_id,
        }
    }

    /// The key of the function's code in the bucket of the bootstrap.
    fn key(&self) -> String {
        format!("{}.zip", self.code_id)
    }

    /// A pipeline that has synthesized it.
    fn push(&self, scene: &Scene<'_>) {
        let code = format!("cdk.out/asset.{}/app.py", self.code_id);
        push_files(
            scene,
            &[
                ("cdk.out/manifest.json", &self.manifest),
                ("cdk.out/HelloCdk.assets.json", &self.assets),
                ("cdk.out/HelloCdk.template.json", &self.template),
                (&code, &self.code),
                ("cdk.out/tree.json", "{}"),
            ],
        );
    }
}

/// A Deployment of the stack to dev.
fn wanted(scene: &Scene<'_>) -> Value {
    let mut wanted = deployment(scene, &["dev"]);
    let stack = spec(&mut wanted);
    stack.as_object_mut().unwrap().remove("template");
    stack["cdk"] = json!({"stack": "HelloCdk"});
    stack["capabilities"] = json!(["CAPABILITY_IAM"]);
    wanted
}

/// The bucket of the bootstrap in dev.
fn bucket(scene: &Scene<'_>) -> String {
    let account = scene.environment.lab.account_id("dev").unwrap();
    format!("cdk-hnb659fds-assets-{account}-{HUB_REGION}")
}

/// The writes of the assembly's code to the bucket of the bootstrap since that mark. All tests share the bucket.
fn published(scene: &Scene<'_>, mark: usize, assembly: &Assembly) -> Vec<String> {
    let calls = scene.environment.lab.aws.calls_since(mark);
    let calls = calls.of_service("s3").writes();
    calls
        .only(|call| call.resource.contains(&assembly.key()))
        .names()
}

/// Asserts that the function answers with that version.
#[track_caller]
fn answers(scene: &Scene<'_>, version: &str) {
    let arn = outputs(scene, "dev").remove("FnArn").expect("the output");
    let function = arn.rsplit(':').next().expect("a name");
    scene.answers("dev", function, Some("live"), version);
}

/// Puts an object into the bucket of the bootstrap, as another tool would.
fn put(scene: &Scene<'_>, key: &str, bytes: Vec<u8>) {
    let lab = &scene.environment.lab;
    let account = lab.account_id("dev").unwrap();
    let s3 = aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::config::Builder::from(&lab.aws.sdk_config(account, HUB_REGION))
            .force_path_style(true)
            .build(),
    );
    let put = s3.put_object().bucket(bucket(scene)).key(key);
    run(put.body(bytes.into()).send()).expect("the object");
}

#[test]
fn stack_of_an_assembly_is_published_and_updated() {
    let scene = Scene::new("stk-cdk");
    let mark = scene.environment.lab.aws.mark();
    let first = Assembly::of(&scene, "cdk-v1");
    first.push(&scene);
    scene.apply(&wanted(&scene));
    scene.delivered(1);
    answers(&scene, "cdk-v1");
    assert_eq!(template(&scene, "dev"), first.template, "byte for byte");
    assert_eq!(published(&scene, mark, &first), ["s3:PutObject"]);

    let second = Assembly::of(&scene, "cdk-v2");
    second.push(&scene);
    scene.delivered(2);
    answers(&scene, "cdk-v2");
    wait_no_change_sets(&scene, "dev");

    let mark = scene.environment.lab.aws.mark();
    second.push(&scene);
    scene.delivered(3);
    nothing_written(&scene, mark);
    assert_eq!(published(&scene, mark, &second), [""; 0]);
}

#[test]
fn failed_check_brings_the_former_assembly_back() {
    let scene = Scene::new("stk-cdk-check");
    let page = Page::open(200);
    let mut checked = checked(&scene, &page);
    checked["spec"]["components"] = wanted(&scene)["spec"]["components"].clone();
    let first = Assembly::of(&scene, "check-v1");
    first.push(&scene);
    scene.apply(&checked);
    scene.delivered(1);

    page.answers(503);
    Assembly::of(&scene, "check-v2").push(&scene);
    scene.stalled(
        "RolledBack",
        &["r2 was rolled back, r1 serves", "answered 503"],
    );
    assert_eq!(template(&scene, "dev"), first.template);
    answers(&scene, "check-v1");
}

#[test]
fn file_that_cdk_deploy_published_is_used() {
    let scene = Scene::new("stk-cdk-shared");
    let assembly = Assembly::of(&scene, "shared");
    put(
        &scene,
        &assembly.key(),
        zip(&[("app.py", assembly.code.as_bytes())]),
    );
    let mark = scene.environment.lab.aws.mark();
    assembly.push(&scene);
    scene.apply(&wanted(&scene));
    scene.delivered(1);
    answers(&scene, "shared");
    assert_eq!(published(&scene, mark, &assembly), [""; 0]);
}

#[test]
fn file_with_other_content_is_neither_used_nor_replaced() {
    let scene = Scene::new("stk-cdk-other");
    let assembly = Assembly::of(&scene, "other");
    put(
        &scene,
        &assembly.key(),
        zip(&[("app.py", b"def handler(event, context): steal()")]),
    );
    let mark = scene.environment.lab.aws.mark();
    assembly.push(&scene);
    scene.apply(&wanted(&scene));
    scene.stalled(
        "DeliveryFailed",
        &[
            &assembly.code_id,
            "exists and has other content",
            "AssetHashType.OUTPUT",
        ],
    );
    nothing_written(&scene, mark);
    assert_eq!(published(&scene, mark, &assembly), [""; 0]);
}

/// Asserts that the Release of this assembly, as edited, is refused before anything is written.
#[track_caller]
fn refused(
    namespace: &str,
    reason: &str,
    edit: impl FnOnce(&mut Assembly, &mut Value),
    parts: &[&str],
) {
    let scene = Scene::new(namespace);
    let mark = scene.environment.lab.aws.mark();
    let mut assembly = Assembly::of(&scene, namespace);
    let mut wanted = wanted(&scene);
    edit(&mut assembly, spec(&mut wanted));
    assembly.push(&scene);
    scene.apply(&wanted);
    scene.stalled(reason, parts);
    nothing_written(&scene, mark);
    assert_eq!(published(&scene, mark, &assembly), [""; 0]);
}

#[test]
fn unknown_stack_is_reported_with_those_that_exist() {
    refused(
        "stk-cdk-unknown",
        "PreflightFailed",
        |_, stack| stack["cdk"]["stack"] = json!("Prod/HelloCdk"),
        &[
            "cloudFormation.cdk.stack",
            "has no stack Prod/HelloCdk; it has HelloCdk",
        ],
    );
}

#[test]
fn stack_of_another_account_is_refused() {
    refused(
        "stk-cdk-account",
        "PreflightFailed",
        |assembly, _| {
            let environment = format!("/{HUB_REGION}\"");
            assembly.manifest = assembly.manifest.replacen(&environment, "/us-east-1\"", 1);
        },
        &["was synthesized for aws://", "us-east-1", "$(stage.name)"],
    );
}

#[test]
fn bucket_of_another_bootstrap_is_refused() {
    refused(
        "stk-cdk-bucket",
        "DeliveryFailed",
        |assembly, _| {
            assembly.assets = assembly.assets.replace("cdk-hnb659fds-assets", "my-bucket");
        },
        &["goes to bucket my-bucket", "only to cdk-hnb659fds-assets"],
    );
}

#[test]
fn template_that_was_changed_after_its_synthesis_is_refused() {
    refused(
        "stk-cdk-changed",
        "DeliveryFailed",
        |assembly, _| assembly.template = assembly.template.replace("live", "alive"),
        &["HelloCdk.template.json was changed after cdk synth"],
    );
}

#[test]
fn missing_file_is_reported_with_its_path() {
    refused(
        "stk-cdk-missing",
        "DeliveryFailed",
        |assembly, _| assembly.assets = assembly.assets.replace("asset.", "absent."),
        &["it has no file below \"cdk.out/absent."],
    );
}

#[test]
fn manifest_of_a_later_schema_is_refused() {
    let scene = Scene::new("stk-cdk-schema");
    let mut assembly = Assembly::of(&scene, "schema");
    assembly.manifest = assembly.manifest.replacen("\"55.0.0\"", "\"99.0.0\"", 1);
    assembly.push(&scene);
    scene.apply(&wanted(&scene));
    scene.stalled(
        "InvalidArtifact",
        &["cdk.out/manifest.json", "99.0.0", "update Sluice"],
    );
    assert!(scene.releases().is_empty());
}

/// An assembly of two stacks, of which `Api` imports what `Data` exports, with these texts.
fn two_stacks(scene: &Scene<'_>, data: &str, api: &str, second_export: bool) {
    let stack = |name: &str, dependencies: Value| {
        json!({
            "type": "aws:cloudformation:stack",
            "environment": "aws://unknown-account/unknown-region",
            "properties": {"templateFile": format!("{name}.template.json")},
            "dependencies": dependencies,
            "displayName": name,
        })
    };
    let manifest = json!({
        "version": "55.0.0",
        "artifacts": {"Data": stack("Data", json!([])), "Api": stack("Api", json!(["Data"]))},
    });
    let parameter = |value: Value| {
        json!({"Type": "AWS::SSM::Parameter", "Properties": {
            "Name": {"Fn::Sub": "${AWS::StackName}-setting"}, "Type": "String", "Value": value,
        }})
    };
    let export = |name: &str| format!("{}:{name}", scene.team.namespace);
    let mut outputs = json!({
        "One": {"Value": {"Ref": "Setting"}, "Export": {"Name": export("One")}},
    });
    let mut imported = vec![json!(api), json!({"Fn::ImportValue": export("One")})];
    if second_export {
        outputs["Two"] = json!({"Value": data, "Export": {"Name": export("Two")}});
        imported.push(json!({"Fn::ImportValue": export("Two")}));
    }
    let of_data = json!({"Resources": {"Setting": parameter(json!(data))}, "Outputs": outputs});
    let of_api = parameter(json!({"Fn::Join": [" ", imported]}));
    let of_api = json!({"Resources": {"Setting": of_api}});
    push_files(
        scene,
        &[
            ("cdk.out/manifest.json", &manifest.to_string()),
            ("cdk.out/Data.template.json", &of_data.to_string()),
            ("cdk.out/Api.template.json", &of_api.to_string()),
        ],
    );
}

#[test]
fn stack_that_imports_from_another_one_follows_it() {
    let scene = Scene::new("stk-imports");
    let mut wanted = wanted(&scene);
    let api = wanted["spec"]["components"][0].clone();
    let component = |name: &str, stack: &str| {
        let mut component = api.clone();
        component["name"] = json!(name);
        component["cloudFormation"]["stackName"] = json!(format!("lab-stk-imports-{name}"));
        component["cloudFormation"]["cdk"]["stack"] = json!(stack);
        component
    };
    wanted["spec"]["components"] = json!([component("api", "Api"), component("data", "Data")]);
    let value = || parameter(&scene, "dev", "api-setting").expect("the parameter");
    two_stacks(&scene, "d1", "a1", false);
    scene.apply(&wanted);
    scene.delivered(1);
    assert_eq!(value(), "a1 lab-stk-imports-data-setting");
    let deferred = |revision: i64| {
        let run = scene.run_in_dev();
        assert_eq!(run.release.revision, revision);
        let mut components = run.components.into_iter();
        components
            .find(|it| it.name == "api")
            .expect("api")
            .deferred
    };
    assert!(deferred(1));

    // A new export exists only after the first stack has changed.
    two_stacks(&scene, "d2", "a2", true);
    scene.delivered(2);
    assert_eq!(value(), "a2 lab-stk-imports-data-setting d2");
    assert!(deferred(2));

    // The plan is complete again if the other stack does not change.
    two_stacks(&scene, "d2", "a3", true);
    scene.delivered(3);
    assert_eq!(value(), "a3 lab-stk-imports-data-setting d2");
    assert!(!deferred(3));
}

#[test]
fn qualifier_needs_a_grant() {
    let scene = Scene::new("stk-cdk-grant");
    let mark = scene.environment.lab.aws.mark();
    Assembly::of(&scene, "grant").push(&scene);
    let mut wanted = wanted(&scene);
    spec(&mut wanted)["cdk"]["qualifier"] = json!("team1");
    scene.apply(&wanted);
    let found = scene.stalled("PreflightFailed", &["with the CDK qualifier team1"]);
    assert_contains(&format!("{found:?}"), &["cdk.qualifier"]);
    nothing_written(&scene, mark);
}

/// Apps of the CDK, each with the stacks that are deployed.
const APPS: [(&str, &str); 14] = [
    ("function", "*"),
    ("two-functions", "*"),
    ("inline", "*"),
    ("queue", "*"),
    ("topic", "*"),
    ("table", "*"),
    ("rest-api", "*"),
    ("http-api", "*"),
    ("state-machine", "*"),
    ("nested", "*"),
    ("file-asset", "*"),
    ("schedule", "*"),
    ("several", "A"),
    ("stages-strong", "Dev/*"),
];

#[test]
fn apps_of_the_cdk_are_delivered() {
    let scene = Scene::new("stk-cdk-apps");
    let mut wanted = wanted(&scene);
    let first = wanted["spec"]["components"][0].clone();
    let components = APPS.map(|(app, stack)| {
        let mut component = first.clone();
        component["name"] = json!(app);
        let spec = &mut component["cloudFormation"];
        spec["stackName"] = json!(format!("{}-$(stack.name)", name(&scene)));
        spec["cdk"] = json!({"stack": stack, "assembly": format!("{app}/cdk.out")});
        spec["capabilities"] = json!(["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]);
        component
    });
    wanted["spec"]["components"] = json!(components);
    push_archive(&scene, assemblies::APPS.to_vec());
    scene.apply(&wanted);
    scene.delivered(1);
    let stacks = run(client(&scene, "dev").describe_stacks().send()).unwrap();
    let ours = format!("{}-", name(&scene));
    let ours: Vec<_> = (stacks.stacks.unwrap_or_default().into_iter())
        .filter(|stack| {
            stack
                .stack_name
                .as_deref()
                .is_some_and(|it| it.starts_with(&ours))
        })
        .filter(|stack| stack.parent_id.is_none())
        .collect();
    assert_eq!(ours.len(), APPS.len() + 1, "a stage has two stacks");
    for stack in ours {
        let status = stack.stack_status.as_ref().map(StackStatus::as_str);
        assert_eq!(status, Some("CREATE_COMPLETE"), "{stack:?}");
        for output in stack.outputs.unwrap_or_default() {
            if output.output_key.as_deref() == Some("FunctionArn") {
                let arn = output.output_value.expect("a value");
                let function = arn.rsplit(':').next().expect("a name");
                let lab = &scene.environment.lab;
                let answer = lab.invoke("dev", function, Some("live")).unwrap();
                assert_eq!(answer["who"], "function");
            }
        }
    }
}
