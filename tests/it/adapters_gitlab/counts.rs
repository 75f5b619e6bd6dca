//! Metrics of the requests to GitLab.

use sluice::api::v1alpha1::RefType;
use sluice_lab::gitlab::{FaultAction, FaultRule, Transport};

use super::{Lab, main_branch, package};

/// The number of requests of this operation with that outcome.
fn counted(lab: &Lab, operation: &str, outcome: &str) -> u64 {
    let sample =
        format!("sluice_gitlab_requests_total{{operation=\"{operation}\",outcome=\"{outcome}\"}} ");
    let text = lab.metrics.encode().unwrap();
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(&sample)?.parse().ok())
        .unwrap_or_default()
}

#[tokio::test]
async fn gitlab_requests_are_counted_by_outcome() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let id = lab.project_id();
    for _ in 0..2 {
        client.pipelines(id, &main_branch(), 0).await.unwrap();
    }
    let listed = "GET /projects/:id/pipelines";
    assert_eq!(counted(&lab, listed, "ok"), 1);
    assert_eq!(counted(&lab, listed, "not_modified"), 1);

    assert_eq!(
        client
            .git_ref(id, RefType::Branch, "no-such")
            .await
            .unwrap(),
        None
    );
    let branch = "GET /projects/:id/repository/branches/:branch";
    assert_eq!(counted(&lab, branch, "not_found"), 1);

    lab.gitlab.move_project(lab.project, "shop/till");
    client.project("shop/checkout").await.unwrap();
    assert_eq!(counted(&lab, "GET /projects/:id", "redirected"), 1);
    assert_eq!(counted(&lab, "GET /projects/:id", "ok"), 1);

    let fault = lab
        .gitlab
        .faults()
        .add(FaultRule::on("/pipelines", FaultAction::Drop));
    client.pipelines(id, &main_branch(), 0).await.unwrap_err();
    fault.remove();
    assert_eq!(counted(&lab, listed, "unavailable"), 1);
    assert_eq!(counted(&lab, listed, "ok"), 1);

    let text = lab.metrics.encode().unwrap();
    let durations = "sluice_gitlab_request_duration_seconds_count 6";
    assert!(text.lines().any(|line| line == durations), "{text}");
    assert!(!text.contains("checkout"), "{text}");
}

#[tokio::test]
async fn download_is_counted_at_gitlab_only() {
    let lab = Lab::start().await;
    let pipeline = lab.run(vec![package()]);
    let job = lab.job_id(pipeline, "package");
    let client = lab.client().await;
    let operation = "GET /projects/:id/jobs/:id/artifacts";
    for (transport, outcome) in [(Transport::Disk, "ok"), (Transport::Redirect, "redirected")] {
        lab.gitlab.set_transport(transport);
        let download = client.artifact(lab.project_id(), job, None).await;
        assert!(download.is_ok());
        assert_eq!(counted(&lab, operation, outcome), 1, "{transport:?}");
    }
    let missing = client.artifact(lab.project_id(), job + 99, None).await;
    assert!(missing.is_err());
    assert_eq!(counted(&lab, operation, "not_found"), 1);
}
