//! Stacks: planned, changed and restored by change sets, whatever fails on the way.

mod repair;

use std::collections::{BTreeMap, BTreeSet};

use super::{super::*, fake_aws::*, fake_stacks::FakeStack};
use crate::{
    api::v1alpha1::{Allow, DeletionPolicy, PlanStatus},
    domain::{
        check::{StageCheck, Verdict},
        reason::Reason,
        substitution::Variables,
        workload::{
            cloud_formation::{
                self, DesiredStack, ParameterValue, Settings, TemplateAt, TemplateFile, What,
            },
            kinds,
        },
    },
};

const NAME: &str = "shop";

/// A stack with this template, which can be changed as it likes.
fn stack(aws: &mut FakeAws, text: &str) -> DesiredStack {
    let source = TemplateFile {
        location: want("infra", "x", 128).package,
        sha256: code(text),
        size: text.len() as u64,
        at: TemplateAt::Whole,
        origin: "artifact infra".into(),
    };
    aws.stacks.sources.insert(source.id(), text.into());
    DesiredStack {
        component: "infra".into(),
        stack_name: NAME.into(),
        source,
        settings: Settings {
            tags: owner().tags(),
            role: "arn:aws:iam::222222222222:role/cfn".into(),
            ..Settings::default()
        },
        deferred: BTreeMap::new(),
        imports: BTreeSet::new(),
        allow: Allow::default(),
        resources_to_skip: Vec::new(),
        imports_existing: false,
    }
}

fn component(stack: DesiredStack, level: usize) -> DesiredComponent {
    DesiredComponent {
        name: stack.component.clone(),
        level,
        workload: Workload::CloudFormation(Box::new(stack)),
    }
}

fn release_of(revision: i64, stack: DesiredStack) -> Desired {
    let mut wanted = desired(revision, Vec::new());
    wanted.components.push(component(stack, 0));
    wanted
}

fn release(aws: &mut FakeAws, revision: i64, text: &str) -> Desired {
    let stack = stack(aws, text);
    release_of(revision, stack)
}

fn deployed(aws: &FakeAws) -> &FakeStack {
    &aws.stacks.stacks[NAME]
}

fn text(aws: &FakeAws) -> &str {
    &deployed(aws).text
}

/// The same with a function that is delivered once the stack is, and whose check then fails.
fn failing_later(aws: &mut FakeAws, mut wanted: Desired) -> Desired {
    let revision = wanted.release.revision;
    let function = want("api", &format!("bad-{revision}"), 128);
    aws.bad.push(function.code_sha256);
    let mut later = desired(revision, vec![function]).components.remove(0);
    later.level = 1;
    wanted.components.push(later);
    wanted
}

/// Plans, and returns the plan.
fn planned(aws: &mut FakeAws, wanted: &Desired) -> PlanStatus {
    let outcome = aws.plan(wanted);
    assert!(
        matches!(outcome, Outcome::Done { .. }),
        "{outcome:?}\n{}",
        aws.log
    );
    aws.status.plan.clone().expect("a plan")
}

fn message(aws: &FakeAws) -> &str {
    let run = aws.status.run.as_ref().expect("a run");
    run.message.as_deref().unwrap_or_default()
}

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
fn change_set_goes_with_its_release_and_so_does_the_stack_that_was_made_for_it() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow");
    planned(&mut aws, &first);
    assert_eq!(deployed(&aws).stack.status, "REVIEW_IN_PROGRESS");
    let needed = Needed {
        existing: [reference(1).uid].into(),
        open: std::iter::empty().collect(),
    };
    for _ in 0..5 {
        aws.collect(&needed);
    }
    assert!(aws.stacks.stacks.is_empty(), "{}", aws.log);
    assert_eq!(aws.status.proposals, Vec::new());
}

#[test]
fn last_of_several_change_sets_takes_the_stack_with_it() {
    for is_removed in [false, true] {
        let mut aws = FakeAws::new();
        for (revision, text) in [(1, "Queue: slow"), (2, "Queue: fast")] {
            let wanted = release(&mut aws, revision, text);
            planned(&mut aws, &wanted);
        }
        assert_eq!(deployed(&aws).change_sets.len(), 2, "{}", aws.log);
        for _ in 0..5 {
            if is_removed {
                let policy = DeletionPolicy::Retain;
                aws.pass(&|status, observed, now| {
                    decide_removal(policy, status, &owner(), observed, now)
                });
            } else {
                aws.collect(&Needed::default());
            }
        }
        assert!(aws.stacks.stacks.is_empty(), "{is_removed}\n{}", aws.log);
    }
}

#[test]
fn stale_not_found_leaves_no_change_set_behind() {
    let reads: [fn(String) -> What; 2] = [|_| What::Stack, What::ChangeSet];
    for (is_live, what) in reads.into_iter().flat_map(|it| [(false, it), (true, it)]) {
        let mut aws = FakeAws::new();
        if is_live {
            let first = release(&mut aws, 1, "Queue: slow");
            assert_eq!(aws.deliver_as(first), Step::Succeeded);
            aws.collect(&Needed::default());
        }
        let wanted = release(&mut aws, 2, "Queue: fast");
        planned(&mut aws, &wanted);
        let name = aws.status.proposals[0].name.clone();
        assert!(deployed(&aws).change_sets.contains_key(&name));
        let stale = Read::Component(kinds::Read::CloudFormation(cloud_formation::Read {
            stack: NAME.to_owned(),
            what: what(name.clone()),
        }));
        aws.stale_reads.push(stale.clone());
        for _ in 0..5 {
            aws.collect(&Needed::default());
        }
        assert!(aws.stale_reads.is_empty(), "the reply was given");
        assert_eq!(aws.status.proposals, Vec::new());
        let left = aws.stacks.stacks.get(NAME);
        assert_eq!(left.is_some(), is_live, "{stale:?}\n{}", aws.log);
        let is_left = left.is_some_and(|it| it.change_sets.contains_key(&name));
        assert!(!is_left, "{stale:?}\n{}", aws.log);
    }
}

#[test]
fn executed_change_set_goes_from_the_record_without_a_call() {
    let mut aws = FakeAws::new();
    let first = release(&mut aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded);
    let stack = aws.stacks.stacks.get_mut(NAME).expect("a stack");
    stack.change_sets.clear();
    assert_eq!(aws.status.proposals.len(), 1);
    aws.collect(&Needed::default());
    assert_eq!(aws.status.proposals, Vec::new());
    assert!(!aws.log.contains("DeleteChangeSet"), "{}", aws.log);
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

#[test]
fn stacks_survive_faults_and_crashes() {
    for fault in Fault::ALL {
        for nth in 0..20 {
            let mut aws = FakeAws::new();
            let first = release(&mut aws, 1, "Queue: slow");
            assert_eq!(aws.deliver_as(first), Step::Succeeded);
            let second = release(&mut aws, 2, "Queue: fast");
            aws.faults = vec![Fault::None; nth];
            aws.faults.push(fault);
            assert_eq!(
                aws.deliver_as(second),
                Step::Succeeded,
                "{fault:?} {nth}\n{}",
                aws.log
            );
            assert_eq!(text(&aws), "Queue: fast");
            aws.faults = vec![Fault::None; nth];
            aws.faults.push(fault);
            let third = release(&mut aws, 3, "Queue: best");
            let third = failing_later(&mut aws, third);
            assert_eq!(
                aws.deliver_as(third),
                Step::RolledBack,
                "{fault:?} {nth}\n{}",
                aws.log
            );
            assert_eq!(text(&aws), "Queue: fast", "{fault:?} {nth}\n{}", aws.log);
        }
    }
}

#[test]
fn new_stack_survives_faults_and_crashes() {
    for fault in Fault::ALL {
        for nth in 0..20 {
            let mut aws = FakeAws::new();
            aws.faults = vec![Fault::None; nth];
            aws.faults.push(fault);
            let first = release(&mut aws, 1, "Queue: slow");
            let first = failing_later(&mut aws, first);
            assert_eq!(
                aws.deliver_as(first),
                Step::RolledBack,
                "{fault:?} {nth}\n{}",
                aws.log
            );
            assert!(
                !aws.stacks.stacks.contains_key(NAME),
                "{fault:?} {nth}\n{}",
                aws.log
            );
        }
    }
}

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

#[test]
fn stack_that_depends_on_another_is_deleted_first() {
    let mut aws = FakeAws::new();
    let mut first = release(&mut aws, 1, "Queue: slow");
    let mut user = stack(&mut aws, "Topic: a");
    user.component = "app".into();
    user.stack_name = "app".into();
    first.components.push(component(user, 1));
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    let mut second = desired(2, vec![want("api", "v1", 128)]);
    second.deletion_policy = DeletionPolicy::Delete;
    assert_eq!(aws.deliver_as(second), Step::Succeeded);
    aws.log.clear();
    aws.known = Known::default();
    let prune = run(2, 1, Goal::Prune);
    let task = Task::Prune(DeletionPolicy::Delete);
    assert_eq!(aws.finish(&task, &prune), Step::Succeeded);
    let deletions = aws
        .log
        .lines()
        .filter(|line| line.starts_with("DeleteStack"));
    assert_eq!(
        deletions.collect::<Vec<_>>(),
        ["DeleteStack app", "DeleteStack shop"]
    );
    assert!(aws.stacks.stacks.is_empty(), "{}", aws.log);
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
