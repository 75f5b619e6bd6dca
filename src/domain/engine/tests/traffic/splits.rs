//! Functions whose traffic Lambda does not split between two versions, or splits by itself.

use super::*;

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
