//! Metrics of the calls to AWS.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use sluice::ports::{CallErrorKind, cloud::Cloud as _};
use sluice_lab::aws::{Action, Pattern, Rule};

use super::Fixture;

/// The number of calls of this operation with that outcome.
fn counted(fixture: &Fixture, service: &str, operation: &str, outcome: &str) -> u64 {
    let sample = format!(
        "sluice_aws_calls_total{{service=\"{service}\",operation=\"{operation}\",outcome=\"{outcome}\"}} "
    );
    let text = fixture.metrics.encode().expect("text");
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(&sample)?.parse().ok())
        .unwrap_or_default()
}

#[tokio::test]
async fn aws_calls_are_counted_by_outcome() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("counted-").await;
    let name = "counted-api";
    // dev's role is assumed through the hub, and its identity is read.
    assert_eq!(counted(&fixture, "sts", "AssumeRole", "ok"), 1);
    assert_eq!(counted(&fixture, "sts", "GetCallerIdentity", "ok"), 1);

    assert_eq!(functions.get(name, None).await, Ok(None));
    assert_eq!(counted(&fixture, "lambda", "GetFunction", "not_found"), 1);
    let function = fixture.function(&*functions, name).await;
    assert_eq!(counted(&fixture, "lambda", "CreateFunction", "ok"), 1);

    let on = Pattern::operation("lambda", "PublishVersion").about(name);
    let _fault = fixture
        .lab
        .faults()
        .add(Rule::always(on, Action::LoseReply));
    let lost = functions
        .publish(name, &function.code_sha256, &function.revision_id, "")
        .await;
    assert_eq!(
        lost.map_err(|error| error.kind),
        Err(CallErrorKind::Unknown)
    );
    assert_eq!(counted(&fixture, "lambda", "PublishVersion", "unknown"), 1);

    let text = fixture.metrics.encode().expect("text");
    assert!(
        text.contains("sluice_aws_call_duration_seconds_count{service=\"lambda\"}"),
        "{text}"
    );
    assert!(!text.contains(name), "{text}");
}

#[tokio::test]
async fn read_repeated_by_the_sdk_counts_as_one_call() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("countedonce-").await;
    let on = Pattern::operation("lambda", "GetFunction").about("countedonce-api");
    let action = Action::respond(500, "ServiceException", "no");
    let rule = Rule {
        times: Some(2),
        ..Rule::always(on, action)
    };
    let fault = fixture.lab.faults().add(rule);
    assert_eq!(functions.get("countedonce-api", None).await, Ok(None));
    assert_eq!(fault.hits(), 2);
    assert_eq!(counted(&fixture, "lambda", "GetFunction", "not_found"), 1);
}

#[tokio::test]
async fn invocation_past_its_timeout_counts_as_abandoned() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("countedlate-").await;
    let name = "countedlate-api";
    fixture.function(&*functions, name).await;
    let answer = functions
        .invoke(name, "$LATEST", b"{}", Duration::ZERO)
        .await;
    assert_eq!(
        answer.map_err(|error| error.kind),
        Err(CallErrorKind::Unknown)
    );
    assert_eq!(counted(&fixture, "lambda", "Invoke", "abandoned"), 1);
}

#[tokio::test]
async fn s3_calls_are_counted_by_outcome() {
    let fixture = Fixture::new().await;
    let account = fixture.account("dev");
    let store = fixture.store().await;
    store
        .put("counted/object", Bytes::from_static(b"x"), &BTreeMap::new())
        .await
        .expect("stored");
    let missing = store.get("counted/none", None, 10).await;
    assert_eq!(missing, Ok(None));
    let problems = store
        .problems(&account.spec.account_id, super::REGION)
        .await;
    assert_eq!(problems, Ok(Vec::new()));
    fixture.cloud.identity(&account).await.expect("an identity");
    for (operation, outcome) in [
        ("PutObject", "ok"),
        ("GetObject", "not_found"),
        ("HeadBucket", "ok"),
        ("GetBucketVersioning", "ok"),
        ("GetBucketLifecycleConfiguration", "ok"),
    ] {
        assert_eq!(
            counted(&fixture, "s3", operation, outcome),
            1,
            "{operation}"
        );
    }
}
