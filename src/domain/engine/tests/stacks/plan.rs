//! Plans: what a change set would change, what it needs permission for, and what prevents it.

use super::*;
use crate::domain::{reason::Reason, workload::cloud_formation::ParameterValue};

#[test]
fn replacement_and_deletion_need_permission() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Table: a\nQueue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    let text_after = "Table: b";
    let mut wanted = stack(&mut aws, text_after);
    let outcome = aws.plan(&release_of(2, wanted.clone()));
    let Outcome::Stalled { reason, message } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(reason, Reason::PreflightFailed);
    for part in [
        "replace Table (AWS::DynamoDB::Table) because of /Properties/Value",
        "spec.components[infra].cloudFormation.allow.replacement to [Table]",
        "delete Queue (AWS::SQS::Queue)",
        "allow.deletion to [Queue]",
    ] {
        assert!(message.contains(part), "{message}");
    }
    wanted.allow = Allow {
        replacement: vec!["AWS::DynamoDB::*".into()],
        deletion: vec!["Queue".into()],
    };
    let wanted = release_of(3, wanted);
    let plan = planned(&mut aws, &wanted);
    let actions: Vec<_> = plan.changes.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(actions, ["Delete", "Replace"]);
    assert_eq!(plan.changes[1].from.as_deref(), Some("a"));
    assert!(
        plan.summary.contains("replace Table, delete Queue"),
        "{}",
        plan.summary
    );
    assert_eq!(aws.deliver_as(wanted), Step::Succeeded, "{}", aws.log);
    assert_eq!(text(&aws), text_after);
}

#[test]
fn approved_change_set_is_the_one_that_is_executed() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    let second = release(&mut aws, 2, "Queue: fast");
    let plan = planned(&mut aws, &second);
    let planned_set = aws
        .status
        .proposals
        .last()
        .expect("a proposal")
        .name
        .clone();
    let run = Run {
        plan_digest: Some(plan.digest),
        ..run(2, 1, Goal::Deliver)
    };
    aws.known = Known::default();
    let step = aws.finish(&Task::Deliver(second), &run);
    assert_eq!(step, Step::Succeeded, "{}", aws.log);
    assert_eq!(aws.stacks.executed.last(), Some(&planned_set));
}

#[test]
fn externally_changed_stack_needs_another_plan() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow\nTopic: a");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    let second = release(&mut aws, 2, "Queue: fast\nTopic: a");
    let before = planned(&mut aws, &second);
    let other = aws.stacks.stacks.get_mut(NAME).expect("a stack");
    other.resources.insert("Topic".into(), "b".into());
    other.text = "Queue: slow\nTopic: b".into();
    let after = planned(&mut aws, &second);
    assert_ne!(before.digest, after.digest);
    assert_eq!(after.changes.len(), 2);
}

#[test]
fn same_changes_have_the_same_digest() {
    let digest = || {
        let mut aws = FakeAws::new();
        let first = release(&mut aws, 1, "Queue: slow");
        assert_eq!(aws.deliver_as(first), Step::Succeeded);
        let second = release(&mut aws, 2, "Queue: fast");
        let plan = planned(&mut aws, &second);
        let change_sets = &mut aws
            .stacks
            .stacks
            .get_mut(NAME)
            .expect("a stack")
            .change_sets;
        change_sets.clear();
        assert_eq!(planned(&mut aws, &second).digest, plan.digest);
        plan.digest
    };
    assert_eq!(digest(), digest());
}

#[test]
fn obstacles_are_found_before_anything_is_created() {
    let mut aws = FakeAws::new();
    let outcome = |aws: &mut FakeAws, stack: DesiredStack| match aws.plan(&release_of(1, stack)) {
        Outcome::Stalled { message, .. } => message,
        other => panic!("{other:?}"),
    };
    let invalid = stack(&mut aws, "invalid");
    assert!(
        outcome(&mut aws, invalid).contains("artifact infra can't be used: Template format error")
    );
    let iam = stack(&mut aws, "Role: a");
    assert!(
        outcome(&mut aws, iam).contains("needs CAPABILITY_IAM: add it to spec.components[infra]")
    );
    let missing = stack(&mut aws, "Queue: $Speed");
    assert!(outcome(&mut aws, missing.clone()).contains("parameter Speed has no default"));
    let mut previous = missing;
    previous.settings.parameters = [("Speed".into(), ParameterValue::Previous)].into();
    assert!(outcome(&mut aws, previous).contains("Speed can't keep its value"));
    let mut unknown = stack(&mut aws, "Queue: slow");
    unknown.settings.parameters = [("Speed".into(), ParameterValue::Value("1".into()))].into();
    assert!(outcome(&mut aws, unknown).contains("no parameter Speed; it declares none"));
    assert!(aws.stacks.stacks.is_empty());

    let foreign = FakeStack::in_state("CREATE_COMPLETE");
    aws.stacks.stacks.insert(NAME.into(), foreign);
    let wanted = stack(&mut aws, "Queue: slow");
    assert!(outcome(&mut aws, wanted).contains("was not created by Sluice"));
}
