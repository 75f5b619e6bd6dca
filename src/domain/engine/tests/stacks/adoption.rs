//! Stacks that other tools created, and that a Release adopts.

use super::{
    super::drift::{check_release, listed},
    *,
};
use crate::api::v1alpha1::{InventoryItem, TargetStatus};

/// A Release of the stack that may adopt it.
fn adopting(aws: &mut FakeAws, revision: i64, text: &str) -> Desired {
    let stack = DesiredStack {
        adoption: Adoption::Granted { unqualified: false },
        ..stack(aws, text)
    };
    release_of(revision, stack)
}

/// The stack as another tool created it: with its own tags, and without a service role.
fn created_by_another_tool(aws: &mut FakeAws) {
    let first = release(aws, 1, "Queue: slow");
    assert_eq!(aws.deliver_as(first), Step::Succeeded, "{}", aws.log);
    let found = aws.stacks.stacks.get_mut(NAME).expect("the stack");
    found.stack.tags = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    found.stack.role = None;
    aws.status = TargetStatus::default();
    aws.log.clear();
}

fn record(aws: &FakeAws) -> Option<&BTreeMap<String, String>> {
    deployed(aws).stack.record.as_ref()
}

#[test]
fn unmanaged_stack_is_adopted_by_a_record_and_gets_no_tags_of_the_owner() {
    let mut aws = FakeAws::new();
    created_by_another_tool(&mut aws);
    let second = adopting(&mut aws, 3, "Queue: fast");
    let plan = planned(&mut aws, &second);
    assert!(
        plan.changes.iter().any(|it| it.action == "Adopt"),
        "{plan:?}"
    );
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: fast");
    assert_eq!(record(&aws), Some(&owner().tags()));
    assert!(
        deployed(&aws).stack.tags.is_empty(),
        "those of the spec only"
    );
    assert!(!aws.status.inventory[0].created);

    // From now on, it is the Deployment's own.
    let third = release(&mut aws, 4, "Queue: faster");
    assert_eq!(aws.deliver_as(third), Step::Succeeded, "{}", aws.log);
    assert_eq!(text(&aws), "Queue: faster");
}

#[test]
fn missing_tags_of_the_owner_are_no_drift_of_an_adopted_stack() {
    let mut aws = FakeAws::new();
    created_by_another_tool(&mut aws);
    let second = adopting(&mut aws, 2, "Queue: fast");
    assert_eq!(aws.deliver_as(second.clone()), Step::Succeeded);
    check_release(&mut aws, &second);
    assert_eq!(listed(&aws), [""; 0]);
}

#[test]
fn unmanaged_stack_is_refused_without_adopt() {
    let mut aws = FakeAws::new();
    created_by_another_tool(&mut aws);
    let refused = release(&mut aws, 2, "Queue: fast");
    assert_eq!(aws.deliver_as(refused), Step::Failed);
    assert!(message(&aws).contains("set adopt"), "{}", message(&aws));
    assert_eq!(text(&aws), "Queue: slow");
}

#[test]
fn stack_without_a_change_is_adopted_too() {
    let mut aws = FakeAws::new();
    created_by_another_tool(&mut aws);
    let found = aws.stacks.stacks.get_mut(NAME).expect("the stack");
    found.stack.tags.clear();
    let second = adopting(&mut aws, 2, "Queue: slow");
    assert_eq!(aws.deliver_as(second), Step::Succeeded, "{}", aws.log);
    assert_eq!(record(&aws), Some(&owner().tags()));
    assert!(!aws.log.contains("ExecuteChangeSet"), "{}", aws.log);
}

#[test]
fn failed_adoption_ends_with_the_former_stack_and_no_record() {
    let mut aws = FakeAws::new();
    created_by_another_tool(&mut aws);
    let second = adopting(&mut aws, 2, "Queue: fast");
    let second = failing_later(&mut aws, second);
    assert_eq!(aws.deliver_as(second), Step::RolledBack, "{}", aws.log);
    assert!(aws.log.contains("ExecuteChangeSet"), "{}", aws.log);
    assert_eq!(text(&aws), "Queue: slow");
    assert_eq!(deployed(&aws).stack.tags["team"], "shop");
    assert_eq!(record(&aws), None);
    let of_stack = |item: &&InventoryItem| item.component == "infra";
    assert_eq!(aws.status.inventory.iter().find(of_stack), None);
}

#[test]
fn stack_that_another_deployment_adopted_is_refused() {
    let mut aws = FakeAws::new();
    created_by_another_tool(&mut aws);
    let mut others = owner();
    others.name = "payment".into();
    let found = aws.stacks.stacks.get_mut(NAME).expect("the stack");
    found.stack.record = Some(others.tags());
    let second = adopting(&mut aws, 2, "Queue: fast");
    assert_eq!(aws.deliver_as(second), Step::Failed);
    let message = message(&aws);
    assert!(
        message.contains("owned by Deployment shop/payment"),
        "{message}"
    );
    assert_eq!(text(&aws), "Queue: slow");
}
