//! Adoption of unmanaged functions, where the Deployment asks for it and the Account allows it.

use std::collections::BTreeMap;

use super::{super::*, fake_aws::*};
use crate::domain::{
    ownership::Adoption,
    workload::lambda::{Alias, Function, FunctionState, LastUpdate},
};

/// An unmanaged function with a version and an alias.
fn unmanaged(aws: &mut FakeAws) {
    let made = Function {
        arn: "arn:aws:lambda:eu-west-1:222222222222:function:checkout-api".into(),
        version: "$LATEST".into(),
        code_sha256: code("theirs"),
        code_size: 1,
        architecture: "x86_64".into(),
        configuration: configuration(512),
        revision_id: "by-hand".into(),
        state: FunctionState::Active,
        last_update: LastUpdate::Successful,
        dead_letter_queue: None,
        tags: BTreeMap::from([("team".into(), "shop".into())]),
        last_modified: None,
    };
    let version = Function {
        version: "7".into(),
        ..made.clone()
    };
    let deployed = Deployed {
        latest: made,
        versions: BTreeMap::from([(7, version)]),
        alias: Some(Alias {
            version: "7".into(),
            weights: BTreeMap::new(),
            description: "theirs".into(),
            revision_id: "a".into(),
        }),
        other: None,
        next_version: 8,
        settles_in: 0,
    };
    aws.functions.insert("checkout-api".into(), deployed);
}

fn adopting() -> DesiredFunction {
    DesiredFunction {
        adoption: Adoption::Granted { unqualified: false },
        ..want("api", "v1", 128)
    }
}

fn message(aws: &FakeAws) -> String {
    let run = aws.status.run.clone().expect("a run");
    run.message.unwrap_or_default()
}

#[test]
fn unmanaged_function_is_adopted_when_spec_and_account_allow_it() {
    let mut aws = FakeAws::new();
    unmanaged(&mut aws);
    assert_eq!(aws.deliver(1, &[adopting()]), Step::Succeeded);
    let deployed = &aws.functions["checkout-api"];
    let tags = &deployed.latest.tags;
    assert_eq!(owner().refusal(tags), None);
    assert_eq!(tags.get("team").map(String::as_str), Some("shop"));
    assert_eq!(deployed.latest.code_sha256, code("v1"));
    assert_eq!(
        deployed.alias.as_ref().map(|alias| alias.version.clone()),
        Some("8".into())
    );
    let item = &aws.status.inventory[0];
    assert!(!item.created, "Sluice did not create it");
    let writes: Vec<_> = aws
        .log
        .lines()
        .filter(|line| line.starts_with("TagResource") || line.starts_with("Update"))
        .collect();
    assert!(
        writes[0].starts_with("TagResource"),
        "the function is tagged before it is changed: {writes:?}"
    );
}

#[test]
fn adopted_function_is_restored_with_its_tags_code_and_alias() {
    let mut aws = FakeAws::new();
    unmanaged(&mut aws);
    let before = visible(&aws);
    aws.bad.push(code("v1"));
    assert_eq!(aws.deliver(1, &[adopting()]), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    assert!(aws.status.inventory.is_empty(), "it is unmanaged again");
}

#[test]
fn adoption_without_permission_fails_and_names_the_missing_setting() {
    let ungranted = Adoption::NotGranted {
        account: "dev".into(),
    };
    for (adoption, parts) in [
        (Adoption::NotAsked, ["set adopt", "mayAdopt"]),
        (ungranted, ["sets adopt", "mayAdopt"]),
    ] {
        let mut aws = FakeAws::new();
        unmanaged(&mut aws);
        let before = visible(&aws);
        let wanted = DesiredFunction {
            adoption,
            ..want("api", "v1", 128)
        };
        assert_eq!(aws.deliver(1, &[wanted]), Step::Failed);
        assert_eq!(visible(&aws), before);
        let message = message(&aws);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn function_owned_by_another_deployment_is_not_adopted() {
    let mut aws = FakeAws::new();
    unmanaged(&mut aws);
    let other = Owner {
        name: "payment".into(),
        ..owner()
    };
    let deployed = aws.functions.get_mut("checkout-api").expect("there");
    deployed.latest.tags = other.tags();
    let before = visible(&aws);
    assert_eq!(aws.deliver(1, &[adopting()]), Step::Failed);
    assert_eq!(visible(&aws), before);
    assert!(message(&aws).contains("is owned by Deployment shop/payment"));
}

#[test]
fn alias_at_latest_blocks_adoption() {
    let mut aws = FakeAws::new();
    unmanaged(&mut aws);
    let deployed = aws.functions.get_mut("checkout-api").expect("there");
    deployed.alias.as_mut().expect("an alias").version = "$LATEST".into();
    let run = run(1, 1, Goal::Deliver);
    let task = Task::Deliver(desired(1, vec![adopting()]));
    assert_eq!(aws.finish(&task, &run), Step::Failed);
    assert!(message(&aws).contains("points at $LATEST"));
}

#[test]
fn unqualified_callers_block_adoption_unless_accepted() {
    let mut aws = FakeAws::new();
    unmanaged(&mut aws);
    let callers = vec!["the function URL https://x.on.aws/".to_owned()];
    aws.unqualified.insert("checkout-api".into(), callers);
    let before = visible(&aws);
    assert_eq!(aws.deliver(1, &[adopting()]), Step::Failed);
    assert_eq!(visible(&aws), before);
    let why = message(&aws);
    assert!(
        why.contains("https://x.on.aws/") && why.contains("allowUnqualified"),
        "{why}"
    );

    let accepted = DesiredFunction {
        adoption: Adoption::Granted { unqualified: true },
        ..adopting()
    };
    assert_eq!(aws.deliver(2, &[accepted]), Step::Succeeded);
    // Sluice owns the function now, so that unqualified callers no longer matter.
    assert_eq!(aws.deliver(3, &[want("api", "v2", 128)]), Step::Succeeded);
}

#[test]
fn plan_lists_an_adoption() {
    let mut aws = FakeAws::new();
    unmanaged(&mut aws);
    aws.deliver(1, &[want("worker", "w1", 128)]);
    let task = Task::Plan(desired(2, vec![adopting()]));
    let run = run(2, 1, Goal::Deliver);
    aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
    let plan = aws.status.plan.clone().expect("a plan");
    assert_eq!(plan.changes[0].action, "Adopt");
    assert!(
        plan.summary
            .starts_with("api: will adopt and change code, memorySize"),
        "{}",
        plan.summary
    );
}
