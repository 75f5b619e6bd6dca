#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

use std::collections::BTreeMap;

use super::*;
use crate::{controllers::deployment::artifacts::Fetching, ports::validators::Validator};

fn deployment(annotations: &[(&str, &str)]) -> Deployment {
    let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
    serde_json::from_value(serde_json::json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "u", "annotations": annotations},
        "spec": {
            "source": {"connection": "gitlab", "project": "shop/checkout", "ref": "main"},
            "artifacts": [{"name": "api", "job": {"name": "package"}}],
            "components": [],
            "stages": [],
        },
    }))
    .unwrap()
}

/// Sources that were polled for this Deployment just now.
fn asked(deployment: &Deployment) -> Sources {
    let sources = Sources::default();
    let mut state = sources.state(deployment, &[]);
    state.next_poll = Some(Instant::now() + Duration::from_hours(1));
    sources.keep(deployment, state);
    sources
}

#[test]
fn new_retry_polls_at_once_and_retries_failures_exactly_once() {
    let sources = asked(&deployment(&[]));
    let retried = deployment(&[(annotation::RETRY, "1")]);
    let mut state = sources.state(&retried, &[]);
    assert!(state.retry.take_due());
    assert_eq!(state.next_poll, None);

    // The state once the transfers know of the retry.
    state.next_poll = Some(Instant::now() + Duration::from_hours(1));
    sources.keep(&retried, state);
    let mut state = sources.state(&retried, &[]);
    assert!(!state.retry.take_due());
    assert!(state.next_poll.is_some());
    assert!(
        sources
            .state(&deployment(&[(annotation::RETRY, "2")]), &[])
            .retry
            .take_due()
    );
}

#[test]
fn retry_survives_a_simultaneous_reconcile_command() {
    let sources = asked(&deployment(&[]));
    let both = deployment(&[(annotation::RETRY, "1"), (annotation::RECONCILE, "1")]);
    let state = sources.state(&both, &[]);
    assert!(state.retry.clone().take_due());
    sources.keep(&both, state);
    let again = deployment(&[(annotation::RETRY, "1"), (annotation::RECONCILE, "2")]);
    assert!(sources.state(&again, &[]).retry.take_due());
}

#[test]
fn reconcile_or_removed_retry_does_not_retry_failed_transfers() {
    let sources = asked(&deployment(&[(annotation::RETRY, "1")]));
    assert!(!sources.state(&deployment(&[]), &[]).retry.take_due());
    let reconcile = deployment(&[(annotation::RETRY, "1"), (annotation::RECONCILE, "1")]);
    let mut state = sources.state(&reconcile, &[]);
    assert!(!state.retry.take_due());
    assert_eq!(state.next_poll, None);
}

#[test]
fn retry_applies_to_the_release_unless_a_transfer_failed() {
    let plain = deployment(&[]);
    let sources = asked(&plain);
    let retried = deployment(&[(annotation::RETRY, "1")]);
    sources.keep(&retried, sources.state(&retried, &[]));
    assert!(!sources.retry_was_for_artifacts(&retried));

    let mut state = sources.state(&retried, &[]);
    state.fetching = Fetching::failed();
    sources.keep(&retried, state);
    assert!(!sources.retry_was_for_artifacts(&retried), "an older retry");
    let again = deployment(&[(annotation::RETRY, "2")]);
    sources.keep(&again, sources.state(&again, &[]));
    assert!(sources.retry_was_for_artifacts(&again));

    // The retry stays with the artifacts while the annotation is there.
    let mut state = sources.state(&again, &[]);
    state.fetching = Fetching::default();
    sources.keep(&again, state);
    assert!(sources.retry_was_for_artifacts(&again));
    assert!(
        !sources.retry_was_for_artifacts(&retried),
        "a different retry"
    );
}

fn blocked(outcome: Outcome, is_new: bool) -> Source {
    Source::Blocked(Unresolved { outcome, is_new })
}

#[test]
fn problem_of_a_released_pipeline_only_affects_source_ready() {
    let done = || Outcome::Done {
        reason: Reason::Delivered,
        message: "r1 serves".to_owned(),
    };
    let of = |source: &Source| {
        let mut status = DeploymentStatus::default();
        source.write_condition(&mut status, Some(1));
        let found = outcome::find(&status.conditions, condition::SOURCE_READY);
        found.map(|found| format!("{} {}", found.status, found.reason))
    };
    let stalled = |reason| Outcome::stalled(reason, "why");
    for reason in HARMLESS_ONCE_RELEASED {
        let past = blocked(stalled(reason), false);
        assert!(past.problem().is_none());
        let outcome = past.conclude(done(), false);
        assert!(matches!(outcome, Outcome::Done { .. }));
        assert_eq!(
            outcome.message(),
            format!("r1 serves; nothing newer can be released ({reason})")
        );
        assert_eq!(of(&past), Some(format!("False {reason}")));
        let new = blocked(stalled(reason), true);
        assert!(new.problem().is_some());
        assert_eq!(new.conclude(done(), false).reason(), reason);
    }
    // An expired token is a problem of the Deployment, even after a Release.
    let token = blocked(stalled(Reason::InvalidCredentials), false);
    assert!(token.problem().is_some());
    let waits = Outcome::Waiting {
        reason: Reason::WaitingForPipeline,
        message: "why".to_owned(),
        after: Duration::from_mins(1),
    };
    assert_eq!(
        of(&blocked(waits, false)).as_deref(),
        Some("True WaitingForPipeline")
    );
    let unavailable = Outcome::Transient {
        reason: Reason::Unavailable,
        message: "why".to_owned(),
        after: None,
    };
    assert_eq!(
        of(&blocked(unavailable, false)).as_deref(),
        Some("Unknown Unavailable")
    );
    assert_eq!(of(&Source::Idle), None);
}

#[test]
fn deployments_of_the_same_ref_poll_at_the_same_time() {
    let sources = Sources::default();
    let of = |project: &str, namespace: &str| {
        let mut one = deployment(&[]);
        one.spec.source.project = project.to_owned();
        one.metadata.namespace = Some(namespace.to_owned());
        one
    };
    let minute = Duration::from_mins(1);
    let first = sources.next_round(&of("shop/checkout", "shop"), minute);
    let joins = sources.next_round(&of("shop/checkout", "shop"), minute / 2);
    assert_eq!(joins, first);
    assert_ne!(
        sources.next_round(&of("shop/billing", "shop"), minute),
        first
    );
    assert_ne!(
        sources.next_round(&of("shop/checkout", "other"), minute),
        first
    );
}

/// Sources that have polled for this Deployment with this result.
fn polled(deployment: &Deployment, source: &Source, read: Validators) -> Sources {
    let sources = Sources::default();
    let mut state = sources.state(deployment, &[]);
    state.is_settled = source.is_settled();
    state.next_poll = Some(sources.next_round(deployment, Duration::from_mins(1)));
    state.read = read;
    sources.keep(deployment, state);
    sources
}

fn waits(reason: Reason) -> Source {
    let waiting = Outcome::Waiting {
        reason,
        message: "why".to_owned(),
        after: Duration::from_mins(1),
    };
    blocked(waiting, false)
}

fn waits_for_pipeline() -> Source {
    waits(Reason::WaitingForPipeline)
}

async fn read(etag: Option<&str>) -> Validators {
    let validator = etag.map(|etag| Validator {
        operation: "GET /projects/:id/pipelines",
        value: etag.to_owned(),
    });
    Validators::of(async { Validators::note("/pipelines", validator) })
        .await
        .1
}

#[tokio::test]
async fn settled_deployment_with_validators_rests_instead_of_polling() {
    let done = || Outcome::done(Reason::Delivered, "r1 serves");
    let gone = || Outcome::stalled(Reason::ProjectNotFound, "why");
    let rests = async |source: Source, etag, ending| {
        let deployment = deployment(&[]);
        let sources = polled(&deployment, &source, read(etag).await);
        let ended = sources.until_next_poll(&deployment, ending);
        let rests = sources.known().rounds.earliest().is_some();
        assert_eq!(ended.recheck >= Some(MAX_REST), rests);
        rests
    };
    assert!(rests(waits_for_pipeline(), Some("1"), done()).await);
    assert!(!rests(waits_for_pipeline(), Some("1"), gone()).await);
    assert!(!rests(waits_for_pipeline(), None, done()).await, "no ETag");
    assert!(!rests(waits(Reason::Fetching), Some("1"), done()).await);
    assert!(!rests(blocked(gone(), false), Some("1"), done()).await);
    assert!(!rests(Source::Idle, Some("1"), done()).await);
}

#[tokio::test]
async fn rest_ends_with_news_own_poll_suspension_or_deletion() {
    let mut deployment = deployment(&[]);
    let done = || Outcome::done(Reason::Delivered, "r1 serves");
    let sources = polled(&deployment, &waits_for_pipeline(), read(Some("1")).await);
    let rest = |deployment: &Deployment| sources.until_next_poll(deployment, done());
    let due = || {
        let soon = Instant::now() + Duration::from_mins(2);
        sources.known().rounds.due(soon)
    };
    rest(&deployment);
    let source = due()[0].source;
    let before = sources.known().states["u"].next_poll;
    assert!(
        sources
            .end_poll(source, Some(Duration::from_mins(1)))
            .is_empty()
    );
    assert!(sources.known().states["u"].next_poll > before, "postponed");
    assert_eq!(due().len(), 1, "due again");
    assert_eq!(sources.end_poll(source, None)[0].name, "checkout");
    assert!(due().is_empty());

    rest(&deployment);
    sources.state(&deployment, &[]);
    assert!(due().is_empty(), "it polls for itself");
    rest(&deployment);
    deployment.spec.suspend = true;
    rest(&deployment);
    assert!(due().is_empty(), "it is suspended");
    deployment.spec.suspend = false;
    rest(&deployment);
    sources.forget(&deployment);
    assert!(due().is_empty(), "it is deleted");
}
