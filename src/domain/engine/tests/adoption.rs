//! Adoption of unmanaged functions, where the Deployment asks for it and the Account allows it.

use std::collections::BTreeMap;

use super::{super::*, world::*};
use crate::domain::{
    ownership::Adoption,
    workload::lambda::{Alias, Function, FunctionState, LastUpdate},
};

/// An unmanaged function with a version and an alias.
fn unmanaged(world: &mut World) {
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
    world.functions.insert("checkout-api".into(), deployed);
}

fn adopting() -> DesiredFunction {
    DesiredFunction {
        adoption: Adoption::Granted { unqualified: false },
        ..want("api", "v1", 128)
    }
}

fn message(world: &World) -> String {
    let run = world.status.run.clone().expect("a run");
    run.message.unwrap_or_default()
}

#[test]
fn what_is_nobodys_is_taken_over_where_both_sides_say_so() {
    let mut world = World::new();
    unmanaged(&mut world);
    assert_eq!(world.deliver(1, &[adopting()]), Step::Succeeded);
    let deployed = &world.functions["checkout-api"];
    let tags = &deployed.latest.tags;
    assert_eq!(owner().refusal(tags), None);
    assert_eq!(tags.get("team").map(String::as_str), Some("shop"));
    assert_eq!(deployed.latest.code_sha256, code("v1"));
    assert_eq!(
        deployed.alias.as_ref().map(|alias| alias.version.clone()),
        Some("8".into())
    );
    let item = &world.status.inventory[0];
    assert!(!item.created, "Sluice did not create it");
    let writes: Vec<_> = world
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
fn what_was_taken_over_goes_back_with_its_tags_code_and_alias() {
    let mut world = World::new();
    unmanaged(&mut world);
    let before = visible(&world);
    world.bad.push(code("v1"));
    assert_eq!(world.deliver(1, &[adopting()]), Step::RolledBack);
    assert_eq!(visible(&world), before);
    assert!(world.status.inventory.is_empty(), "it is unmanaged again");
}

#[test]
fn without_both_it_is_left_alone_and_the_message_names_what_is_missing() {
    let ungranted = Adoption::NotGranted {
        account: "dev".into(),
    };
    for (adoption, parts) in [
        (Adoption::NotAsked, ["set adopt", "mayAdopt"]),
        (ungranted, ["says adopt", "mayAdopt"]),
    ] {
        let mut world = World::new();
        unmanaged(&mut world);
        let before = visible(&world);
        let wanted = DesiredFunction {
            adoption,
            ..want("api", "v1", 128)
        };
        assert_eq!(world.deliver(1, &[wanted]), Step::Failed);
        assert_eq!(visible(&world), before);
        let message = message(&world);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn what_is_somebody_elses_is_not_adopted() {
    let mut world = World::new();
    unmanaged(&mut world);
    let other = Owner {
        name: "payment".into(),
        ..owner()
    };
    let deployed = world.functions.get_mut("checkout-api").expect("there");
    deployed.latest.tags = other.tags();
    let before = visible(&world);
    assert_eq!(world.deliver(1, &[adopting()]), Step::Failed);
    assert_eq!(visible(&world), before);
    assert!(message(&world).contains("belongs to Deployment shop/payment"));
}

#[test]
fn an_alias_that_shows_latest_is_in_the_way() {
    let mut world = World::new();
    unmanaged(&mut world);
    let deployed = world.functions.get_mut("checkout-api").expect("there");
    deployed.alias.as_mut().expect("an alias").version = "$LATEST".into();
    let run = run(1, 1, Goal::Deliver);
    let order = Order::Deliver(desired(1, vec![adopting()]));
    assert_eq!(world.finish(&order, &run), Step::Failed);
    assert!(message(&world).contains("points at $LATEST"));
}

#[test]
fn what_is_invoked_unqualified_is_taken_over_only_where_that_is_accepted() {
    let mut world = World::new();
    unmanaged(&mut world);
    let callers = vec!["the function URL https://x.on.aws/".to_owned()];
    world.unqualified.insert("checkout-api".into(), callers);
    let before = visible(&world);
    assert_eq!(world.deliver(1, &[adopting()]), Step::Failed);
    assert_eq!(visible(&world), before);
    let why = message(&world);
    assert!(
        why.contains("https://x.on.aws/") && why.contains("allowUnqualified"),
        "{why}"
    );

    let accepted = DesiredFunction {
        adoption: Adoption::Granted { unqualified: true },
        ..adopting()
    };
    assert_eq!(world.deliver(2, &[accepted]), Step::Succeeded);
    // Sluice owns the function now, so that unqualified callers no longer matter.
    assert_eq!(world.deliver(3, &[want("api", "v2", 128)]), Step::Succeeded);
}

#[test]
fn a_plan_says_that_it_adopts() {
    let mut world = World::new();
    unmanaged(&mut world);
    world.deliver(1, &[want("worker", "w1", 128)]);
    let order = Order::Plan(desired(2, vec![adopting()]));
    let run = run(2, 1, Goal::Deliver);
    world.pass(&|status, observed, now| decide(&order, &run, status, &owner(), observed, now));
    let plan = world.status.plan.clone().expect("a plan");
    assert_eq!(plan.changes[0].action, "Adopt");
    assert!(
        plan.summary
            .starts_with("api: will adopt and change code, memorySize"),
        "{}",
        plan.summary
    );
}
