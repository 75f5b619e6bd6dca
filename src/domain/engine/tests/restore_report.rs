//! The status reports the result of a restore.

use super::{super::*, fake_aws::*};
use crate::{api::v1alpha1::RunStatus, domain::workload::lambda::configuration_digest};

fn both(
    aws: &mut FakeAws,
    revision: i64,
    function: DesiredFunction,
    files: &[(&str, &str)],
) -> Step {
    let mut desired = desired(revision, vec![function]);
    let site = site(aws, &format!("archive-{revision}"), files);
    desired.components.push(site);
    aws.deliver_as(desired)
}

fn ended(aws: &FakeAws) -> RunStatus {
    aws.status.run.clone().expect("a run")
}

fn restored(aws: &FakeAws) -> Vec<String> {
    let restored = ended(aws).restored.into_iter();
    restored
        .map(|it| format!("{}: {}", it.resource, it.state))
        .collect()
}

#[test]
fn restore_reports_restored_resources_and_remaining_differences() {
    let mut aws = FakeAws::new();
    let first = want("api", "v1", 128);
    both(&mut aws, 1, first, &[("app.js", "a"), ("gone.svg", "g")]);
    let before = visible(&aws);
    let second = want("api", "v2", 256);
    let files = [("app.js", "b"), ("new.css", "n")];
    assert_eq!(both(&mut aws, 2, second, &files), Step::Succeeded);

    // AWS refuses every change.
    aws.faults = vec![Fault::Throttled; 3_000];
    assert_eq!(aws.restore(2), Step::RollbackFailed);
    let failed = ended(&aws);
    let listed: Vec<String> = failed
        .differences
        .iter()
        .map(|it| {
            let [field, expected, found] =
                [&it.field, &it.expected, &it.found].map(|it| it.as_deref().unwrap_or("-"));
            format!("{} {field}: {expected}, {found}", it.resource)
        })
        .collect();
    let [v1, v2] = ["v1", "v2"].map(|name| code(name).short());
    let location = "s3://shop-site/docs/";
    assert_eq!(
        listed,
        [
            "checkout-api:live traffic: version 1, version 2".to_owned(),
            format!("checkout-api code: {v1}, {v2}"),
            "checkout-api memorySize: 128, 256".to_owned(),
            format!("{location}app.js content: its former content, other content"),
            format!("{location}new.css -: -, there"),
        ]
    );
    let message = failed.message.unwrap_or_default();
    for part in [
        "slow down",
        "Not restored: traffic of checkout-api:live is version 2, not version 1",
        "new.css is still there",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(failed.restored.is_empty());

    // Another attempt, once AWS accepts changes.
    aws.faults.clear();
    aws.known = Known::default();
    let again = run(2, 2, Goal::Restore);
    let task = Task::Restore("the restore was requested".into());
    assert_eq!(aws.finish(&task, &again), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    assert!(ended(&aws).differences.is_empty());
    let configuration = configuration_digest("x86_64", &configuration(128)).short();
    assert_eq!(
        restored(&aws),
        [
            "checkout-api:live: version 1".to_owned(),
            format!("checkout-api: code {v1}, configuration {configuration}"),
            format!("{location}: 2 files as before, 1 new ones absent"),
        ]
    );
}

#[test]
fn restore_reports_deleted_functions() {
    let mut aws = FakeAws::new();
    aws.bad.push(code("v1"));
    let step = aws.deliver(1, &[want("api", "v1", 128)]);
    assert_eq!(step, Step::RolledBack);
    assert_eq!(restored(&aws), ["checkout-api: absent, as before"]);
}
