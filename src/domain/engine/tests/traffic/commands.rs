//! Commands that people give while traffic moves: pause, promote, retry and abort.

use super::*;
use crate::{api::v1alpha1::OnFailure, domain::reason::Reason};

#[test]
fn paused_run_stays_at_its_step_until_resumed() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let task = Task::Deliver(in_steps(2, vec![want("api", "v2", 128)]));
    let mut run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 10);
    run.paused = true;
    for _ in 0..100 {
        let outcome =
            aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        assert!(outcome.is_some());
    }
    assert_eq!(weights(&aws, "checkout-api"), "1 2:0.1");
    run.paused = false;
    assert_eq!(aws.finish(&task, &run), Step::Succeeded);
}

#[test]
fn paused_run_is_evaluated_after_its_bake() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    let task = Task::Deliver(with_alarm(2, "v2"));
    let mut run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 10);
    run.paused = true;
    let mut paused = false;
    while !paused {
        let outcome =
            aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        paused = outcome.is_some_and(|outcome| outcome.reason() == Reason::Paused);
    }
    aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    assert_eq!(visible(&aws), before);
}

#[test]
fn promote_skips_the_remaining_steps() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let task = Task::Deliver(in_steps(2, vec![want("api", "v2", 128)]));
    let mut run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 10);
    run.immediate = true;
    aws.log.clear();
    assert_eq!(aws.finish(&task, &run), Step::Succeeded);
    assert!(!aws.log.contains("50 %"), "{}", aws.log);
}

#[test]
fn failed_run_with_hold_waits_for_a_decision() {
    for resumes in [true, false] {
        let mut aws = FakeAws::new();
        aws.deliver(1, &[want("api", "v1", 128)]);
        let before = visible(&aws);
        let task = Task::Deliver(Desired {
            on_failure: OnFailure::Hold,
            ..in_steps(2, vec![want("api", "v2", 128)])
        });
        let first = run(2, 1, Goal::Deliver);
        until(&mut aws, &task, &first, 50);
        aws.bad.push(code("v2"));
        while run_step(&aws.status) != Some(Step::Held) {
            aws.pass(&|status, observed, now| {
                decide(&task, &first, status, &owner(), observed, now)
            });
        }
        let outcome = aws
            .pass(&|status, observed, now| decide(&task, &first, status, &owner(), observed, now));
        let held = outcome.expect("an outcome");
        assert_eq!(held.reason(), Reason::Held);
        assert!(held.message().contains("50 %"), "{}", held.message());
        aws.known = Known::default();
        if resumes {
            aws.bad.clear();
            let step = aws.finish(&task, &run(2, 2, Goal::Deliver));
            assert_eq!(step, Step::Succeeded);
        } else {
            let restore = Task::Restore("it was aborted".into());
            let step = aws.finish(&restore, &run(2, 1, Goal::Restore));
            assert_eq!(step, Step::RolledBack);
            assert_eq!(visible(&aws), before);
        }
    }
}

#[test]
fn promoting_a_held_run_skips_its_alarms() {
    for promoted in [true, false] {
        let mut aws = FakeAws::new();
        aws.deliver(1, &[want("api", "v1", 128)]);
        let task = Task::Deliver(Desired {
            on_failure: OnFailure::Hold,
            ..with_alarm(2, "v2")
        });
        let first = run(2, 1, Goal::Deliver);
        until(&mut aws, &task, &first, 10);
        let began = aws.status.run.as_ref().expect("a run").started_at.clone();
        aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
        let mut second = run(2, 2, Goal::Deliver);
        second.immediate = promoted;
        for run in [&first, &second] {
            aws.known = Known::default();
            loop {
                aws.pass(&|status, observed, now| {
                    decide(&task, run, status, &owner(), observed, now)
                });
                let step = run_step(&aws.status);
                if matches!(step, Some(Step::Held | Step::Succeeded)) {
                    break;
                }
            }
            if run.attempt == 1 {
                aws.tick(Duration::from_hours(1));
                aws.pass(&|status, observed, now| {
                    decide(&task, &second, status, &owner(), observed, now)
                });
                let journal = aws.status.run.as_ref().expect("a run");
                assert!(journal.started_at.0 > began.0, "the checks start again");
            }
        }
        let step = run_step(&aws.status);
        let wanted = if promoted {
            Step::Succeeded
        } else {
            Step::Held
        };
        assert_eq!(step, Some(wanted));
    }
}

#[test]
fn retry_of_a_held_run_restarts_its_bake() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let task = Task::Deliver(Desired {
        on_failure: OnFailure::Hold,
        ..with_alarm(2, "v2")
    });
    let first = run(2, 1, Goal::Deliver);
    let pass = |aws: &mut FakeAws, run: &Run| {
        aws.pass(&|status, observed, now| decide(&task, run, status, &owner(), observed, now));
    };
    let traffic = |aws: &FakeAws| {
        let journal = aws.status.run.as_ref().expect("a run");
        let traffic = journal.traffic.clone().expect("traffic");
        (traffic.weight, traffic.baked_seconds)
    };
    until(&mut aws, &task, &first, 10);
    while traffic(&aws).1 < 18 {
        pass(&mut aws, &first);
    }
    let red = Verdict::Failed("check errors failed: alarm checkout-errors".into());
    aws.watched = red.clone();
    while run_step(&aws.status) != Some(Step::Held) {
        pass(&mut aws, &first);
    }

    // The alarm is green again: nothing observed before counts.
    aws.watched = Verdict::Passed;
    aws.known = Known::default();
    aws.log.clear();
    let second = run(2, 2, Goal::Deliver);
    pass(&mut aws, &second);
    let began = aws.now;
    assert_eq!(traffic(&aws), (10, 0), "{}", aws.log);
    while traffic(&aws).0 == 10 {
        pass(&mut aws, &second);
    }
    let watched = aws.now.duration_since(began);
    assert!(watched >= jiff::SignedDuration::from_secs(18), "{watched}");
    assert!(!aws.log.contains("does not match"), "{}", aws.log);

    // An alarm that goes red after the retry counts.
    aws.watched = red;
    while run_step(&aws.status) != Some(Step::Held) {
        pass(&mut aws, &second);
    }
}
