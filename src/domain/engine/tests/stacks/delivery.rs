//! Deliveries: a stack is created, updated, left unchanged, or fails.

use super::*;

#[test]
fn stack_is_created_and_updated_by_one_change_set_each() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow\nTopic: a");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    assert_eq!(deployed(&aws).stack.status, "CREATE_COMPLETE");
    let second = release(&mut aws, 2, "Queue: fast\nTopic: a");
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: fast\nTopic: a");
    assert_eq!(aws.stacks.executed.len(), 2);
}

#[test]
fn unchanged_stack_is_not_touched() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    aws.log.clear();
    let second = release(&mut aws, 2, "Queue: slow");
    assert_eq!(aws.deliver_as(second), Step::Succeeded);
    assert!(!aws.log.contains("ChangeSet"), "{}", aws.log);
}

#[test]
fn template_that_changes_no_resource_is_not_executed() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    for revision in [2, 3] {
        let same = release(&mut aws, revision, "# a comment\nQueue: slow");
        let plan = planned(&mut aws, &same);
        assert_eq!(plan.changes, Vec::new());
        assert_eq!(aws.deliver_as(same), Step::Succeeded, "{}", aws.log);
    }
    assert_eq!(aws.stacks.executed.len(), 1);
    assert_eq!(text(&aws), "Queue: slow");
    assert_eq!(aws.log.matches("CreateChangeSet").count(), 2, "{}", aws.log);
}

#[test]
fn failed_resource_is_named_with_its_own_reason() {
    let mut aws = FakeAws::new();
    aws.stacks
        .failing
        .insert("Queue".into(), "the quota is exhausted".into());
    let first = release(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::RolledBack, "{}", aws.log);
    assert!(
        message(&aws).contains("Queue (AWS::SQS::Queue) is CREATE_FAILED: the quota is exhausted"),
        "{}",
        message(&aws)
    );
    assert!(!aws.stacks.stacks.contains_key(NAME), "{}", aws.log);

    aws.stacks.failing.clear();
    let second = release(&mut aws, 2, "Queue: slow");
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    aws.stacks.failing.insert("Queue".into(), "no".into());
    let third = release(&mut aws, 3, "Queue: fast");
    assert_eq!(aws.deliver_as(third), Step::RolledBack, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: slow");
    // AWS has restored the stack by itself.
    assert_eq!(deployed(&aws).stack.status, "UPDATE_ROLLBACK_COMPLETE");
}

#[test]
fn failed_release_can_be_delivered_again() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    aws.stacks.failing.insert("Queue".into(), "no".into());
    let second = release(&mut aws, 2, "Queue: fast");
    assert_eq!(aws.deliver_as(second.clone()), Step::RolledBack);
    aws.stacks.failing.clear();
    aws.known = Known::default();
    let again = run(2, 2, Goal::Deliver);
    assert_eq!(
        aws.finish(&Task::Deliver(second), &again),
        Step::Succeeded,
        "{}",
        aws.log
    );
    assert_eq!(text(&aws), "Queue: fast");
}
