//! Updates that Lambda could not apply, and inactive versions.

use super::{super::*, fake_aws::*};
use crate::domain::workload::lambda::{FunctionState, LastUpdate};

fn count(aws: &FakeAws, what: &str) -> usize {
    let lines = aws.log.lines();
    lines.filter(|line| line.starts_with(what)).count()
}

fn message(aws: &FakeAws) -> String {
    let run = aws.status.run.clone().expect("a run");
    run.message.unwrap_or_default()
}

#[test]
fn failed_update_is_sent_once_and_again_by_a_retry() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    aws.broken.insert("checkout-api".into(), false);
    aws.log.clear();
    let step = aws.deliver(2, &[want("api", "v2", 128)]);
    assert_eq!(step, Step::RolledBack, "{}", aws.log);
    assert_eq!(count(&aws, "UpdateFunctionCode"), 1, "{}", aws.log);
    assert!(
        message(&aws).contains("no addresses are left"),
        "{}",
        message(&aws)
    );
    assert_eq!(visible(&aws), before);

    aws.broken.clear();
    aws.known = Known::default();
    let task = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let step = aws.finish(&task, &run(2, 2, Goal::Deliver));
    assert_eq!(step, Step::Succeeded, "{}", aws.log);
    assert_eq!(count(&aws, "UpdateFunctionCode"), 2, "{}", aws.log);
}

#[test]
fn update_that_failed_before_the_run_is_sent_again() {
    for is_fixed in [true, false] {
        let mut aws = FakeAws::new();
        aws.deliver(1, &[want("api", "v1", 128)]);
        aws.deliver(2, &[want("api", "v2", 128)]);
        let deployed = aws.functions.get_mut("checkout-api").expect("there");
        deployed.latest.last_update = LastUpdate::Failed("no key".into());
        if !is_fixed {
            aws.broken.insert("checkout-api".into(), true);
        }
        aws.log.clear();
        let step = aws.deliver(3, &[want("api", "v2", 128)]);
        let wanted = if is_fixed {
            Step::Succeeded
        } else {
            Step::RolledBack
        };
        assert_eq!(step, wanted, "{}", aws.log);
        assert_eq!(count(&aws, "UpdateFunctionConfiguration"), 1, "{}", aws.log);
    }
}

#[test]
fn update_that_fails_during_a_restore_is_sent_again_by_a_retry() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
    let before = visible(&aws);
    let both = [want("api", "v2", 128), want("worker", "w2", 128)];
    assert_eq!(aws.deliver(2, &both), Step::Succeeded);
    aws.broken.insert("checkout-api".into(), false);
    aws.log.clear();
    assert_eq!(aws.restore(2), Step::RollbackFailed, "{}", aws.log);
    assert_eq!(
        count(&aws, "UpdateFunctionCode checkout-api"),
        1,
        "{}",
        aws.log
    );
    assert!(
        message(&aws).contains("no addresses are left"),
        "{}",
        message(&aws)
    );
    // The other function is restored.
    assert_eq!(visible(&aws)["checkout-worker"], before["checkout-worker"]);
    aws.broken.clear();
    aws.known = Known::default();
    let task = Task::Restore("the restore was requested".into());
    let step = aws.finish(&task, &run(2, 2, Goal::Restore));
    assert_eq!(step, Step::RolledBack, "{}", aws.log);
    assert_eq!(visible(&aws), before);
}

#[test]
fn inactive_version_is_woken_before_it_gets_traffic() {
    let mut aws = FakeAws::new();
    let mut unchecked = want("api", "v1", 128);
    unchecked.checks.clear();
    aws.deliver(1, &[unchecked.clone()]);
    aws.deliver(2, &[want("api", "v2", 128)]);
    let deployed = aws.functions.get_mut("checkout-api").expect("there");
    let first = deployed.versions.get_mut(&1).expect("a version");
    first.state = FunctionState::Inactive;

    for sleeps in [true, false] {
        let mut aws = aws.clone();
        if sleeps {
            aws.inactive_functions.push("checkout-api".into());
        }
        aws.log.clear();
        aws.known = Known::default();
        let task = Task::Deliver(desired(1, vec![unchecked.clone()]));
        let step = aws.finish(&task, &run(1, 2, Goal::Deliver));
        let woken = count(&aws, "Invoke checkout-api");
        let moved = count(&aws, "UpdateAlias checkout-api");
        if sleeps {
            assert_eq!((step, moved), (Step::RolledBack, 0), "{}", aws.log);
            assert!((2..30).contains(&woken), "{woken}");
            assert!(message(&aws).contains("Inactive"), "{}", message(&aws));
        } else {
            assert_eq!((step, woken, moved), (Step::Succeeded, 1, 1), "{}", aws.log);
        }
    }
}
