//! Failed calls and controller crashes, at any call.

use super::*;

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
