//! Plans, and runs with an approved plan.

use super::{super::*, fake_aws::*};
use crate::{
    api::v1alpha1::{PlanStatus, PlannedChange},
    domain::{failure::CallErrorKind, reason::Reason},
};

fn plan(aws: &mut FakeAws, revision: i64, functions: &[DesiredFunction]) -> PlanStatus {
    let outcome = aws.plan(&desired(revision, functions.to_vec()));
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    aws.status.plan.clone().expect("a plan")
}

fn listed(plan: &PlanStatus) -> Vec<String> {
    let one = |change: &PlannedChange| {
        let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let field = change.field.as_deref().unwrap_or_default();
        format!(
            "{} {} {field}: {} → {}",
            change.action,
            change.resource,
            value(&change.from),
            value(&change.to)
        )
    };
    plan.changes.iter().map(one).collect()
}

#[test]
fn plan_lists_every_change_and_no_secret() {
    let mut aws = FakeAws::new();
    let mut one = want("api", "v1", 128);
    one.configuration.environment = [("TOKEN", "hunter2"), ("OLD", "x")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    aws.deliver(1, &[one, want("worker", "w1", 128)]);
    let mut two = want("api", "v2", 256);
    two.configuration.environment = [("TOKEN".to_owned(), "hunter3".to_owned())].into();
    let mut site = want("site", "s1", 128);
    site.checks.clear();
    let plan = plan(&mut aws, 2, &[two, site]);
    assert_eq!(
        plan.summary,
        "api: will change code, memorySize, environment.OLD, environment.TOKEN; \
         site: will create function checkout-site (python3.13, role arn:aws:iam::222222222222:role/lambda-exec); \
         will leave checkout-worker in AWS as it is; no check watches site"
    );
    assert_eq!(
        listed(&plan),
        [
            format!(
                "Update checkout-api code: {} → {}",
                code("v1").short(),
                code("v2").short()
            ),
            "Update checkout-api memorySize: 128 → 256".to_owned(),
            "Update checkout-api environment.OLD: a value → -".to_owned(),
            "Update checkout-api environment.TOKEN: a value → another value".to_owned(),
            "Move checkout-api:live : version 1 → the new version".to_owned(),
            format!("Create checkout-site code: - → {}", code("s1").short()),
            "Create checkout-site:live : - → the new version".to_owned(),
            "Keep checkout-worker : - → -".to_owned(),
        ]
    );
}

#[test]
fn plan_digest_covers_desired_and_live_state() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let wanted = [want("api", "v2", 128)];
    let first = plan(&mut aws, 2, &wanted).digest;
    aws.tick(std::time::Duration::from_hours(1));
    assert_eq!(plan(&mut aws, 2, &wanted).digest, first);
    let other = [want("api", "v3", 128)];
    assert_ne!(plan(&mut aws, 2, &other).digest, first);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.latest.configuration.timeout = 9;
    assert_ne!(plan(&mut aws, 2, &wanted).digest, first);
}

#[test]
fn plan_lists_a_traffic_move_when_only_the_alias_differs() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.deliver(2, &[want("api", "v2", 128)]);
    let wanted = [want("api", "v2", 128)];
    assert_eq!(listed(&plan(&mut aws, 2, &wanted)), [""; 0]);
    assert_eq!(listed(&plan(&mut aws, 3, &wanted)), [""; 0]);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.alias.as_mut().expect("an alias").version = "1".into();
    aws.known = Known::default();
    let moved = plan(&mut aws, 2, &wanted);
    assert_eq!(moved.summary, "api: will move traffic");
    assert_eq!(
        listed(&moved),
        ["Move checkout-api:live : version 1 → version 2"]
    );
    let newer = plan(&mut aws, 3, &wanted);
    assert_eq!(
        listed(&newer),
        ["Move checkout-api:live : version 1 → the new version"]
    );
    assert_eq!(aws.deliver(3, &wanted), Step::Succeeded);
    let alias = aws.functions["checkout-api"].alias.clone();
    assert_eq!(alias.expect("an alias").version, "2");
}

#[test]
fn failed_planning_never_touches_the_journal() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = aws.status.run.clone();
    let task = Task::Plan(desired(2, vec![want("api", "v2", 128)]));
    let planned = run(2, 1, Goal::Deliver);
    for kind in [
        CallErrorKind::Denied,
        CallErrorKind::Throttled { retry_after: None },
    ] {
        aws.read_error = Some(kind);
        for _ in 0..4 {
            let ask = |status: &TargetStatus, observed: &Observation, now| {
                decide(&task, &planned, status, &owner(), observed, now)
            };
            let outcome = aws.pass(&ask).expect("it waits");
            let status = &mut aws.status;
            outcome.write_conditions(&mut status.conditions, Some(1), aws.now);
            assert_eq!(status.run, before, "{outcome:?}");
            assert!(status.expired_snapshots.is_empty());
            aws.tick(std::time::Duration::from_mins(4));
        }
    }
    aws.read_error = None;
    let wanted = [want("api", "v2", 128)];
    let approved = plan(&mut aws, 2, &wanted).digest;
    let mut run = planned.clone();
    run.plan_digest = Some(approved);
    let task = Task::Deliver(desired(2, wanted.to_vec()));
    assert_eq!(aws.finish(&task, &run), Step::Succeeded);
}

#[test]
fn run_waits_when_its_plan_differs_from_the_approved_one() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let wanted = [want("api", "v2", 128)];
    let approved = plan(&mut aws, 2, &wanted).digest;
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.latest.configuration.timeout = 9;
    let before = visible(&aws);
    let task = Task::Deliver(desired(2, wanted.to_vec()));
    let mut run = run(2, 1, Goal::Deliver);
    run.plan_digest = Some(approved);
    aws.known = Known::default();
    let outcome =
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
    assert_eq!(
        outcome.map(|outcome| outcome.reason()),
        Some(Reason::PlanChanged)
    );
    assert_eq!(visible(&aws), before);
    let now = aws.status.plan.clone().expect("a plan").digest;
    assert_ne!(Some(&now), run.plan_digest.as_ref());
    run.plan_digest = Some(now);
    assert_eq!(aws.finish(&task, &run), Step::Succeeded);
}

#[test]
fn long_plan_is_stored_in_full_outside_the_status() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let names: Vec<String> = (0..120).map(|n| format!("page-{n:03}.txt")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let mut wanted = desired(2, vec![want("api", "v2", 128)]);
    wanted.components.push(site(&mut aws, "archive", &files));
    let task = Task::Plan(wanted.clone());
    let run = run(2, 1, Goal::Deliver);
    let ask = |aws: &mut FakeAws| {
        aws.known = Known::default();
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        aws.status.plan.clone().expect("a plan")
    };
    let long = ask(&mut aws);
    assert_eq!((long.changes.len(), long.omitted), (100, 22));
    assert_eq!(aws.plans[0].len(), 122);
    assert_eq!(aws.plans[0][..100], long.changes);
    let stored = long.stored.clone().expect("stored");

    // The plan is stored once, and expires when another one replaces it.
    assert_eq!(ask(&mut aws), long);
    assert_eq!(aws.deliver_as(wanted), Step::Succeeded);
    assert_eq!(aws.plans.len(), 1);
    let expired = |aws: &FakeAws| -> Vec<String> {
        let keys = aws.status.expired_snapshots.iter().map(|it| it.key.clone());
        keys.filter(|key| key.starts_with("plans/")).collect()
    };
    assert!(expired(&aws).is_empty());
    let short = plan(&mut aws, 3, &[want("api", "v3", 128)]);
    assert_eq!(short.stored, None);
    assert_eq!(expired(&aws), [stored.key]);
}

#[test]
fn plan_lists_a_missing_alias() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.alias = None;
    aws.known = Known::default();
    let same = plan(&mut aws, 2, &[want("api", "v1", 128)]);
    assert_eq!(same.summary, "api: will create alias checkout-api:live");
    let other = plan(&mut aws, 3, &[want("api", "v1", 256)]);
    assert_eq!(
        other.summary,
        "api: will change memorySize and create alias checkout-api:live"
    );
}
