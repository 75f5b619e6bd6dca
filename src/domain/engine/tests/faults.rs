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
        let mut aws = FakeAws::new();
        if delivered_before {
            aws.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
        }
        let before = visible(&aws);
        if bad {
            aws.bad.push(code("w2"));
        }
        aws.faults = faults;
        let wanted = [want("api", "v2", memory), want("worker", "w2", memory)];
        let step = aws.deliver(2, &wanted);
        match step {
            Step::Succeeded => {
                prop_assert!(!bad);
                for want in &wanted {
                    let deployed = &aws.functions[&want.function_name];
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
                prop_assert!(bad, "only a bad Release is restored:\n{}", aws.log);
                prop_assert_eq!(visible(&aws), before);
            }
            other => prop_assert!(false, "ended in {:?}:\n{}", other, aws.log),
        }
        for deployed in aws.functions.values() {
            let same = |digest: Sha256| deployed.versions.values().filter(|version| version.code_sha256 == digest).count();
            for version in deployed.versions.values() {
                prop_assert_eq!(same(version.code_sha256), 1, "published twice:\n{}", aws.log);
            }
        }
    }
}

#[test]
fn stale_not_found_is_confirmed_before_it_counts() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    let task = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
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
        let mut aws = aws.clone();
        aws.bad.push(code("v2"));
        aws.stale_reads.push(stale.clone());
        assert_eq!(aws.finish(&task, &run), Step::RolledBack, "{stale:?}");
        assert!(aws.stale_reads.is_empty(), "the reply was given");
        assert_eq!(visible(&aws), before, "{stale:?}");
    }
}

/// Delivers a bad v2 while AWS reports twice in a row that the resource does not exist.
fn deliver_with_two_stale_reads(stale: &Read, aws: &FakeAws, want: DesiredFunction) -> FakeAws {
    let mut aws = aws.clone();
    aws.bad.push(code("v2"));
    aws.stale_reads = vec![stale.clone(), stale.clone()];
    let task = Task::Deliver(desired(2, vec![want]));
    let step = aws.finish(&task, &run(2, 1, Goal::Deliver));
    assert_eq!(step, Step::RolledBack, "{stale:?}\n{}", aws.log);
    assert!(aws.stale_reads.is_empty(), "both given\n{}", aws.log);
    aws
}

#[test]
fn stale_not_found_never_deletes_the_live_function() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    // Another Deployment of that name finds the resources of the former one, which no status records.
    aws.status = TargetStatus::default();
    let owned = aws.clone();
    let deployed = aws.functions.get_mut("checkout-api").expect("there");
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
    for (stale, aws, want) in [
        (&function, &owned, want("api", "v2", 128)),
        (&function, &aws, adopted.clone()),
        (&alias, &owned, want("api", "v2", 128)),
        (&alias, &aws, adopted),
    ] {
        let after = deliver_with_two_stale_reads(stale, aws, want);
        assert_eq!(visible(&after), visible(aws), "{stale:?}\n{}", after.log);
    }
}

#[test]
fn deadlines_pause_while_no_process_observes() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let task = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let run = run(2, 1, Goal::Deliver);
    while run_step(&aws.status) != Some(Step::Prepare) {
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
    }
    let fails_after = |aws: &mut FakeAws, hours| {
        aws.now += SignedDuration::from_hours(hours);
        aws.faults = vec![Fault::Throttled];
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        assert_eq!(run_step(&aws.status), Some(Step::Prepare), "{}", aws.log);
    };
    for hours in [48, -24, 48] {
        // The clock steps; then no process runs for a day, and another one takes over.
        fails_after(&mut aws, hours);
        aws.known = Known::default();
        fails_after(&mut aws, 24);
    }
    assert_eq!(aws.finish(&task, &run), Step::Succeeded);
}

/// Time in which AWS is at work counts towards no deadline: neither a call that fails afterwards nor a check
/// that runs then is late.
#[test]
fn deadline_of_a_check_before_traffic_starts_with_the_check() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    let task = Task::Deliver(desired(2, vec![want("api", "v2", 128)]));
    let run = run(2, 1, Goal::Deliver);
    aws.inconclusive.push(code("v2"));
    let pass = |aws: &mut FakeAws| {
        let outcome =
            aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
        outcome.map(|outcome| outcome.reason())
    };
    while pass(&mut aws) != Some(Reason::WaitingForAws) {}
    let began = aws.now;
    while aws.now < began + SignedDuration::from_hours(1) {
        let deployed = aws.functions.get_mut("checkout-api").expect("there");
        deployed.settles_in = 2;
        assert_eq!(pass(&mut aws), Some(Reason::WaitingForAws), "{}", aws.log);
    }
    aws.faults = vec![Fault::Throttled];
    let waits = (0..100).find(|_| pass(&mut aws) == Some(Reason::WaitingForChecks));
    assert!(waits.is_some(), "{}", aws.log);
    let asked = aws.now;
    for _ in 0..1_000 {
        if run_step(&aws.status) == Some(Step::Prepare) {
            pass(&mut aws);
        }
    }
    let waited = aws.now.duration_since(asked);
    assert!(
        waited > SignedDuration::from_mins(9) && waited < SignedDuration::from_mins(11),
        "{waited}"
    );
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    let message = aws.status.run.and_then(|run| run.message);
    let message = message.unwrap_or_default();
    assert!(message.contains("still inconclusive"), "{message}");
}
