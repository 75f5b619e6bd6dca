//! A team with a stack: its manifests and pipelines, and reads of CloudFormation past Sluice.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::{
    Client,
    error::ProvideErrorMetadata as _,
    types::{ChangeSetSummary, Parameter, Stack, TemplateStage},
};
use serde_json::{Value, json};
use sluice::api::v1alpha1::annotation;
use sluice_lab::{
    aws::Calls,
    gitlab::{JobEnd, JobSpec, PipelineId, zip},
    lab::{HUB_REGION, archive, wait_for},
};

use crate::e2e::{LIMIT, check_kinds::Page, run, scene::Scene};

/// A queue and a parameter. A delivery must keep its comments, its tags such as `!Ref`, and the number with a
/// leading zero.
pub const TEMPLATE: &str = r#"# The team's queue; the comments stay too.
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Account: {Type: String, Default: 012345678901}   # no number
  Delay:
    Type: Number
    Default: 5
  Text: {Type: String, Default: hello}
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      DelaySeconds: !Ref Delay
  Setting:
    Type: AWS::SSM::Parameter
    Properties:
      Name: !Sub "${AWS::StackName}-setting"
      Type: String
      Value: !Ref Text
Outputs:
  Url: {Value: !Ref Queue}
"#;

/// A resource that fails on purpose, for the end of a template's resources.
const BROKEN: &str = "
  Broken:
    Type: Custom::LabFailure
    DependsOn: [Queue, Setting]
    Properties: {FailOn: PHASE, Reason: the quota is exhausted}
Outputs:";

/// The template with a resource that fails in that phase.
pub fn breaking(phase: &str) -> String {
    TEMPLATE.replace("\nOutputs:", &BROKEN.replace("PHASE", phase))
}

/// The name of the team's stack. The lab's service role covers only names that begin with `lab-`.
pub fn name(scene: &Scene<'_>) -> String {
    format!("lab-{}", scene.team.namespace)
}

/// The component `infra`: the stack of the template in the archive of the job `infra`.
pub fn component(scene: &Scene<'_>) -> Value {
    json!({"name": "infra", "cloudFormation": {
        "stackName": name(scene),
        "artifact": "infra",
        "template": "infra/template.yaml",
        "role": "cfn-exec",
    }})
}

/// The artifact `infra`: the whole archive of the job `infra`.
fn artifact() -> Value {
    json!({"name": "infra", "job": {"name": "infra"}})
}

/// A Deployment of the stack alone, with one stage per account in this order.
pub fn deployment(scene: &Scene<'_>, accounts: &[&str]) -> Value {
    let mut wanted = scene.deployment(accounts);
    wanted["spec"]["artifacts"] = json!([artifact()]);
    wanted["spec"]["components"] = json!([component(scene)]);
    wanted
}

/// A Deployment of the team's function and the stack to dev.
pub fn both(scene: &Scene<'_>) -> Value {
    let mut wanted = scene.deployment(&["dev"]);
    let spec = &mut wanted["spec"];
    spec["artifacts"].as_array_mut().unwrap().push(artifact());
    let components = spec["components"].as_array_mut().unwrap();
    components.push(component(scene));
    wanted
}

/// The spec of the stack in a Deployment of it alone.
pub fn spec(wanted: &mut Value) -> &mut Value {
    &mut wanted["spec"]["components"][0]["cloudFormation"]
}

/// A pipeline whose job `infra` has that template.
pub fn push(scene: &Scene<'_>, template: &str) -> PipelineId {
    push_files(scene, &[("infra/template.yaml", template)])
}

/// A pipeline whose job `infra` has these files of text.
pub fn push_files(scene: &Scene<'_>, files: &[(&str, &str)]) -> PipelineId {
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, text)| (*path, text.as_bytes()))
        .collect();
    push_bytes(scene, &files)
}

/// A pipeline whose job `infra` has these files.
pub fn push_bytes(scene: &Scene<'_>, files: &[(&str, &[u8])]) -> PipelineId {
    push_archive(scene, zip(files))
}

/// A pipeline whose job `infra` has this archive.
pub fn push_archive(scene: &Scene<'_>, archive: Vec<u8>) -> PipelineId {
    let job = JobSpec::new("infra", "package").ends(JobEnd::uploads(archive));
    run_pipeline(scene, vec![job])
}

/// A pipeline with that package of the team's function and that template.
pub fn push_both(scene: &Scene<'_>, package: &[u8], template: &str) -> PipelineId {
    let files = [("infra/template.yaml", template.as_bytes())];
    let jobs = vec![
        JobSpec::new("package", "package").ends(JobEnd::uploads(archive(package))),
        JobSpec::new("infra", "package").ends(JobEnd::uploads(zip(&files))),
    ];
    run_pipeline(scene, jobs)
}

fn run_pipeline(scene: &Scene<'_>, jobs: Vec<JobSpec>) -> PipelineId {
    let gitlab = &scene.environment.lab.gitlab;
    gitlab.push(scene.team.project, "main", "Change the stack");
    gitlab.run_pipeline(scene.team.project, "main", jobs)
}

/// A Deployment of the stack to dev with a check that the page answers with 200.
pub fn checked(scene: &Scene<'_>, page: &Page) -> Value {
    let mut wanted = deployment(scene, &["dev"]);
    wanted["spec"]["stages"][0]["checks"] =
        json!([{"name": "page", "http": {"url": page.url, "expectedStatus": [200]}}]);
    wanted
}

/// A team with [`TEMPLATE`] delivered to dev.
pub fn running(namespace: &str) -> (Scene<'static>, Value) {
    let scene = Scene::new(namespace);
    push(&scene, TEMPLATE);
    let wanted = deployment(&scene, &["dev"]);
    scene.apply(&wanted);
    scene.delivered(1);
    (scene, wanted)
}

/// A client of CloudFormation with the credentials of the account itself, which Sluice does not see.
pub fn client(scene: &Scene<'_>, account: &str) -> Client {
    let lab = &scene.environment.lab;
    let id = lab.account_id(account).unwrap();
    Client::new(&lab.aws.sdk_config(id, HUB_REGION))
}

/// The team's stack; `None` if it does not exist.
pub fn described(scene: &Scene<'_>, account: &str) -> Option<Stack> {
    let describe = client(scene, account).describe_stacks();
    match run(describe.stack_name(name(scene)).send()) {
        Ok(found) => found.stacks.unwrap_or_default().pop(),
        Err(error) => {
            let message = error.message().unwrap_or_default();
            assert!(message.contains("does not exist"), "{error:?}");
            None
        }
    }
}

/// The state of the team's stack, which must exist.
pub fn status(scene: &Scene<'_>, account: &str) -> String {
    let stack = described(scene, account).expect("the stack");
    stack.stack_status.expect("a state").as_str().to_owned()
}

/// Waits until the team's stack has that state.
#[track_caller]
pub fn wait_status(scene: &Scene<'_>, account: &str, wanted: &str) {
    let found = wait_for(&format!("the stack is {wanted}"), LIMIT, || {
        let status = status(scene, account);
        if status == wanted {
            Ok(())
        } else {
            Err(status)
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// Waits until the team's stack does not exist.
#[track_caller]
pub fn wait_gone(scene: &Scene<'_>, account: &str) {
    let found = wait_for("the stack is gone", LIMIT, || {
        described(scene, account).map_or(Ok(()), |stack| Err(format!("{:?}", stack.stack_status)))
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// The text of the stack's template, as CloudFormation got it.
pub fn template(scene: &Scene<'_>, account: &str) -> String {
    let get = client(scene, account).get_template();
    let get = get.stack_name(name(scene));
    let found = run(get.template_stage(TemplateStage::Original).send()).unwrap();
    found.template_body.expect("a template")
}

/// The parameters of the stack, by name.
pub fn parameters(scene: &Scene<'_>, account: &str) -> BTreeMap<String, String> {
    let found = described(scene, account).expect("the stack").parameters;
    let pair = |it: Parameter| Some((it.parameter_key?, it.parameter_value?));
    found
        .unwrap_or_default()
        .into_iter()
        .filter_map(pair)
        .collect()
}

/// The tags of the stack, by key.
pub fn tags(scene: &Scene<'_>, account: &str) -> BTreeMap<String, String> {
    let found = described(scene, account).expect("the stack").tags;
    let pair = |it: aws_sdk_cloudformation::types::Tag| Some((it.key?, it.value?));
    found
        .unwrap_or_default()
        .into_iter()
        .filter_map(pair)
        .collect()
}

/// The outputs of the stack, by key.
pub fn outputs(scene: &Scene<'_>, account: &str) -> BTreeMap<String, String> {
    let found = described(scene, account).expect("the stack").outputs;
    let pair = |it: aws_sdk_cloudformation::types::Output| Some((it.output_key?, it.output_value?));
    found
        .unwrap_or_default()
        .into_iter()
        .filter_map(pair)
        .collect()
}

/// Everything of a stack that a restore brings back.
#[derive(Debug, PartialEq)]
pub struct State {
    template: String,
    parameters: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    capabilities: Vec<String>,
    role: Option<String>,
    delay: Option<String>,
    setting: Option<String>,
}

/// The state of the team's stack in dev and of its two resources.
pub fn state(scene: &Scene<'_>) -> State {
    let stack = described(scene, "dev").expect("the stack");
    let capabilities = stack.capabilities.unwrap_or_default();
    State {
        template: template(scene, "dev"),
        parameters: parameters(scene, "dev"),
        tags: tags(scene, "dev"),
        capabilities: capabilities
            .iter()
            .map(|it| it.as_str().to_owned())
            .collect(),
        role: stack.role_arn,
        delay: super::emulator::queue_delay(scene, "dev"),
        setting: super::emulator::setting(scene, "dev"),
    }
}

/// The change sets that CloudFormation lists for the stack.
pub fn change_sets(scene: &Scene<'_>, account: &str) -> Vec<ChangeSetSummary> {
    let list = client(scene, account).list_change_sets();
    match run(list.stack_name(name(scene)).send()) {
        Ok(found) => found.summaries.unwrap_or_default(),
        Err(error) => {
            let message = error.message().unwrap_or_default();
            assert!(message.contains("does not exist"), "{error:?}");
            Vec::new()
        }
    }
}

/// Waits until CloudFormation lists no change set of the stack.
#[track_caller]
pub fn wait_no_change_sets(scene: &Scene<'_>, account: &str) {
    let found = wait_for("no change set is left", LIMIT, || {
        let left = change_sets(scene, account);
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// Sluice's calls about the team's stack since that mark.
pub fn calls(scene: &Scene<'_>, mark: usize) -> Calls {
    let calls = scene.environment.lab.aws.calls_since(mark);
    let name = name(scene);
    let calls = calls.of_service("cloudformation");
    calls.only(|call| call.resource == name)
}

/// Asserts that Sluice has written nothing to CloudFormation about the team's stack since that mark.
#[track_caller]
pub fn nothing_written(scene: &Scene<'_>, mark: usize) {
    let writes = calls(scene, mark).writes();
    assert_eq!(writes.names(), Vec::<String>::new());
}

/// How often Sluice has called that operation about the team's stack since that mark.
pub fn count(scene: &Scene<'_>, mark: usize, operation: &str) -> usize {
    let calls = calls(scene, mark);
    calls.named("cloudformation", operation).count()
}

/// How many change sets Sluice has executed since that mark.
pub fn executed(scene: &Scene<'_>, mark: usize) -> usize {
    count(scene, mark, "ExecuteChangeSet")
}

/// Requests a drift check of dev, and waits for its result.
#[track_caller]
pub fn check_drift(scene: &Scene<'_>, token: &str) {
    scene.annotate(annotation::RECONCILE, token);
    let found = wait_for("the drift check is done", LIMIT, || {
        let drift = scene.target("dev").status.unwrap_or_default().drift;
        let handled = drift.and_then(|drift| drift.handled_check);
        if handled.as_deref() == Some(token) {
            Ok(())
        } else {
            Err(format!("{handled:?}"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// Changes the stack in dev as an external tool: the parameter `Text`, and the template if there is one.
#[track_caller]
pub fn change_externally(scene: &Scene<'_>, account: &str, text: &str, template: Option<&str>) {
    let parameter = Parameter::builder()
        .parameter_key("Text")
        .parameter_value(text)
        .build();
    let update = client(scene, account)
        .update_stack()
        .stack_name(name(scene))
        .parameters(parameter)
        .set_template_body(template.map(str::to_owned))
        .set_use_previous_template(template.is_none().then_some(true));
    run(update.send()).unwrap();
    wait_status(scene, account, "UPDATE_COMPLETE");
}
