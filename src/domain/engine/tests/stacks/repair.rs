//! Stuck stacks: those from which a Release or a restore finds the way out, and those that need a person.

use super::*;
use crate::domain::{
    engine::tests::fake_stacks::resource, reason::Reason, substitution::Variables,
    workload::cloud_formation::ParameterValue,
};

/// Asserts that the Release can't be planned, and returns the reason.
#[track_caller]
fn refused(aws: &mut FakeAws, wanted: &Desired) -> String {
    match aws.plan(wanted) {
        Outcome::Stalled { reason, message } => {
            assert_eq!(reason, Reason::PreflightFailed);
            message
        }
        other => panic!("{other:?}\n{}", aws.log),
    }
}

fn deployed_mut(aws: &mut FakeAws) -> &mut FakeStack {
    aws.stacks.stacks.get_mut(NAME).expect("a stack")
}

/// A stack of this Deployment in this state, without resources.
fn remnant<'a>(aws: &'a mut FakeAws, status: &str) -> &'a mut FakeStack {
    let mut found = FakeStack::in_state(status);
    found.stack.id = "arn:aws:cloudformation:eu-west-1:222222222222:stack/shop/0".into();
    found.stack.tags = owner().tags();
    aws.stacks.stacks.insert(NAME.into(), found);
    deployed_mut(aws)
}

/// A stack with `Queue: slow` whose update and rollback have failed, so that `Queue` is stuck for this reason.
fn stuck(reason: &str) -> FakeAws {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow\nTopic: a");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    aws.log.clear();
    let rollback = &mut aws.stacks.failures.rollback;
    rollback.insert("Queue".into(), reason.into());
    let found = deployed_mut(&mut aws);
    found.stack.status = "UPDATE_ROLLBACK_FAILED".into();
    found.stuck = ["Queue".to_owned()].into();
    aws
}

#[test]
fn stack_whose_creation_was_rolled_back_is_created_anew() {
    let mut aws = FakeAws::new();
    let found = remnant(&mut aws, "ROLLBACK_COMPLETE");
    found.former = vec![resource("Queue", "DELETE_COMPLETE")];
    let before = found.stack.id.clone();
    let first = release(&mut aws, 1, "Queue: slow");
    let plan = planned(&mut aws, &first);
    assert!(
        plan.summary.contains("will create stack"),
        "{}",
        plan.summary
    );
    assert_eq!(deployed(&aws).stack.status, "REVIEW_IN_PROGRESS");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    assert_eq!(deployed(&aws).stack.status, "CREATE_COMPLETE");
    assert_ne!(deployed(&aws).stack.id, before);
    assert_eq!(aws.log.matches("DeleteStack").count(), 1, "{}", aws.log);
    assert_eq!(aws.log.matches("CreateChangeSet").count(), 1, "{}", aws.log);
}

#[test]
fn failed_creation_that_its_restore_left_is_repaired_by_the_next_attempt() {
    let mut aws = FakeAws::new();
    aws.stacks.failing.insert("Queue".into(), "no".into());
    aws.stacks.failures.is_undeletable = true;
    let first = release(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first.clone()), Step::RollbackFailed);
    aws.stacks.failing.clear();
    aws.stacks.failures.is_undeletable = false;
    // As the restore found it: a person ended the failed deletion by another rollback.
    let found = deployed_mut(&mut aws);
    assert_eq!(found.stack.status, "DELETE_FAILED");
    found.stack.status = "ROLLBACK_COMPLETE".into();
    aws.known = Known::default();
    let again = run(1, 2, Goal::Deliver);
    let step = aws.finish(&Task::Deliver(first), &again);
    assert_eq!(step, Step::Succeeded, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: slow");
}

#[test]
fn remaining_resources_of_a_failed_creation_need_a_person() {
    let mut aws = FakeAws::new();
    aws.stacks.failing.insert("Queue".into(), "no".into());
    let found = remnant(&mut aws, "ROLLBACK_COMPLETE");
    let left = (1..=6).map(|n| resource(&format!("Table{n}"), "DELETE_SKIPPED"));
    found.former = left.collect();
    let first = release(&mut aws, 1, "Queue: slow");
    let message = refused(&mut aws, &first);
    for part in [
        "stack shop can't be deployed: it is ROLLBACK_COMPLETE",
        "Table5 (AWS::DynamoDB::Table, shop-Table5) and 1 more",
        "aws cloudformation delete-stack --stack-name shop",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("Table6"), "{message}");
    assert!(!aws.log.contains("DeleteStack"), "{}", aws.log);
    assert_eq!(aws.deliver_as(first), Step::Failed, "{}", aws.log);
    assert!(!aws.log.contains("DeleteStack"), "{}", aws.log);
}

#[test]
fn stuck_stack_of_another_owner_is_left_alone() {
    for status in ["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"] {
        let mut aws = FakeAws::new();
        remnant(&mut aws, status).stack.tags.clear();
        let first = release(&mut aws, 1, "Queue: slow");
        let message = refused(&mut aws, &first);
        assert!(message.contains("was not created by Sluice"), "{message}");
        assert_eq!(aws.log.matches("Stack").count(), 0, "{}", aws.log);
        assert_eq!(deployed(&aws).stack.status, status);
    }
}

#[test]
fn protected_stack_whose_creation_was_rolled_back_needs_a_person() {
    let mut aws = FakeAws::new();
    remnant(&mut aws, "ROLLBACK_COMPLETE").stack.is_protected = true;
    let first = release(&mut aws, 1, "Queue: slow");
    let message = refused(&mut aws, &first);
    assert!(
        message.contains("--no-enable-termination-protection --stack-name shop"),
        "{message}"
    );
    assert!(!aws.log.contains("DeleteStack"), "{}", aws.log);
}

#[test]
fn failed_rollback_is_continued_before_the_plan() {
    let mut aws = stuck("no");
    aws.stacks.failures.rollback.clear();
    let second = release(&mut aws, 2, "Queue: fast\nTopic: a");
    let plan = planned(&mut aws, &second);
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(deployed(&aws).stack.status, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: fast\nTopic: a");
    assert_eq!(aws.stacks.continued.len(), 1);
}

#[test]
fn release_without_changes_also_continues_a_failed_rollback() {
    let mut aws = stuck("no");
    aws.stacks.failures.rollback.clear();
    let second = release(&mut aws, 2, "Queue: slow\nTopic: a");
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    assert_eq!(deployed(&aws).stack.status, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(aws.stacks.continued.len(), 1);
}

#[test]
fn rollback_that_fails_again_needs_a_person_and_is_continued_by_the_next_attempt() {
    let mut aws = stuck("the quota is exhausted");
    let second = release(&mut aws, 2, "Queue: fast\nTopic: a");
    for _ in 0..2 {
        let message = refused(&mut aws, &second);
        for part in [
            "stack shop can't be changed: it is UPDATE_ROLLBACK_FAILED",
            "Queue (AWS::SQS::Queue) is UPDATE_FAILED: the quota is exhausted",
            "aws cloudformation continue-update-rollback --stack-name shop",
            "add Queue to spec.components[infra].cloudFormation.rollback.resourcesToSkip",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(aws.stacks.continued.len(), 1, "{}", aws.log);
    }
    assert_eq!(aws.deliver_as(second.clone()), Step::Failed, "{}", aws.log);
    assert_eq!(aws.stacks.continued.len(), 1, "{}", aws.log);

    aws.stacks.failures.rollback.clear();
    aws.known = Known::default();
    let again = run(2, 2, Goal::Deliver);
    let step = aws.finish(&Task::Deliver(second), &again);
    assert_eq!(step, Step::Succeeded, "{}", aws.log);
    assert_eq!(aws.stacks.continued.len(), 2);
    assert_eq!(text(&aws), "Queue: fast\nTopic: a");
}

#[test]
fn rollback_skips_only_the_named_resources_that_have_failed() {
    let mut aws = stuck("no");
    let mut wanted = stack(&mut aws, "Queue: fast\nTopic: a");
    wanted.resources_to_skip = vec!["Topic".into()];
    let message = refused(&mut aws, &release_of(2, wanted.clone()));
    assert!(message.contains("Queue (AWS::SQS::Queue)"), "{message}");
    wanted.resources_to_skip = vec!["Topic".into(), "Queue".into()];
    let third = release_of(3, wanted);
    assert_eq!(aws.deliver_as(third), Step::Succeeded, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: fast\nTopic: a");
}

/// Delivers a Release whose update and rollback fail.
fn failing_twice(aws: &mut FakeAws, revision: i64, skip: &[&str]) -> Step {
    let no = |name: &str| (name.to_owned(), "the quota is exhausted".to_owned());
    aws.stacks.failing = [no("Topic")].into();
    aws.stacks.failures.rollback = [no("Queue")].into();
    let mut wanted = stack(aws, "Queue: best\nTopic: b");
    wanted.resources_to_skip = skip.iter().map(ToString::to_string).collect();
    aws.deliver_as(release_of(revision, wanted))
}

#[test]
fn restore_continues_a_failed_rollback_once_for_each_attempt() {
    let mut aws = stuck("no");
    aws.stacks.failures.rollback.clear();
    let same = release(&mut aws, 2, "Queue: slow\nTopic: a");
    assert_eq!(aws.deliver_as(same), Step::Succeeded, "{}", aws.log);
    aws.stacks.continued.clear();

    assert_eq!(failing_twice(&mut aws, 3, &[]), Step::RollbackFailed);
    let message = message(&aws);
    for part in [
        "Topic (AWS::SQS::Queue) is UPDATE_FAILED",
        "stack shop can't be restored: it is UPDATE_ROLLBACK_FAILED",
        "Queue (AWS::SQS::Queue) is UPDATE_FAILED: the quota is exhausted",
        "add Queue to spec.components[infra].cloudFormation.rollback.resourcesToSkip",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(aws.stacks.continued.len(), 1, "{}", aws.log);

    aws.stacks.failures.rollback.clear();
    aws.known = Known::default();
    let task = Task::Restore("a person asks for it".into());
    let step = aws.finish(&task, &run(3, 2, Goal::Restore));
    assert_eq!(step, Step::RolledBack, "{}", aws.log);
    assert_eq!(aws.stacks.continued.len(), 2);
    assert_eq!(deployed(&aws).stack.status, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(text(&aws), "Queue: slow\nTopic: a");
}

#[test]
fn restore_skips_the_resources_that_its_release_names() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow\nTopic: a");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    let step = failing_twice(&mut aws, 2, &["Queue"]);
    assert_eq!(step, Step::RolledBack, "{}", aws.log);
    assert_eq!(deployed(&aws).stack.status, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(aws.stacks.continued.len(), 1);
}

#[test]
fn release_after_a_failed_restore_continues_the_rollback() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow\nTopic: a");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    assert_eq!(failing_twice(&mut aws, 2, &[]), Step::RollbackFailed);
    aws.stacks.failing.clear();
    let mut wanted = stack(&mut aws, "Queue: fast\nTopic: b");
    wanted.resources_to_skip = vec!["Queue".into()];
    let third = release_of(3, wanted);
    assert_eq!(aws.deliver_as(third), Step::Succeeded, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: fast\nTopic: b");
}

#[test]
fn restore_deletes_its_own_stack_whatever_its_creation_left() {
    for status in ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"] {
        let mut aws = FakeAws::new();
        aws.stacks.failing.insert("Queue".into(), "no".into());
        aws.stacks.failures.failed_creation = Some(status.into());
        aws.stacks.failures.retained = ["Topic".to_owned()].into();
        let first = release(&mut aws, 1, "Queue: slow\nTopic: a");
        let step = aws.deliver_as(first);
        assert_eq!(step, Step::RolledBack, "{status}\n{}", aws.log);
        assert!(!aws.stacks.stacks.contains_key(NAME), "{status}");
    }
}

#[test]
fn failed_deletion_of_a_restore_waits_for_a_person() {
    let mut aws = FakeAws::new();
    aws.stacks.failing.insert("Queue".into(), "no".into());
    aws.stacks.failures.is_undeletable = true;
    let first = release(&mut aws, 1, "Queue: slow");
    let step = aws.deliver_as(first);
    assert_eq!(step, Step::RollbackFailed, "{}", aws.log);
    assert_eq!(aws.log.matches("DeleteStack").count(), 1, "{}", aws.log);
    let message = message(&aws);
    assert!(
        message.contains("delete-stack --stack-name shop --retain-resources"),
        "{message}"
    );
}

#[test]
fn stack_that_needs_an_output_is_repaired_when_its_level_starts() {
    let wanted = |aws: &mut FakeAws, revision: i64| {
        let mut variables = Variables::default();
        variables.add_outputs("api", [("version", None)]);
        let template = variables.template("v$(components.api.outputs.version)");
        let template = template.expect("a template");
        let mut stack = stack(aws, "Queue: $Speed");
        let value = ParameterValue::Value(template.to_string());
        stack.settings.parameters.insert("Speed".into(), value);
        stack.deferred.insert("Speed".into(), template);
        let function = want("api", &format!("code-{revision}"), 128);
        let mut wanted = desired(revision, vec![function]);
        wanted.components.push(component(stack, 1));
        wanted
    };
    let mut aws = FakeAws::new();
    remnant(&mut aws, "ROLLBACK_COMPLETE");
    let first = wanted(&mut aws, 1);
    let plan = planned(&mut aws, &first);
    assert!(
        plan.summary.contains("will create stack shop"),
        "{}",
        plan.summary
    );
    assert_eq!(deployed(&aws).stack.status, "ROLLBACK_COMPLETE");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    assert_eq!(deployed(&aws).resources["Queue"], "v1");

    deployed_mut(&mut aws).stack.status = "UPDATE_ROLLBACK_FAILED".into();
    let second = wanted(&mut aws, 2);
    planned(&mut aws, &second);
    assert_eq!(aws.stacks.continued.len(), 0);
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    assert_eq!(deployed(&aws).resources["Queue"], "v2");
    assert_eq!(aws.stacks.continued.len(), 1);
}

#[test]
fn stack_that_needs_a_person_is_refused_with_the_command() {
    for (status, command) in [
        ("CREATE_FAILED", "delete-stack"),
        ("ROLLBACK_FAILED", "delete-stack"),
        ("UPDATE_FAILED", "rollback-stack"),
        ("DELETE_FAILED", "delete-stack"),
        ("IMPORT_ROLLBACK_FAILED", "delete-stack"),
    ] {
        let mut aws = FakeAws::new();
        remnant(&mut aws, status).stack.reason = Some("The quota is exhausted.".into());
        let first = release(&mut aws, 1, "Queue: slow");
        let message = refused(&mut aws, &first);
        let beginning = format!("stack shop can't be deployed: it is {status}: ");
        let command = format!("aws cloudformation {command} --stack-name shop");
        assert!(message.starts_with(&beginning), "{message}");
        assert!(message.contains(&command), "{message}");
        assert!(
            message.ends_with(". AWS says: The quota is exhausted."),
            "{message}"
        );
        assert_eq!(aws.log.matches("Stack").count(), 0, "{}", aws.log);
    }
}

#[test]
fn repairs_survive_faults_and_crashes() {
    for fault in Fault::ALL {
        for nth in 0..8 {
            let context = format!("{fault:?} {nth}");
            let faults = |aws: &mut FakeAws| {
                aws.faults = vec![Fault::None; nth];
                aws.faults.push(fault);
            };
            let mut aws = FakeAws::new();
            remnant(&mut aws, "ROLLBACK_COMPLETE");
            faults(&mut aws);
            let first = release(&mut aws, 1, "Queue: slow");
            let step = aws.deliver_as(first);
            assert_eq!(step, Step::Succeeded, "{context}\n{}", aws.log);
            assert_eq!(deployed(&aws).stack.status, "CREATE_COMPLETE", "{context}");

            let mut aws = stuck("no");
            aws.stacks.failures.rollback.clear();
            faults(&mut aws);
            let second = release(&mut aws, 2, "Queue: fast\nTopic: a");
            let step = aws.deliver_as(second);
            assert_eq!(step, Step::Succeeded, "{context}\n{}", aws.log);
            assert_eq!(text(&aws), "Queue: fast\nTopic: a", "{context}");
            assert_eq!(aws.stacks.continued.len(), 1, "{context}");

            faults(&mut aws);
            let step = failing_twice(&mut aws, 3, &["Queue"]);
            assert_eq!(step, Step::RolledBack, "{context}\n{}", aws.log);
            assert_eq!(text(&aws), "Queue: fast\nTopic: a", "{context}");
            assert_eq!(aws.stacks.continued.len(), 2, "{context}");
        }
    }
}
