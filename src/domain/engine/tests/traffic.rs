//! Traffic in steps, levels, and the commands that people give meanwhile.

mod checks;
mod commands;
mod splits;

use std::time::Duration;

use super::{super::*, fake_aws::*};
use crate::{
    api::v1alpha1::{AlarmsCheck, AlreadyInAlarm, Canary, CanaryStep, InsufficientData, Rollout},
    domain::{
        check::{DesiredAlarms, StageCheck, StageCheckKind},
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
