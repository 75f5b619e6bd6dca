//! Outputs that other components use: `$(components.x.outputs.y)`.

use super::{super::*, fake_aws::*};
use crate::{api::v1alpha1::PlanStatus, domain::substitution::Variables};

/// A function `api`, and a function `web` above it that gets the version of `api` in its environment.
fn release(revision: i64, api: &str, web: &str) -> Desired {
    let mut variables = Variables::default();
    variables.add_outputs("api", [("version", None)]);
    let template = variables
        .template("v$(components.api.outputs.version)")
        .expect("a template");
    let mut user = want("web", web, 128);
    user.configuration
        .environment
        .insert("API".into(), template.to_string());
    user.deferred.insert("API".into(), template);
    let mut wanted = desired(revision, vec![want("api", api, 128), user]);
    wanted.components[1].level = 1;
    wanted
}

fn environment(aws: &FakeAws) -> Option<&str> {
    let web = &aws.functions["checkout-web"];
    let alias = web.alias.as_ref().expect("an alias");
    let number: u32 = alias.version.parse().expect("a number");
    let serving = &web.versions[&number].configuration;
    assert_eq!(serving.environment, web.latest.configuration.environment);
    serving.environment.get("API").map(String::as_str)
}

fn plan_of(aws: &mut FakeAws, wanted: Desired) -> PlanStatus {
    let task = Task::Plan(wanted);
    let run = run(9, 1, Goal::Deliver);
    aws.known = Known::default();
    for _ in 0..10 {
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
    }
    aws.status.plan.clone().expect("a plan")
}

#[test]
fn output_is_filled_in_when_the_level_of_its_user_starts() {
    let mut aws = FakeAws::new();
    assert_eq!(aws.deliver_as(release(1, "v1", "w1")), Step::Succeeded);
    assert_eq!(environment(&aws), Some("v1"));
    assert_eq!(aws.deliver_as(release(2, "v2", "w1")), Step::Succeeded);
    assert_eq!(environment(&aws), Some("v2"), "{}", aws.log);
    // A rollback: the same versions serve again.
    assert_eq!(aws.deliver_as(release(1, "v1", "w1")), Step::Succeeded);
    assert_eq!(environment(&aws), Some("v1"), "{}", aws.log);
    assert_eq!(aws.functions["checkout-web"].versions.len(), 2);
}

#[test]
fn unchanged_output_changes_nothing() {
    let mut aws = FakeAws::new();
    aws.deliver_as(release(1, "v1", "w1"));
    aws.log.clear();
    assert_eq!(aws.deliver_as(release(2, "v1", "w1")), Step::Succeeded);
    for write in ["Update", "Publish", "Create"] {
        assert!(!aws.log.contains(write), "{}", aws.log);
    }
    let plan = plan_of(&mut aws, release(3, "v1", "w1"));
    assert!(plan.changes.is_empty(), "{:?}", plan.changes);
}

#[test]
fn plan_names_fields_with_outputs_that_are_not_known_yet() {
    let mut aws = FakeAws::new();
    aws.deliver_as(release(1, "v1", "w1"));
    let plan = plan_of(&mut aws, release(2, "v2", "w1"));
    let fields: Vec<_> = plan
        .changes
        .iter()
        .filter_map(|change| Some((change.component.as_str(), change.field.as_deref()?)))
        .collect();
    assert_eq!(fields, [("api", "code"), ("web", "environment.API")]);
    // The approved plan is carried out, whatever number the version gets.
    aws.known = Known::default();
    let mut run = run(2, 1, Goal::Deliver);
    run.plan_digest = Some(plan.digest);
    let task = Task::Deliver(release(2, "v2", "w1"));
    assert_eq!(aws.finish(&task, &run), Step::Succeeded, "{}", aws.log);
    assert_eq!(environment(&aws), Some("v2"));
}

#[test]
fn user_of_an_output_is_restored_with_its_former_value() {
    let mut aws = FakeAws::new();
    aws.deliver_as(release(1, "v1", "w1"));
    let before = visible(&aws);
    aws.bad.push(code("w2"));
    let step = aws.deliver_as(release(2, "v2", "w2"));
    assert_eq!(step, Step::RolledBack, "{}", aws.log);
    assert_eq!(visible(&aws), before);
}

#[test]
fn output_survives_faults_and_crashes() {
    for fault in Fault::ALL {
        for nth in 0..14 {
            let mut aws = FakeAws::new();
            aws.deliver_as(release(1, "v1", "w1"));
            aws.faults = vec![Fault::None; nth];
            aws.faults.push(fault);
            let step = aws.deliver_as(release(2, "v2", "w1"));
            assert_eq!(step, Step::Succeeded, "{fault:?} {nth}\n{}", aws.log);
            assert_eq!(environment(&aws), Some("v2"), "{fault:?} {nth}");
        }
    }
}

#[test]
fn function_with_an_output_is_in_sync_after_its_run() {
    let mut aws = FakeAws::new();
    aws.deliver_as(release(1, "v1", "w1"));
    let drifted = |aws: &mut FakeAws| {
        let live = run(1, 1, Goal::Deliver);
        let check = DriftCheck {
            asked: Some("now"),
            generation: None,
            now: aws.now,
        };
        aws.known = Known::default();
        let wanted = release(1, "v1", "w1");
        for _ in 0..5 {
            aws.pass(&|status, observed, _| {
                decide_drift(&wanted, &live, status, &owner(), observed, check)
            });
        }
        let conditions = &aws.status.conditions;
        let drifted = conditions.iter().find(|one| one.type_ == "Drifted");
        drifted.map(|one| one.status.clone())
    };
    assert_eq!(drifted(&mut aws).as_deref(), Some("False"));
    let web = aws.functions.get_mut("checkout-web").expect("there");
    let settings = &mut web.latest.configuration.environment;
    settings.insert("API".into(), "v9".into());
    assert_eq!(drifted(&mut aws).as_deref(), Some("True"));
}
