//! A kind of workload that the engine does not know passes through every step like the others.

use super::{super::*, fake_aws::*};

fn release(revision: i64, code: &str, text: &str, note_level: usize) -> Desired {
    let mut wanted = desired(revision, vec![want("api", code, 128)]);
    let function_level = 1 - note_level;
    wanted.components[0].level = function_level;
    wanted.components.push(noted(text, note_level));
    wanted
}

fn motto(aws: &FakeAws) -> Option<&str> {
    aws.notes.get("checkout-motto").map(String::as_str)
}

#[test]
fn new_kind_is_delivered_with_the_others() {
    for level in [0, 1] {
        let mut aws = FakeAws::new();
        let step = aws.deliver_as(release(1, "v1", "one", level));
        assert_eq!(step, Step::Succeeded, "{}", aws.log);
        assert_eq!(motto(&aws), Some("one"));
        let step = aws.deliver_as(release(2, "v1", "two", level));
        assert_eq!(step, Step::Succeeded, "{}", aws.log);
        assert_eq!(motto(&aws), Some("two"));
        let kinds: Vec<&str> = aws
            .status
            .inventory
            .iter()
            .map(|item| item.kind.as_str())
            .collect();
        assert_eq!(kinds, ["LambdaFunction", "Note"]);
    }
}

#[test]
fn new_kind_is_restored_with_the_others() {
    for level in [0, 1] {
        for before in [None, Some("one")] {
            let mut aws = FakeAws::new();
            if let Some(text) = before {
                aws.deliver_as(release(1, "v1", text, level));
            }
            aws.bad.push(code("v2"));
            aws.bad_once_served = true;
            let step = aws.deliver_as(release(2, "v2", "two", level));
            assert_eq!(step, Step::RolledBack, "{}", aws.log);
            assert_eq!(motto(&aws), before, "{}", aws.log);
        }
    }
}

#[test]
fn new_kind_survives_faults_and_crashes() {
    for fault in Fault::ALL {
        for nth in 0..8 {
            let mut aws = FakeAws::new();
            aws.deliver_as(release(1, "v1", "one", 1));
            aws.faults = vec![Fault::None; nth];
            aws.faults.push(fault);
            let step = aws.deliver_as(release(2, "v2", "two", 1));
            assert_eq!(step, Step::Succeeded, "{fault:?} {nth}\n{}", aws.log);
            assert_eq!(motto(&aws), Some("two"));
        }
    }
}

#[test]
fn unchanged_release_of_a_new_kind_writes_nothing() {
    let mut aws = FakeAws::new();
    aws.deliver_as(release(1, "v1", "one", 0));
    aws.log.clear();
    let step = aws.deliver_as(release(2, "v1", "one", 0));
    assert_eq!(step, Step::Succeeded, "{}", aws.log);
    assert!(!aws.log.contains("Write"), "{}", aws.log);
}

#[test]
fn removed_component_of_a_new_kind_is_pruned() {
    let mut aws = FakeAws::new();
    aws.deliver_as(release(1, "v1", "one", 0));
    aws.deliver_as(desired(2, vec![want("api", "v1", 128)]));
    assert_eq!(
        motto(&aws),
        Some("one"),
        "it is deleted only once the stage has succeeded"
    );
    let prune = Task::Prune(DeletionPolicy::Delete);
    aws.finish(&prune, &run(2, 1, Goal::Prune));
    assert_eq!(motto(&aws), None, "{}", aws.log);
}
