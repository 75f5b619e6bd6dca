//! Outputs of a stack, which functions and checks use.

use super::*;
use crate::{
    api::v1alpha1::PlannedChange,
    domain::{
        check::StageCheck,
        substitution::{OutputRef, Variables},
    },
};

/// A Release of the stack, and of a function whose environment has the stack's output `Queue`.
fn with_user(aws: &mut FakeAws, revision: i64, text: &str) -> Desired {
    let mut wanted = release(aws, revision, text);
    let mut variables = Variables::default();
    variables.add_open("infra");
    let queue = variables.template("$(components.infra.outputs.Queue)");
    let queue = queue.expect("a template");
    let mut function = want("api", "v1", 128);
    let text = (String::from("QUEUE"), queue.to_string());
    function.configuration.environment.extend([text]);
    function.deferred.insert("QUEUE".into(), queue);
    let mut user = desired(revision, vec![function]).components.remove(0);
    user.level = 1;
    wanted.components.push(user);
    wanted
}

fn queue_of_function(aws: &FakeAws) -> Option<&str> {
    let function = &aws.functions["checkout-api"].latest;
    function
        .configuration
        .environment
        .get("QUEUE")
        .map(String::as_str)
}

#[test]
fn function_gets_the_output_of_a_stack() {
    let mut aws = FakeAws::new();
    let first = with_user(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    assert_eq!(queue_of_function(&aws), Some("slow"));

    let second = with_user(&mut aws, 2, "Queue: fast");
    let plan = planned(&mut aws, &second);
    let symbolic = plan
        .changes
        .iter()
        .find(|it| it.field.as_deref() == Some("environment.QUEUE"));
    assert!(symbolic.is_some(), "{:?}", plan.changes);
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    assert_eq!(queue_of_function(&aws), Some("fast"));

    // Neither changes, nor does the plan.
    aws.log.clear();
    let third = with_user(&mut aws, 3, "Queue: fast");
    assert_eq!(aws.deliver_as(third.clone()), Step::Succeeded);
    assert!(
        !aws.log.contains("Update") && !aws.log.contains("ChangeSet"),
        "{}",
        aws.log
    );
    let run = aws.status.run.as_ref().expect("a run");
    assert_eq!(run.components[0].outputs["Queue"], "fast");
}

#[test]
fn missing_output_restores_the_stack() {
    let mut aws = FakeAws::new();
    let first = with_user(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    let mut second = with_user(&mut aws, 2, "Topic: a");
    let Workload::CloudFormation(stack) = &mut second.components[0].workload else {
        panic!("a stack");
    };
    stack.allow.deletion = vec!["Queue".into()];
    assert_eq!(aws.deliver_as(second), Step::RolledBack, "{}", aws.log);
    let message = message(&aws);
    let expected = "$(components.infra.outputs.Queue) is not known, although its component serves";
    assert!(message.contains(expected), "{message}");
    assert_eq!(text(&aws), "Queue: slow");
}

/// A Release of the stack with a check of the URL that is its output `Queue`.
fn with_page(aws: &mut FakeAws, revision: i64, text: &str) -> Desired {
    let mut wanted = release(aws, revision, text);
    let mut variables = Variables::default();
    variables.add_open("infra");
    let check = serde_json::json!({
        "name": "page", "http": {"url": "https://$(components.infra.outputs.Queue)/health"},
    });
    let check = serde_json::from_value(check).expect("a check");
    let check = StageCheck::new(&check, &variables).expect("valid");
    wanted.checks = vec![check.expect("a check of the stage")];
    wanted
}

#[test]
fn check_uses_the_output_of_a_stack_once_that_serves() {
    let mut aws = FakeAws::new();
    let first = with_page(&mut aws, 1, "Queue: slow.example.com");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    assert_eq!(aws.log.matches("Watch page").count(), 1, "{}", aws.log);
    let second = with_page(&mut aws, 2, "Queue: fast.example.com");
    aws.watched = Verdict::Failed("it answered 503".into());
    assert_eq!(aws.deliver_as(second), Step::RolledBack, "{}", aws.log);
    assert!(
        message(&aws).contains("it answered 503"),
        "{}",
        message(&aws)
    );
    assert_eq!(text(&aws), "Queue: slow.example.com");
}

#[test]
fn check_without_its_output_fails_the_run() {
    let mut aws = FakeAws::new();
    let first = with_page(&mut aws, 1, "Topic: a");
    assert_eq!(aws.deliver_as(first), Step::RolledBack, "{}", aws.log);
    let expected = "check page can't be made: $(components.infra.outputs.Queue) is not known";
    assert!(message(&aws).contains(expected), "{}", message(&aws));
    let second = with_page(&mut aws, 2, "Queue: a b");
    assert_eq!(aws.deliver_as(second), Step::RolledBack, "{}", aws.log);
    assert!(
        message(&aws).contains("check page can't be made: http.url"),
        "{}",
        message(&aws)
    );
}

/// A Release of the stack, and of a stack `importer` with this text, which imports what the first one exports.
fn with_importer(aws: &mut FakeAws, revision: i64, text: &str, of_importer: &str) -> Desired {
    let mut wanted = release(aws, revision, text);
    let exports = OutputRef {
        component: "infra".into(),
        output: "*".into(),
    };
    let importer = DesiredStack {
        component: "api".into(),
        stack_name: "importer".into(),
        imports: BTreeSet::from([exports]),
        ..stack(aws, of_importer)
    };
    wanted.components.push(component(importer, 1));
    wanted
}

#[test]
fn stack_that_imports_is_computed_once_the_other_one_serves() {
    let mut aws = FakeAws::new();
    let first = with_importer(&mut aws, 1, "Queue: slow", "Topic: a");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    let was_deferred = |aws: &FakeAws| {
        let run = aws.status.run.as_ref().expect("a run");
        run.components[1].deferred
    };
    assert!(was_deferred(&aws));
    assert_eq!(aws.stacks.stacks["importer"].text, "Topic: a");

    // The other one does not change: the plan is complete.
    let second = with_importer(&mut aws, 2, "Queue: slow", "Topic: b");
    let plan = planned(&mut aws, &second);
    let of_importer = |it: &&PlannedChange| it.component == "api";
    let changes: Vec<_> = plan.changes.iter().filter(of_importer).collect();
    assert!(!changes.is_empty(), "{plan:?}");
    assert!(
        changes
            .iter()
            .all(|it| it.field.as_deref() != Some("imports")),
        "{changes:?}"
    );
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    assert!(!was_deferred(&aws));

    // Both change: the plan says what it waits for.
    let third = with_importer(&mut aws, 3, "Queue: fast", "Topic: c");
    let plan = planned(&mut aws, &third);
    let changes: Vec<_> = plan.changes.iter().filter(of_importer).collect();
    let waits = "exports of component infra";
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].to.as_deref(), Some(waits));
    assert_eq!(aws.deliver_as(third), Step::Succeeded, "{}", aws.log);
    assert!(was_deferred(&aws));
    assert_eq!(text(&aws), "Queue: fast");
    assert_eq!(aws.stacks.stacks["importer"].text, "Topic: c");
}
