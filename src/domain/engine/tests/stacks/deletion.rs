//! Change sets and stacks that are no longer needed are deleted.

use super::*;
use crate::domain::workload::cloud_formation::{self, What};

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
