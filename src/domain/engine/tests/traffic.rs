//! Traffic in steps, levels, and the commands that people give meanwhile.

use std::time::Duration;

use super::{super::*, fake_aws::*};
use crate::{
    api::v1alpha1::{
        AlarmsCheck, AlreadyInAlarm, Canary, CanaryStep, InsufficientData, OnFailure, Rollout,
    },
    domain::{
        check::{DesiredAlarms, DesiredHttp, StageCheck, StageCheckKind},
        reason::Reason,
        substitution::Variables,
        traffic::Traffic,
    },
};

fn canary(weights: &[i32]) -> Traffic {
    let step = |weight: &i32| CanaryStep {
        weight: *weight,
        bake: "20s".into(),
    };
    let rollout = Rollout {
        canary: Some(Canary {
            steps: weights.iter().map(step).collect(),
        }),
        ..Rollout::default()
    };
    Traffic::of(Some(&rollout)).expect("valid")
}

fn in_steps(revision: i64, functions: Vec<DesiredFunction>) -> Desired {
    Desired {
        traffic: canary(&[10, 50]),
        ..desired(revision, functions)
    }
}

/// Runs passes until the run is evaluated at this weight.
fn until(aws: &mut FakeAws, task: &Task, run: &Run, weight: i32) {
    let is_reached = |aws: &FakeAws| {
        let journal = aws.status.run.as_ref();
        let traffic = journal.and_then(|journal| journal.traffic.as_ref());
        traffic.is_some_and(|traffic| traffic.weight >= weight && traffic.evaluations > 0)
    };
    while !is_reached(aws) {
        aws.pass(&|status, observed, now| decide(task, run, status, &owner(), observed, now));
    }
}

fn weights(aws: &FakeAws, function: &str) -> String {
    let alias = aws.functions[function].alias.as_ref().expect("an alias");
    let shares = alias.weights.iter();
    let shares: Vec<String> = shares.map(|(to, share)| format!("{to}:{share}")).collect();
    format!("{} {}", alias.version, shares.join(" "))
}

#[test]
fn canary_transcript() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.log.clear();
    let step = aws.deliver_as(in_steps(2, vec![want("api", "v2", 128)]));
    assert_eq!(step, Step::Succeeded);
    insta::assert_snapshot!(aws.log);
}

#[test]
fn first_delivery_gets_all_traffic_at_once() {
    let mut aws = FakeAws::new();
    let step = aws.deliver_as(in_steps(1, vec![want("api", "v1", 128)]));
    assert_eq!(step, Step::Succeeded);
    assert!(!aws.log.contains(" %"), "{}", aws.log);
}

#[test]
fn check_that_fails_at_half_of_the_traffic_restores_the_run() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
    let before = visible(&aws);
    let task = Task::Deliver(in_steps(
        2,
        vec![want("api", "v2", 128), want("worker", "w2", 128)],
    ));
    let run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 50);
    assert_eq!(weights(&aws, "checkout-api"), "1 2:0.5");
    aws.bad.push(code("w2"));
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    assert_eq!(visible(&aws), before);
}

#[test]
fn restart_and_clock_jump_do_not_shorten_a_bake() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let task = Task::Deliver(in_steps(2, vec![want("api", "v2", 128)]));
    let run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 10);
    aws.tick(Duration::from_hours(24));
    aws.known = Known::default();
    aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
    let journal = aws.status.run.as_ref().expect("a run");
    let traffic = journal.traffic.as_ref().expect("traffic");
    assert_eq!((traffic.weight, traffic.baked_seconds), (10, 4));
}

#[test]
fn externally_modified_weight_fails_the_run() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let task = Task::Deliver(in_steps(2, vec![want("api", "v2", 128)]));
    let run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 10);
    let revision = aws.revision();
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    let alias = deployed.alias.as_mut().expect("an alias");
    alias.weights.insert("2".into(), 0.9);
    alias.revision_id = revision;
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    let journal = aws.status.run.as_ref().expect("a run");
    let message = journal.message.clone().unwrap_or_default();
    assert!(
        message.contains("was moved externally to version 1 (90 % to 2)"),
        "{message}"
    );
    assert_eq!(weights(&aws, "checkout-api"), "1 ");
}

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

#[test]
fn correction_ignores_red_alarms() {
    for (correction, step) in [(0, Step::Failed), (1, Step::Succeeded)] {
        let mut aws = FakeAws::new();
        aws.deliver_as(with_alarm(1, "v1"));
        aws.deliver_as(with_alarm(2, "v2"));
        let before = visible(&aws);
        let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
        deployed.latest.configuration.timeout = 9;
        deployed.alias.as_mut().expect("an alias").version = "1".into();
        aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
        aws.known = Known::default();
        let mut run = run(2, 2, Goal::Deliver);
        run.immediate = true;
        run.correction = correction;
        let task = Task::Deliver(with_alarm(2, "v2"));
        assert_eq!(aws.finish(&task, &run), step, "{}", aws.log);
        assert_eq!(visible(&aws) == before, correction == 1);
    }
}

#[test]
fn level_is_prepared_after_the_level_below_serves() {
    let mut aws = FakeAws::new();
    let mut wanted = desired(1, vec![want("infra", "i1", 128), want("api", "v1", 128)]);
    wanted.components[1].level = 1;
    assert_eq!(aws.deliver_as(wanted.clone()), Step::Succeeded);
    let at = |line: &str| {
        aws.log
            .find(line)
            .unwrap_or_else(|| panic!("{line}:\n{}", aws.log))
    };
    assert!(at("CreateAlias checkout-infra") < at("CreateFunction checkout-api"));
    let before = visible(&aws);
    aws.bad.push(code("v2"));
    let mut next = desired(2, vec![want("infra", "i2", 128), want("api", "v2", 128)]);
    next.components[1].level = 1;
    aws.log.clear();
    assert_eq!(aws.deliver_as(next), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    insta::assert_snapshot!(aws.log);
}

#[test]
fn rollback_publishes_no_version() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.deliver(2, &[want("api", "v2", 128)]);
    aws.log.clear();
    aws.known = Known::default();
    let task = Task::Deliver(desired(1, vec![want("api", "v1", 128)]));
    assert_eq!(
        aws.finish(&task, &run(1, 2, Goal::Deliver)),
        Step::Succeeded
    );
    assert!(
        !aws.log.contains("PublishVersion checkout-api"),
        "{}",
        aws.log
    );
    assert_eq!(weights(&aws, "checkout-api"), "1 ");
    let deployed = &aws.functions["checkout-api"];
    assert_eq!(deployed.latest.code_sha256, code("v1"));
}

#[test]
fn versions_with_different_roles_do_not_share_traffic() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let mut other = want("api", "v2", 128);
    other.configuration.role = "arn:aws:iam::222222222222:role/other".into();
    let before = visible(&aws);
    assert_eq!(aws.deliver_as(in_steps(2, vec![other])), Step::Failed);
    assert_eq!(visible(&aws), before);
    let message = aws.status.run.as_ref().and_then(|run| run.message.clone());
    assert!(message.is_some_and(|message| message.contains("rollout.allAtOnce")));
}

#[test]
fn unsupported_traffic_split_fails_before_any_change() {
    type Change = fn(&mut FakeAws);
    let queue: Change = |aws| {
        let latest = &mut aws.functions.get_mut("checkout-api").expect("there").latest;
        latest.dead_letter_queue = Some("arn:aws:sqs:eu-west-1:222222222222:dead".into());
    };
    let provisioned: Change = |aws| {
        aws.provisioned.insert("checkout-api".into(), 5);
    };
    for (part, change) in [
        ("dead-letter queue of version 1 is none", queue),
        ("provisioned concurrency (5)", provisioned),
    ] {
        let mut aws = FakeAws::new();
        aws.deliver(1, &[want("api", "v1", 128)]);
        change(&mut aws);
        let before = visible(&aws);
        let gradually = in_steps(2, vec![want("api", "v2", 128)]);
        assert_eq!(aws.deliver_as(gradually), Step::Failed, "{part}");
        assert_eq!(visible(&aws), before);
        let run = aws.status.run.clone().expect("a run");
        let message = run.message.unwrap_or_default();
        assert!(
            message.contains(part) && message.contains("rollout.allAtOnce"),
            "{message}"
        );

        // The live code already has all traffic.
        let again = in_steps(3, vec![want("api", "v1", 128)]);
        assert_eq!(aws.deliver_as(again), Step::Succeeded, "{part}");
        let at_once = desired(4, vec![want("api", "v2", 128)]);
        assert_eq!(aws.deliver_as(at_once), Step::Succeeded, "{part}");
    }
}

/// Lambda gives the alias a weight for the old version until the new one has its concurrency.
#[test]
fn run_waits_for_provisioned_concurrency_of_its_alias() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.provisioned.insert("checkout-api".into(), 5);
    let before = visible(&aws);

    // In both directions: the check of v2 fails only once it serves.
    aws.bad.push(code("v2"));
    aws.bad_once_served = true;
    assert_eq!(aws.deliver(2, &[want("api", "v2", 128)]), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    let moves = aws
        .log
        .lines()
        .filter(|line| line.starts_with("UpdateAlias"));
    assert_eq!(moves.count(), 2, "forward and restored:\n{}", aws.log);
    assert_eq!(aws.deliver(3, &[want("api", "v3", 128)]), Step::Succeeded);
    assert_eq!(weights(&aws, "checkout-api"), "3 ");

    // A version that never gets its concurrency does not keep part of the traffic.
    let before = visible(&aws);
    aws.out_of_concurrency.push("4".into());
    assert_eq!(aws.deliver(4, &[want("api", "v4", 128)]), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    let message = aws.status.run.and_then(|run| run.message);
    let message = message.unwrap_or_default();
    let has = |part| message.contains(part);
    assert!(
        has("provisioned concurrency (5)") && has("no more is left"),
        "{message}"
    );
}

#[test]
fn removed_component_is_pruned_after_the_stage_succeeds() {
    for (policy, left) in [(DeletionPolicy::Delete, 1), (DeletionPolicy::Retain, 2)] {
        let mut aws = FakeAws::new();
        aws.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
        aws.deliver(2, &[want("api", "v2", 128)]);
        assert_eq!(
            aws.functions.len(),
            2,
            "the component stays until the whole stage has succeeded"
        );
        let prune = run(2, 1, Goal::Prune);
        assert!(!settled(&prune, &aws.status));
        aws.known = Known::default();
        assert_eq!(aws.finish(&Task::Prune(policy), &prune), Step::Succeeded);
        assert_eq!(aws.functions.len(), left);
        assert_eq!(aws.status.inventory.len(), 1);
    }
}

/// A Release whose stage watches an alarm.
pub fn with_alarm(revision: i64, code: &str) -> Desired {
    let check = AlarmsCheck {
        names: vec!["checkout-errors".into()],
        already_in_alarm: AlreadyInAlarm::Fail,
        insufficient_data: InsufficientData::Wait,
    };
    let alarms = DesiredAlarms::new(&check, &Variables::default()).expect("valid");
    Desired {
        checks: vec![StageCheck {
            name: "errors".into(),
            kind: StageCheckKind::Alarms(alarms),
        }],
        ..in_steps(revision, vec![want("api", code, 128)])
    }
}

/// A Release whose stage checks a URL.
fn with_page(revision: i64, code: &str) -> Desired {
    let check = serde_json::json!({"url": "https://example.com/health"});
    let check = serde_json::from_value(check).expect("a check");
    let page = DesiredHttp::new(&check, &Variables::default()).expect("valid");
    Desired {
        checks: vec![StageCheck {
            name: "page".into(),
            kind: StageCheckKind::Http(Box::new(page)),
        }],
        ..in_steps(revision, vec![want("api", code, 128)])
    }
}

#[test]
fn unchanged_release_skips_checks_that_take_time() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.watched = Verdict::Failed("check failed".into());
    assert_eq!(aws.deliver_as(with_alarm(2, "v1")), Step::Succeeded);
    assert_eq!(aws.deliver_as(with_page(3, "v1")), Step::Failed);
    aws.watched = Verdict::Passed;
    assert_eq!(aws.deliver_as(with_page(4, "v1")), Step::Succeeded);
}

#[test]
fn alarm_during_the_rollout_restores_the_run() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    let task = Task::Deliver(with_alarm(2, "v2"));
    let run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 50);
    aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    assert_eq!(visible(&aws), before);
}

#[test]
fn alarm_before_the_run_fails_it() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
    assert_eq!(aws.deliver_as(with_alarm(2, "v2")), Step::Failed);
    assert_eq!(visible(&aws), before);
    // A rollback skips alarms, which may be its reason; a promotion does not.
    let task = Task::Deliver(with_alarm(3, "v3"));
    for (attempt, rollback, step) in [(1, false, Step::Failed), (2, true, Step::Succeeded)] {
        let mut run = run(3, attempt, Goal::Deliver);
        run.immediate = true;
        run.rollback = rollback;
        aws.known = Known::default();
        assert_eq!(aws.finish(&task, &run), step);
    }
}

#[test]
fn promote_before_the_run_begins_does_not_skip_alarms() {
    for (rollback, step) in [(false, Step::RolledBack), (true, Step::Succeeded)] {
        let mut aws = FakeAws::new();
        aws.deliver(1, &[want("api", "v1", 128)]);
        let task = Task::Deliver(with_alarm(2, "v2"));
        let mut run = run(2, 1, Goal::Deliver);
        run.immediate = true;
        run.rollback = rollback;
        while run_step(&aws.status) != Some(Step::Prepare) {
            aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        }
        aws.watched = Verdict::Failed("check errors failed: alarm checkout-errors".into());
        assert_eq!(aws.finish(&task, &run), step);
    }
}

#[test]
fn inconclusive_check_may_wait_during_a_bake_but_not_pass_it() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    let task = Task::Deliver(with_alarm(2, "v2"));
    let run = run(2, 1, Goal::Deliver);
    until(&mut aws, &task, &run, 10);
    aws.watched = Verdict::Inconclusive("check errors: no data".into());
    let baked = |aws: &FakeAws| {
        let journal = aws.status.run.as_ref().expect("a run");
        journal
            .traffic
            .as_ref()
            .map_or(0, |traffic| traffic.baked_seconds)
    };
    while baked(&aws) < 20 {
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        assert_eq!(weights(&aws, "checkout-api"), "1 2:0.1");
    }
    let mut has_waited = false;
    while run_step(&aws.status) == Some(Step::Promote) {
        let outcome =
            aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        has_waited |= outcome.is_some_and(|outcome| outcome.reason() == Reason::WaitingForChecks);
        assert_ne!(weights(&aws, "checkout-api"), "1 2:0.5");
    }
    assert!(has_waited, "the run waits until the deadline");
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    let journal = aws.status.run.as_ref().expect("a run");
    let message = journal.message.clone().unwrap_or_default();
    assert!(message.contains("still inconclusive"), "{message}");
}
