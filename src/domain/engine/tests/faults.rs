//! Failed calls and controller crashes.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::{
    super::{poll::wait_for, *},
    fake_aws::*,
};
use crate::domain::{
    digest::Sha256,
    failure::{CallError, CallErrorKind},
    ownership::Adoption,
    reason::Reason,
};

#[test]
fn expired_session_during_a_run_is_retried_soon() {
    let failed = |kind| {
        wait_for(&CallError::new(
            "lambda:UpdateAlias",
            "api:live",
            kind,
            "no",
        ))
    };
    for kind in [CallErrorKind::Unauthenticated, CallErrorKind::AlreadyExists] {
        let outcome = failed(kind.clone());
        assert!(
            matches!(outcome, Outcome::Transient { after: None, .. }),
            "{kind:?}: {outcome:?}"
        );
    }
    let denied = failed(CallErrorKind::Denied);
    assert!(matches!(denied, Outcome::Stalled { .. }), "{denied:?}");
}

pub fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Throttled),
        2 => Just(Fault::LostReply),
        2 => Just(Fault::CrashBefore),
        2 => Just(Fault::CrashAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whichever calls fail and whenever the controller crashes: the run ends, either the whole Release or
    /// the former state serves, and no version is published twice.
    #[test]
    fn every_run_ends_in_one_of_two_states(
        delivered_before in any::<bool>(),
        bad in any::<bool>(),
        memory in prop_oneof![Just(128), Just(256)],
        faults in prop::collection::vec(fault(), 0..40),
    ) {
        let mut world = FakeAws::new();
        if delivered_before {
            world.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
        }
        let before = visible(&world);
        if bad {
            world.bad.push(code("w2"));
        }
        world.faults = faults;
        let wanted = [want("api", "v2", memory), want("worker", "w2", memory)];
        let step = world.deliver(2, &wanted);
        match step {
            Step::Succeeded => {
                prop_assert!(!bad);
                for want in &wanted {
                    let deployed = &world.functions[&want.function_name];
                    let alias = deployed.alias.as_ref().expect("an alias");
                    let version: u32 = alias.version.parse().expect("a number");
                    prop_assert_eq!(deployed.versions[&version].code_sha256, want.code_sha256);
                    prop_assert_eq!(deployed.versions[&version].configuration.memory_size, memory);
                    prop_assert_eq!(&deployed.latest.configuration, &want.configuration);
                    prop_assert_eq!(deployed.latest.code_sha256, want.code_sha256);
                    prop_assert!(alias.weights.is_empty());
                }
            }
            Step::RolledBack => {
                prop_assert!(bad, "only a bad Release is restored:\n{}", world.log);
                prop_assert_eq!(visible(&world), before);
            }
            other => prop_assert!(false, "ended in {:?}:\n{}", other, world.log),
        }
        for deployed in world.functions.values() {
            let same = |digest: Sha256| deployed.versions.values().filter(|version| version.code_sha256 == digest).count();
            for version in deployed.versions.values() {
                prop_assert_eq!(same(version.code_sha256), 1, "published twice:\n{}", world.log);
            }
        }
    }
}

#[test]
fn stale_not_found_is_confirmed_before_it_counts() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&world);
    let order = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let run = run(2, 1, Goal::Deliver);
    for stale in [
        function_read(lambda::Read::Function {
            name: "checkout-api".into(),
        }),
        function_read(lambda::Read::Alias {
            name: "checkout-api".into(),
            alias: "live".into(),
        }),
    ] {
        let mut world = world.clone();
        world.bad.push(code("v2"));
        world.stale_reads.push(stale.clone());
        assert_eq!(world.finish(&order, &run), Step::RolledBack, "{stale:?}");
        assert!(world.stale_reads.is_empty(), "the reply was given");
        assert_eq!(visible(&world), before, "{stale:?}");
    }
}

/// Delivers a bad v2 while AWS reports twice in a row that the resource does not exist.
fn deliver_with_two_stale_reads(stale: &Read, world: &FakeAws, want: DesiredFunction) -> FakeAws {
    let mut world = world.clone();
    world.bad.push(code("v2"));
    world.stale_reads = vec![stale.clone(), stale.clone()];
    let order = Task::Deliver(desired(2, vec![want]));
    let step = world.finish(&order, &run(2, 1, Goal::Deliver));
    assert_eq!(step, Step::RolledBack, "{stale:?}\n{}", world.log);
    assert!(world.stale_reads.is_empty(), "both given\n{}", world.log);
    world
}

#[test]
fn stale_not_found_never_deletes_the_live_function() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    // Another Deployment of that name finds the resources of the former one, which no status records.
    world.status = TargetStatus::default();
    let owned = world.clone();
    let deployed = world.functions.get_mut("checkout-api").expect("there");
    deployed.latest.tags.clear();
    let adopted = DesiredFunction {
        adoption: Adoption::Granted { unqualified: true },
        ..want("api", "v2", 128)
    };
    let function = function_read(lambda::Read::Function {
        name: "checkout-api".into(),
    });
    let alias = function_read(lambda::Read::Alias {
        name: "checkout-api".into(),
        alias: "live".into(),
    });
    for (stale, world, want) in [
        (&function, &owned, want("api", "v2", 128)),
        (&function, &world, adopted.clone()),
        (&alias, &owned, want("api", "v2", 128)),
        (&alias, &world, adopted),
    ] {
        let after = deliver_with_two_stale_reads(stale, world, want);
        assert_eq!(visible(&after), visible(world), "{stale:?}\n{}", after.log);
    }
}

#[test]
fn deadlines_pause_while_no_process_observes() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let order = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let run = run(2, 1, Goal::Deliver);
    while run_step(&world.status) != Some(Step::Prepare) {
        world.pass(&|status, observed, now| decide(&order, &run, status, &owner(), observed, now));
    }
    let fails_after = |world: &mut FakeAws, hours| {
        world.now += SignedDuration::from_hours(hours);
        world.faults = vec![Fault::Throttled];
        world.pass(&|status, observed, now| decide(&order, &run, status, &owner(), observed, now));
        assert_eq!(
            run_step(&world.status),
            Some(Step::Prepare),
            "{}",
            world.log
        );
    };
    for hours in [48, -24, 48] {
        // The clock steps; then no process runs for a day, and another one takes over.
        fails_after(&mut world, hours);
        world.known = Known::default();
        fails_after(&mut world, 24);
    }
    assert_eq!(world.finish(&order, &run), Step::Succeeded);
}

/// Time in which AWS is at work counts towards no deadline: neither a call that fails afterwards nor a check
/// that runs then is late.
#[test]
fn deadline_of_a_check_before_traffic_starts_with_the_check() {
    let mut world = FakeAws::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&world);
    let order = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let run = run(2, 1, Goal::Deliver);
    world.inconclusive.push(code("v2"));
    let pass = |world: &mut FakeAws| {
        let outcome = world
            .pass(&|status, observed, now| decide(&order, &run, status, &owner(), observed, now));
        outcome.map(|outcome| outcome.reason())
    };
    while pass(&mut world) != Some(Reason::WaitingForAws) {}
    let began = world.now;
    while world.now < began + SignedDuration::from_hours(1) {
        let deployed = world.functions.get_mut("checkout-api").expect("there");
        deployed.settles_in = 2;
        assert_eq!(
            pass(&mut world),
            Some(Reason::WaitingForAws),
            "{}",
            world.log
        );
    }
    world.faults = vec![Fault::Throttled];
    let waits = (0..100).find(|_| pass(&mut world) == Some(Reason::WaitingForChecks));
    assert!(waits.is_some(), "{}", world.log);
    let asked = world.now;
    for _ in 0..1_000 {
        if run_step(&world.status) == Some(Step::Prepare) {
            pass(&mut world);
        }
    }
    let waited = world.now.duration_since(asked);
    assert!(
        waited > SignedDuration::from_mins(9) && waited < SignedDuration::from_mins(11),
        "{waited}"
    );
    assert_eq!(world.finish(&order, &run), Step::RolledBack);
    assert_eq!(visible(&world), before);
    let message = world.status.run.and_then(|run| run.message);
    let message = message.unwrap_or_default();
    assert!(message.contains("still inconclusive"), "{message}");
}
