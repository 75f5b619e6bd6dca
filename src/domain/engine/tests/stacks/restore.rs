//! Restores after a failed check.

use super::*;
use crate::domain::workload::cloud_formation::ParameterValue;

#[test]
fn failed_check_restores_template_parameters_and_tags() {
    let mut aws = FakeAws::new();
    let with = |aws: &mut FakeAws, text: &str, speed: &str| {
        let mut stack = stack(aws, text);
        let value = ParameterValue::Value(speed.into());
        stack.settings.parameters.insert("Speed".into(), value);
        stack.settings.tags.insert("speed".into(), speed.into());
        release_of(if speed == "slow" { 1 } else { 2 }, stack)
    };
    let first = with(&mut aws, "Queue: $Speed", "slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    let before = deployed(&aws).clone();
    let second = with(&mut aws, "# new\nQueue: $Speed\nTopic: a", "fast");
    let mut allowed = failing_later(&mut aws, second);
    if let Workload::CloudFormation(stack) = &mut allowed.components[0].workload {
        stack.allow.deletion = vec!["Topic".into()];
    }
    assert_eq!(aws.deliver_as(allowed), Step::RolledBack, "{}", aws.log);
    let now = deployed(&aws);
    assert_eq!(
        (&now.text, &now.resources),
        (&before.text, &before.resources)
    );
    assert_eq!(now.stack.parameters, before.stack.parameters);
    assert_eq!(now.stack.tags, before.stack.tags);
}

#[test]
fn restore_deletes_what_its_run_has_created_and_nothing_else() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    let second = release(&mut aws, 2, "Queue: slow\nTopic: a");
    let second = failing_later(&mut aws, second);
    assert_eq!(aws.deliver_as(second), Step::RolledBack, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: slow");

    let third = release(&mut aws, 3, "Queue: slow\nTopic: a");
    let third = failing_later(&mut aws, third);
    aws.known = Known::default();
    let run = run(3, 1, Goal::Deliver);
    let task = Task::Deliver(third);
    // Another tool adds a resource while the run is between its levels.
    let is_between = |run: &RunStatus| run.release.revision == 3 && run.level == 1;
    while !aws.status.run.as_ref().is_some_and(is_between) {
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
    }
    let other = aws.stacks.stacks.get_mut(NAME).expect("a stack");
    other.resources.insert("Store".into(), "external".into());
    assert_eq!(aws.finish(&task, &run), Step::RollbackFailed, "{}", aws.log);
    let message = message(&aws);
    assert!(
        message.contains("delete Store (AWS::SQS::Queue)"),
        "{message}"
    );
    assert!(!message.contains("Topic"), "{message}");
}

#[test]
fn new_stack_is_deleted_after_a_failed_check() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow");
    let first = failing_later(&mut aws, first);
    assert_eq!(aws.deliver_as(first), Step::RolledBack, "{}", aws.log);
    assert!(!aws.stacks.stacks.contains_key(NAME));
}
