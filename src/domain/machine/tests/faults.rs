//! However calls fail and the controller dies.

use proptest::prelude::*;

use super::{
    super::{next::wait_for, *},
    world::*,
};
use crate::domain::{
    digest::Sha256,
    failure::{CallError, CallErrorKind},
};

#[test]
fn what_is_half_done_is_tried_again_soon_when_a_session_has_run_out() {
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

    /// However calls fail and the controller dies: the run ends, all of it serves or what stood
    /// before does, and no version is published twice.
    #[test]
    fn every_run_ends_in_one_of_two_states(
        delivered_before in any::<bool>(),
        bad in any::<bool>(),
        memory in prop_oneof![Just(128), Just(256)],
        faults in prop::collection::vec(fault(), 0..40),
    ) {
        let mut world = World::new();
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
                prop_assert!(bad, "only a bad release goes back:\n{}", world.log);
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
fn an_old_answer_that_there_is_nothing_is_not_believed() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&world);
    let order = Order::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let run = run(2, 1, Goal::Deliver);
    for old in [
        Read::Function {
            name: "checkout-api".into(),
        },
        Read::Alias {
            name: "checkout-api".into(),
            alias: "live".into(),
        },
    ] {
        let mut world = world.clone();
        world.bad.push(code("v2"));
        world.old_answers.push(old.clone());
        assert_eq!(world.finish(&order, &run), Step::RolledBack, "{old:?}");
        assert!(world.old_answers.is_empty(), "it was given");
        assert_eq!(visible(&world), before, "{old:?}");
    }
}
