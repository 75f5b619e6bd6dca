//! SAM applications and other templates with local paths: packaged, delivered and invoked.
//!
//! `sam/built.yaml` is what `sam build` of the SAM CLI 1.170.0 left of an application in Python.

use serde_json::{Value, json};
use sluice_lab::{aws::Calls, gitlab::zip};

use super::fixture::{
    checked, client, deployment, described, name, nothing_written, outputs, push_archive,
    push_bytes, push_files, spec, template, wait_no_change_sets,
};
use crate::{
    e2e::{
        check_kinds::Page,
        run,
        scene::{Scene, assert_contains},
    },
    packaging,
};

const BUILT: &str = include_str!("sam/built.yaml");
const TEMPLATE: &str = ".aws-sam/build/template.yaml";
const CODE: &str = ".aws-sam/build/HelloFunction/app.py";

/// The code of a function that answers with this version.
fn code(version: &str) -> String {
    format!("def handler(event, context):\n    return {{'version': '{version}'}}\n")
}

/// A Deployment of the template at this path to dev, with the capabilities that SAM needs.
fn application(scene: &Scene<'_>, path: &str) -> Value {
    let mut wanted = deployment(scene, &["dev"]);
    let stack = spec(&mut wanted);
    stack["template"] = json!(path);
    stack["capabilities"] = json!(["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]);
    wanted
}

/// A pipeline that has built the application with that code, among other files.
fn build(scene: &Scene<'_>, version: &str, readme: &str) {
    let code = code(version);
    let files = [
        (TEMPLATE, BUILT),
        (CODE, code.as_str()),
        ("README.md", readme),
    ];
    push_files(scene, &files);
}

/// Asserts that the function with this output answers with that version.
#[track_caller]
fn answers(scene: &Scene<'_>, output: &str, qualifier: Option<&str>, version: &str) {
    let arn = outputs(scene, "dev").remove(output).expect("the output");
    let function = arn.rsplit(':').next().expect("a name");
    scene.answers("dev", function, qualifier, version);
}

/// The uploads since that mark of what the team's template refers to. All tests share the bucket.
fn uploads(scene: &Scene<'_>, mark: usize) -> Calls {
    let template = template(scene, "dev");
    let calls = scene.environment.lab.aws.calls_since(mark);
    let calls = calls.of_service("s3").writes();
    calls.only(|call| {
        let name = call.resource.rsplit('/').next().unwrap_or_default();
        call.resource.contains("packages/assets/") && template.contains(name)
    })
}

#[test]
fn application_of_sam_build_is_packaged_and_updated() {
    let scene = Scene::new("stk-sam");
    build(&scene, "v1", "one");
    scene.apply(&application(&scene, TEMPLATE));
    scene.delivered(1);
    answers(&scene, "HelloArn", Some("live"), "v1");
    let first = template(&scene, "dev");
    let uri = first
        .lines()
        .find(|line| line.contains("CodeUri"))
        .expect("a CodeUri");
    assert_contains(
        uri,
        &[
            "CodeUri: \"s3://sluice-artifacts-",
            "/packages/assets/",
            ".zip\"",
        ],
    );
    assert_eq!(
        first.replace(uri, "      CodeUri: HelloFunction"),
        BUILT,
        "the rest of the template is as sam build wrote it"
    );

    build(&scene, "v2", "one");
    scene.delivered(2);
    answers(&scene, "HelloArn", Some("live"), "v2");
    wait_no_change_sets(&scene, "dev");

    let mark = scene.environment.lab.aws.mark();
    build(&scene, "v2", "another");
    scene.delivered(3);
    nothing_written(&scene, mark);
    assert_eq!(uploads(&scene, mark).names(), Vec::<String>::new());
}

#[test]
fn failed_check_brings_the_former_code_back() {
    let scene = Scene::new("stk-sam-check");
    let page = Page::open(200);
    let mut wanted = checked(&scene, &page);
    let application = application(&scene, TEMPLATE);
    wanted["spec"]["components"] = application["spec"]["components"].clone();
    build(&scene, "v1", "one");
    scene.apply(&wanted);
    scene.delivered(1);
    let before = template(&scene, "dev");

    page.answers(503);
    build(&scene, "v2", "one");
    scene.stalled(
        "RolledBack",
        &["r2 was rolled back, r1 serves", "answered 503"],
    );
    assert_eq!(template(&scene, "dev"), before);
    answers(&scene, "HelloArn", Some("live"), "v1");
}

/// A template with a function, a layer and a nested template, none of them of SAM.
const PARENT: &str = r#"# Everything here is packaged; Zürich stays.
Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.13
      Handler: app.handler
      Role: !Sub "arn:aws:iam::${AWS::AccountId}:role/lambda-exec"
      FunctionName: !Sub "${AWS::StackName}-parent"
      Code: ./functions/parent   # a folder
  Nested:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: nested/child.json}
Outputs:
  Parent: {Value: !GetAtt Function.Arn}
  Child: {Value: !GetAtt Nested.Outputs.Arn}
"#;

const CHILD: &str = r#"{"Resources": {"Function": {"Type": "AWS::Lambda::Function", "Properties": {
  "Runtime": "python3.13", "Handler": "app.handler",
  "Role": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:role/lambda-exec"},
  "FunctionName": {"Fn::Sub": "${AWS::StackName}-f"},
  "Code": "../functions/child.zip"}}},
  "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Function", "Arn"]}}}}"#;

#[test]
fn nested_templates_and_archives_are_packaged_too() {
    let scene = Scene::new("stk-local");
    let push = |parent: &str, child: &str| {
        let zipped = zip(&[("app.py", code(child).as_bytes())]);
        let parent = code(parent);
        let files: [(&str, &[u8]); 4] = [
            ("cfn/template.yaml", PARENT.as_bytes()),
            ("cfn/nested/child.json", CHILD.as_bytes()),
            ("cfn/functions/parent/app.py", parent.as_bytes()),
            ("cfn/functions/child.zip", &zipped),
        ];
        push_bytes(&scene, &files);
    };
    push("v1", "v1");
    scene.apply(&application(&scene, "cfn/template.yaml"));
    scene.delivered(1);
    answers(&scene, "Parent", None, "v1");
    answers(&scene, "Child", None, "v1");

    push("v1", "v2");
    scene.delivered(2);
    answers(&scene, "Parent", None, "v1");
    answers(&scene, "Child", None, "v2");
}

/// The applications of the SAM CLI, each with those of its functions that need nothing but Python. Two are missing: the
/// emulator neither transforms nested templates nor summarizes `Fn::ForEach`.
const APPLICATIONS: [(&str, &[&str]); 11] = [
    ("api", &["Hello"]),
    ("custom", &[]),
    ("http", &["Fn"]),
    ("include", &["Fn"]),
    ("layer", &["Fn"]),
    ("misc", &["Fn", "Zip", "Skip"]),
    ("plain", &["Fn"]),
    ("queue", &[]),
    ("shared", &["Read", "Write"]),
    ("steps", &["Step"]),
    ("table", &["Fn"]),
];

#[test]
fn applications_of_the_sam_cli_are_delivered_and_answer() {
    let scene = Scene::new("stk-apps");
    let mut wanted = application(&scene, TEMPLATE);
    let first = wanted["spec"]["components"][0].clone();
    let components = APPLICATIONS.map(|(app, _)| {
        let mut component = first.clone();
        component["name"] = json!(app);
        let stack = &mut component["cloudFormation"];
        stack["stackName"] = json!(format!("{}-{app}", name(&scene)));
        stack["template"] = json!(format!("{app}/{TEMPLATE}"));
        component
    });
    wanted["spec"]["components"] = json!(components);
    push_archive(&scene, packaging::APPLICATIONS.to_vec());
    scene.apply(&wanted);
    scene.delivered(1);
    for (app, functions) in APPLICATIONS {
        let stack = format!("{}-{app}", name(&scene));
        for function in functions {
            let describe = client(&scene, "dev").describe_stack_resource();
            let describe = describe.stack_name(&stack).logical_resource_id(*function);
            let found = run(describe.send()).unwrap().stack_resource_detail;
            let function = found.unwrap().physical_resource_id.unwrap();
            scene.answers("dev", &function, None, "v1");
        }
    }
}

/// Asserts that the Release of these files fails with that message, before anything is written to CloudFormation.
#[track_caller]
fn refused(namespace: &str, files: &[(&str, &str)], parts: &[&str]) {
    let scene = Scene::new(namespace);
    let mark = scene.environment.lab.aws.mark();
    push_files(&scene, files);
    scene.apply(&application(&scene, TEMPLATE));
    scene.stalled("DeliveryFailed", parts);
    nothing_written(&scene, mark);
    assert!(described(&scene, "dev").is_none());
}

#[test]
fn missing_folder_is_named_with_similar_ones() {
    let code = code("v1");
    refused(
        "stk-sam-missing",
        &[
            (TEMPLATE, BUILT),
            (".aws-sam/build/HeloFunction/app.py", &code),
        ],
        &[
            "Resources.HelloFunction.Properties.CodeUri (line 19) refers to \"HelloFunction\"",
            "it has no file below \".aws-sam/build/HelloFunction\"",
            "HeloFunction",
        ],
    );
}

#[test]
fn path_out_of_the_artifact_is_refused() {
    let template = BUILT.replace("CodeUri: HelloFunction", "CodeUri: ../../../etc");
    refused(
        "stk-sam-outside",
        &[(TEMPLATE, &template)],
        &["Resources.HelloFunction.Properties.CodeUri (line 19) refers to \"../../../etc\""],
    );
}

#[test]
fn local_path_in_a_template_without_its_folder_is_refused() {
    let scene = Scene::new("stk-sam-alone");
    let mut wanted = application(&scene, TEMPLATE);
    wanted["spec"]["artifacts"][0]["job"]["path"] = json!(TEMPLATE);
    spec(&mut wanted)
        .as_object_mut()
        .expect("a stack")
        .remove("template");
    let mark = scene.environment.lab.aws.mark();
    push_files(&scene, &[(TEMPLATE, BUILT)]);
    scene.apply(&wanted);
    scene.stalled(
        "DeliveryFailed",
        &[
            "the artifact has only the template",
            "set template to the path of the template in it",
        ],
    );
    nothing_written(&scene, mark);
}
