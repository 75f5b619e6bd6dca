//! CloudFormation stacks from end to end: created, updated and left alone.

mod adoption;
mod allow;
mod approval;
mod cdk;
mod drift;
mod emulator;
mod failures;
mod fixture;
mod iam;
mod obstacles;
mod removal;
mod repair;
mod sam;
mod settings;

use serde_json::json;
use sluice::api::v1alpha1::condition;
use sluice_lab::{aws::During, lab::package};

use self::{
    emulator::{hold, queue_delay, setting, wait_reached},
    fixture::{
        TEMPLATE, both, check_drift, client, deployment, described, executed, name,
        nothing_written, outputs, parameters, push, push_both, push_files, running, spec, status,
        tags, template, wait_no_change_sets,
    },
};
use super::{
    run,
    scene::{NAME, Scene, condition_in},
};

/// A function with its code in the template, and its name from the stack's.
const FUNCTION: &str = r#"Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: !Sub "${AWS::StackName}-function"
      Runtime: python3.13
      Handler: index.handler
      Role: !Sub "arn:aws:iam::${AWS::AccountId}:role/lambda-exec"
      Code:
        ZipFile: |
          def handler(event, context):
              return {"statusCode": 200, "version": "v1"}
"#;

#[test]
fn stack_of_an_archive_is_created_and_updated() {
    let scene = Scene::new("stk-archive");
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.apply(&deployment(&scene, &["dev"]));
    scene.delivered(1);
    assert_eq!(template(&scene, "dev"), TEMPLATE, "byte for byte");
    assert_eq!(status(&scene, "dev"), "CREATE_COMPLETE");
    let number = parameters(&scene, "dev").remove("Account");
    assert_eq!(number.as_deref(), Some("012345678901"));
    assert_eq!(queue_delay(&scene, "dev").as_deref(), Some("5"));
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
    assert_eq!(executed(&scene, mark), 1);
    let role = described(&scene, "dev").and_then(|stack| stack.role_arn);
    assert!(role.is_some_and(|role| role.ends_with(":role/cfn-exec")));

    let tags = tags(&scene, "dev");
    let tag = |key: &str| tags.get(key).map(String::as_str);
    assert_eq!(tag("sluice.dev/namespace"), Some("stk-archive"));
    assert_eq!(tag("sluice.dev/name"), Some(NAME));
    assert!(tag("sluice.dev/cluster").is_some(), "{tags:?}");

    let second = TEMPLATE.replace("Default: 5", "Default: 9 # slower");
    push(&scene, &second);
    scene.delivered(2);
    assert_eq!(template(&scene, "dev"), second);
    assert_eq!(status(&scene, "dev"), "UPDATE_COMPLETE");
    assert_eq!(queue_delay(&scene, "dev").as_deref(), Some("9"));
    assert_eq!(setting(&scene, "dev").as_deref(), Some("hello"));
    assert_eq!(
        executed(&scene, mark),
        2,
        "each change set is executed once"
    );
    wait_no_change_sets(&scene, "dev");
    assert_eq!(scene.run_in_dev().step, "Succeeded");
}

#[test]
fn template_that_is_an_artifact_by_itself_is_delivered_to_every_stage() {
    let scene = Scene::new("stk-file");
    let mut wanted = deployment(&scene, &["dev", "prod"]);
    wanted["spec"]["artifacts"][0]["job"]["path"] = json!("infra/template.yaml");
    spec(&mut wanted)
        .as_object_mut()
        .unwrap()
        .remove("template");
    push(&scene, FUNCTION);
    scene.apply(&wanted);
    scene.delivered(1);
    for account in ["dev", "prod"] {
        assert_eq!(template(&scene, account), FUNCTION);
        let function = format!("{}-function", name(&scene));
        scene.answers(account, &function, None, "v1");
    }

    push(&scene, &FUNCTION.replace("v1", "v2"));
    scene.delivered(2);
    for account in ["dev", "prod"] {
        let function = format!("{}-function", name(&scene));
        scene.answers(account, &function, None, "v2");
    }
}

#[test]
fn unchanged_template_writes_nothing_to_cloudformation() {
    let (scene, _) = running("stk-same");
    wait_no_change_sets(&scene, "dev");
    let mark = scene.environment.lab.aws.mark();
    push(&scene, TEMPLATE);
    scene.delivered(2);
    nothing_written(&scene, mark);
}

#[test]
fn other_files_of_the_archive_do_not_matter() {
    let (scene, _) = running("stk-readme");
    wait_no_change_sets(&scene, "dev");
    let mark = scene.environment.lab.aws.mark();
    let files = [("README.md", "new"), ("infra/template.yaml", TEMPLATE)];
    push_files(&scene, &files);
    scene.delivered(2);
    nothing_written(&scene, mark);
}

#[test]
fn release_of_another_component_writes_nothing_about_the_stack() {
    let scene = Scene::new("stk-beside");
    push_both(&scene, &package("v1"), TEMPLATE);
    scene.apply(&both(&scene));
    scene.delivered(1);
    wait_no_change_sets(&scene, "dev");
    let mark = scene.environment.lab.aws.mark();
    push_both(&scene, &package("v2"), TEMPLATE);
    scene.delivered(2);
    scene.serves("dev", "v2");
    nothing_written(&scene, mark);
}

#[test]
fn change_of_a_comment_executes_nothing_and_is_no_drift() {
    let (scene, _) = running("stk-comment");
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &TEMPLATE.replace("# no number", "# a text"));
    scene.delivered(2);
    assert_eq!(executed(&scene, mark), 0);
    assert_eq!(template(&scene, "dev"), TEMPLATE, "CloudFormation keeps it");
    wait_no_change_sets(&scene, "dev");
    check_drift(&scene, "after the comment");
    scene.condition(condition::DRIFTED, "False", "InSync");

    // The next Release with that comment needs no change set.
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &TEMPLATE.replace("# no number", "# a text"));
    scene.delivered(3);
    nothing_written(&scene, mark);
}

#[test]
fn change_of_outputs_alone_is_executed() {
    let (scene, _) = running("stk-outputs");
    let mark = scene.environment.lab.aws.mark();
    let second = format!("{TEMPLATE}  Greeting: {{Value: !Ref Text}}\n");
    push(&scene, &second);
    scene.delivered(2);
    assert_eq!(executed(&scene, mark), 1);
    assert_eq!(template(&scene, "dev"), second);
    let greeting = outputs(&scene, "dev").remove("Greeting");
    assert_eq!(greeting.as_deref(), Some("hello"));
}

#[test]
fn change_of_tags_alone_is_delivered() {
    let (scene, mut wanted) = running("stk-tags");
    spec(&mut wanted)["tags"] = json!({"team": "shop $(stage.name)"});
    scene.apply(&wanted);
    scene.delivered(2);
    let team = tags(&scene, "dev").remove("team");
    assert_eq!(team.as_deref(), Some("shop dev"));
    check_drift(&scene, "after the tags");
    scene.condition(condition::DRIFTED, "False", "InSync");

    // A tag that the spec no longer has goes; those of the owner stay.
    spec(&mut wanted).as_object_mut().unwrap().remove("tags");
    scene.apply(&wanted);
    scene.delivered(3);
    let tags = tags(&scene, "dev");
    assert!(!tags.contains_key("team"), "{tags:?}");
    assert!(tags.contains_key("sluice.dev/name"), "{tags:?}");
}

#[test]
fn external_operation_is_awaited() {
    let (scene, _) = running("stk-busy");
    let hold = hold(&scene, "Setting", During::Update);
    let update = client(&scene, "dev")
        .update_stack()
        .stack_name(name(&scene))
        .template_body(TEMPLATE.replace("hello", "theirs"));
    run(update.send()).unwrap();
    wait_reached(&scene, &hold);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &TEMPLATE.replace("hello", "ours"));
    scene.wait(NAME, "the Target waits for the other operation", |_| {
        let status = scene.target("dev").status?;
        let ready = condition_in(&status.conditions, condition::READY)?;
        let says = ready.message.contains("that Sluice did not begin");
        (ready.reason == "WaitingForAWS" && says).then_some(())
    });
    assert_eq!(executed(&scene, mark), 0);
    drop(hold);
    scene.delivered(2);
    assert_eq!(setting(&scene, "dev").as_deref(), Some("ours"));
}
