//! Drift checks find external changes.

use std::collections::BTreeMap;

use super::{super::*, fake_aws::*};
use crate::{
    api::v1alpha1::{Difference, TargetStatus, condition::DRIFTED},
    domain::{
        failure::{CallError, CallErrorKind},
        outcome::find,
    },
};

/// Checks the live Release for drift, and returns the number of reads.
fn check(aws: &mut FakeAws, revision: i64, functions: &[DesiredFunction]) -> usize {
    let wanted = desired(revision, functions.to_vec());
    check_release(aws, &wanted)
}

/// The same for a Release.
pub(super) fn check_release(aws: &mut FakeAws, wanted: &Desired) -> usize {
    let revision = wanted.release.revision;
    // Drift checks remember nothing of runs.
    aws.known = Known::default();
    let reads = std::cell::Cell::new(0);
    let run = run(revision, 1, Goal::Deliver);
    let decide = |status: &TargetStatus, observed: &Observation, now| {
        let check = DriftCheck {
            asked: None,
            generation: Some(1),
            now,
        };
        let decision = decide_drift(wanted, &run, status, &owner(), observed, check);
        if let Decision::Observe(asked) = &decision {
            reads.set(reads.get() + asked.len());
        }
        decision
    };
    aws.pass(&decide).expect("an outcome");
    reads.get()
}

fn drifted(aws: &FakeAws) -> (String, String, String) {
    let found = find(&aws.status.conditions, DRIFTED).expect("a condition");
    (
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    )
}

/// The differences.
pub(super) fn listed(aws: &FakeAws) -> Vec<String> {
    let drift = aws.status.drift.clone().unwrap_or_default();
    let one = |it: &Difference| {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        format!(
            "{} {}: {} → {}",
            it.resource,
            it.field.as_deref().unwrap_or("-"),
            text(&it.expected),
            text(&it.found)
        )
    };
    drift.differences.iter().map(one).collect()
}

fn deployed(aws: &mut FakeAws) -> &mut Deployed {
    aws.functions.get_mut("checkout-api").expect("delivered")
}

#[test]
fn in_sync_is_recorded_once_and_costs_two_reads() {
    let mut aws = FakeAws::new();
    let wanted = [want("api", "v1", 128)];
    aws.deliver(1, &wanted);
    assert_eq!(check(&mut aws, 1, &wanted), 2);
    let (status, reason, message) = drifted(&aws);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InSync"));
    assert_eq!(message, "AWS matches what r1 left");
    let records = aws.records;
    check(&mut aws, 1, &wanted);
    assert_eq!(aws.records, records, "the result is unchanged");
}

#[test]
fn drift_lists_every_change_and_no_secret() {
    let mut aws = FakeAws::new();
    let mut one = want("api", "v1", 128);
    one.configuration.environment = [("TOKEN", "hunter2")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let wanted = [one];
    aws.deliver(1, &wanted);
    let two = want("api", "v2", 128);
    aws.deliver(2, &[two]);
    aws.deliver(3, &wanted);
    let at = "2026-11-26T14:22:05.123Z".parse().expect("a time");
    let function = deployed(&mut aws);
    function.latest.code_sha256 = code("theirs");
    function.latest.configuration.memory_size = 512;
    function.latest.configuration.environment = [("TOKEN".to_owned(), "hunter3".to_owned())].into();
    function.latest.last_modified = Some(at);
    function
        .latest
        .tags
        .insert("sluice.dev/name".into(), "x".into());
    let alias = function.alias.as_mut().expect("an alias");
    alias.version = "1".into();
    alias.weights = BTreeMap::from([("2".into(), 0.1)]);
    check(&mut aws, 3, &wanted);
    assert_eq!(
        listed(&aws),
        [
            format!(
                "checkout-api code: {} → {}",
                code("v1").short(),
                code("theirs").short()
            ),
            "checkout-api memorySize: 128 → 512".to_owned(),
            "checkout-api environment.TOKEN: a value → another value".to_owned(),
            "checkout-api tags.sluice.dev/name: checkout → x".to_owned(),
            "checkout-api:live version: 3 → 1".to_owned(),
            "checkout-api:live weights: - → 10 % to 2".to_owned(),
        ]
    );
    let (status, reason, message) = drifted(&aws);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Drifted"));
    assert!(
        message.contains("(changed at 2026-11-26T14:22:05Z)") && message.contains("3 more"),
        "{message}"
    );
    assert!(
        message.contains("can't be corrected") && message.contains("shop/x"),
        "another Deployment owns it now: {message}"
    );
    let all = serde_json::to_string(&aws.status).expect("JSON");
    assert!(!all.contains("hunter"), "{all}");
}

#[test]
fn drift_lists_deleted_resources() {
    let mut aws = FakeAws::new();
    let wanted = [want("api", "v1", 128)];
    aws.deliver(1, &wanted);
    deployed(&mut aws).alias = None;
    check(&mut aws, 1, &wanted);
    assert_eq!(listed(&aws), ["checkout-api:live -: there → gone"]);
    assert_eq!(drifted(&aws).2, "checkout-api:live is gone");
    aws.functions.clear();
    check(&mut aws, 1, &wanted);
    assert_eq!(listed(&aws), ["checkout-api -: there → gone"]);
}

#[test]
fn correction_removes_drift() {
    let mut aws = FakeAws::new();
    let wanted = [want("api", "v1", 128)];
    aws.deliver(1, &wanted);
    let before = visible(&aws);
    deployed(&mut aws).latest.configuration.timeout = 9;
    check(&mut aws, 1, &wanted);
    let since = aws.status.drift.clone().and_then(|drift| drift.since);
    aws.tick(std::time::Duration::from_mins(1));
    check(&mut aws, 1, &wanted);
    let drift = aws.status.drift.clone().expect("drift");
    assert_eq!(
        drift.since, since,
        "the time at which the same differences were first observed"
    );
    assert_eq!(drift.obstacle, None);

    let task = Task::Deliver(desired(1, wanted.to_vec()));
    let again = Run {
        correction: 1,
        immediate: true,
        ..run(1, 2, Goal::Deliver)
    };
    aws.known = Known::default();
    assert_eq!(aws.finish(&task, &again), Step::Succeeded);
    assert_eq!(visible(&aws), before);
    assert_eq!(drifted(&aws).0, "False");
    assert!(listed(&aws).is_empty());
    assert_eq!(aws.functions["checkout-api"].versions.len(), 1);
}

#[test]
fn externally_modified_files_are_listed_and_corrected() {
    let mut aws = FakeAws::new();
    let files = [("app.js", "a"), ("gone.svg", "g"), ("index.html", "i")];
    let mut wanted = desired(1, vec![want("api", "v1", 128)]);
    wanted.components.push(site(&mut aws, "archive", &files));
    assert_eq!(aws.deliver_as(wanted.clone()), Step::Succeeded);
    assert_eq!(check_release(&mut aws, &wanted), 4, "two for the files");
    assert_eq!(drifted(&aws).0, "False");

    aws.bucket.foreign("docs/app.js", "theirs");
    aws.bucket.foreign("docs/other.txt", "theirs");
    aws.bucket.objects.remove("docs/gone.svg");
    check_release(&mut aws, &wanted);
    let listed = listed(&aws);
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(
        listed[0].ends_with("docs/app.js content: the delivered content → other content"),
        "{listed:?}"
    );
    assert!(
        listed[1].ends_with("docs/gone.svg -: there → gone"),
        "{listed:?}"
    );

    let again = Run {
        correction: 1,
        ..run(1, 2, Goal::Deliver)
    };
    aws.known = Known::default();
    let task = Task::Deliver(wanted.clone());
    assert_eq!(aws.finish(&task, &again), Step::Succeeded);
    let mut served = files.to_vec();
    served.push(("other.txt", "theirs"));
    served.sort_unstable();
    assert_eq!(aws.bucket.served(), served);
    check_release(&mut aws, &wanted);
    assert_eq!(drifted(&aws).0, "False");
}

#[test]
fn inconclusive_drift_check_is_not_in_sync() {
    let mut aws = FakeAws::new();
    let wanted = [want("api", "v1", 128)];
    aws.deliver(1, &wanted);
    deployed(&mut aws).latest.configuration.timeout = 9;
    check(&mut aws, 1, &wanted);
    let mut observed = Observation::default();
    let denied = CallError::new(
        "lambda:GetFunction",
        "checkout-api",
        CallErrorKind::Denied,
        "no",
    );
    observed.errors.push(("api".into(), denied));
    let check = DriftCheck {
        asked: Some("now"),
        generation: Some(1),
        now: aws.now,
    };
    let (wanted, run) = (desired(1, wanted.to_vec()), run(1, 1, Goal::Deliver));
    let Decision::Record(status) =
        decide_drift(&wanted, &run, &aws.status, &owner(), &observed, check)
    else {
        panic!("nothing is recorded");
    };
    let found = find(&status.conditions, DRIFTED).expect("a condition");
    assert_eq!(
        (found.status.as_str(), found.reason.as_str()),
        ("Unknown", "AccessDenied")
    );
    let drift = status.drift.expect("the former result");
    assert_eq!(drift.differences.len(), 1);
    assert_eq!(drift.handled_check.as_deref(), Some("now"));
}

#[test]
fn drift_check_after_a_restore_uses_the_recorded_version() {
    let mut aws = FakeAws::new();
    let wanted = [want("api", "v1", 128)];
    aws.deliver(1, &wanted);
    aws.bad.push(code("v2"));
    assert_eq!(aws.deliver(2, &[want("api", "v2", 128)]), Step::RolledBack);
    check(&mut aws, 1, &wanted);
    assert_eq!(drifted(&aws).0, "False");
    deployed(&mut aws).alias.as_mut().expect("an alias").version = "2".into();
    check(&mut aws, 1, &wanted);
    assert_eq!(listed(&aws), ["checkout-api:live version: 1 → 2"]);
}
