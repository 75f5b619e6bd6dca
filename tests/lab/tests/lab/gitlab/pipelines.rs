//! Pipelines: their status follows from their jobs, and how the API shows them.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_lab::gitlab::{
    JobEnd, JobSpec, PipelineId, Status, Strategy, TestSuite, model::composite,
};

use super::{Lab, builds, reply};

#[test]
fn a_pipelines_status_follows_from_its_jobs() {
    use Status::{Canceled, Created, Failed, Manual, Pending, Running, Skipped, Success};
    let table: &[(&[(Status, bool)], Status)] = &[
        (&[(Success, false), (Success, false)], Success),
        (&[(Success, false), (Failed, true)], Success),
        (&[(Success, false), (Failed, false)], Failed),
        (
            &[(Success, false), (Failed, false), (Skipped, false)],
            Failed,
        ),
        (&[(Failed, false), (Canceled, false)], Failed),
        (&[(Success, false), (Canceled, false)], Canceled),
        (&[(Success, false), (Canceled, true)], Success),
        (&[(Success, false), (Skipped, false)], Success),
        (&[(Skipped, false)], Skipped),
        (&[(Manual, true)], Skipped),
        (&[(Success, false), (Manual, true)], Success),
        (&[(Success, false), (Manual, false)], Manual),
        (
            &[(Success, false), (Manual, false), (Created, false)],
            Manual,
        ),
        (&[(Failed, false), (Manual, false)], Manual),
        (&[(Created, false)], Created),
        (&[(Pending, false), (Created, false)], Pending),
        (&[(Success, false), (Pending, false)], Running),
        (&[(Success, false), (Created, false)], Running),
        (&[(Running, false), (Failed, false)], Running),
        (&[(Running, true), (Manual, false)], Running),
    ];
    for (jobs, wanted) in table {
        assert_eq!(composite(jobs.iter().copied()), Some(*wanted), "{jobs:?}");
    }
    assert_eq!(composite([]), None);
}

#[tokio::test]
async fn a_blocking_manual_job_holds_the_pipeline_until_it_is_played() {
    let lab = Lab::start().await;
    let jobs = vec![
        builds(),
        JobSpec::new("approve", "gate").manual_blocking(),
        JobSpec::new("tell", "after"),
    ];
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", jobs);
    assert_eq!(lab.gitlab.status(pipeline), Status::Manual);
    let gate = lab.gitlab.job(pipeline, "approve");
    let before = lab.get(&format!("/jobs/{gate}")).await.json();
    assert_eq!(before["status"], "manual");
    assert_eq!(
        before["user"]["username"], "ana",
        "the pipeline's creator, before the press"
    );

    let bob = lab.gitlab.create_user("bob");
    let token = lab.gitlab.create_token(bob, &["api"], None);
    let press = lab.bare(
        Method::POST,
        &format!("projects/{}/jobs/{gate}/play", lab.project),
    );
    let pressed = reply(press.bearer_auth(&token)).await;
    assert_eq!(pressed.status, 200);
    assert_eq!(pressed.json()["id"], json!(gate));
    assert_eq!(pressed.json()["status"], "pending");
    assert_eq!(pressed.json()["user"]["username"], "bob");
    assert_eq!(lab.gitlab.status(pipeline), Status::Running);

    let again = reply(lab.ask(Method::POST, &format!("/jobs/{gate}/play"))).await;
    assert_eq!(
        (again.status.as_u16(), again.json()),
        (400, json!({"message": "400 Bad request - Unplayable Job"}))
    );

    lab.gitlab.finish_job(gate, JobEnd::success());
    let after = lab.gitlab.job(pipeline, "tell");
    lab.gitlab.start_job(after);
    lab.gitlab.finish_job(after, JobEnd::success());
    assert_eq!(lab.gitlab.status(pipeline), Status::Success);
}

#[tokio::test]
async fn an_optional_manual_job_reopens_a_pipeline_that_succeeded() {
    let lab = Lab::start().await;
    let jobs = vec![builds(), JobSpec::new("approve", "gate").manual_optional()];
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", jobs);
    assert_eq!(lab.gitlab.status(pipeline), Status::Success);
    let gate = lab.gitlab.job(pipeline, "approve");
    assert_eq!(lab.gitlab.job_state(gate).status, Status::Manual);
    lab.gitlab.play(gate, lab.ana);
    assert_eq!(lab.gitlab.status(pipeline), Status::Running);
    lab.gitlab.finish_job(gate, JobEnd::failed());
    let shown = lab.get(&format!("/pipelines/{pipeline}")).await.json();
    assert_eq!(shown["status"], "success");
    assert_eq!(shown["detailed_status"]["group"], "success-with-warnings");
}

#[tokio::test]
async fn a_retry_replaces_the_job_and_revives_skipped_jobs() {
    let lab = Lab::start().await;
    let pipeline = lab.gitlab.run_pipeline(
        lab.project,
        "main",
        vec![
            JobSpec::new("test", "test"),
            JobSpec::new("package", "build"),
        ],
    );
    let first = lab.gitlab.job(pipeline, "test");
    lab.gitlab.finish_job(first, JobEnd::failed());
    assert_eq!(lab.gitlab.status(pipeline), Status::Failed);
    let package = lab.gitlab.job(pipeline, "package");
    assert_eq!(lab.gitlab.job_state(package).status, Status::Skipped);
    assert_eq!(
        lab.get(&format!("/jobs/{first}")).await.json()["failure_reason"],
        "script_failure"
    );

    let retried = reply(lab.ask(Method::POST, &format!("/jobs/{first}/retry"))).await;
    assert_eq!(retried.status, 201);
    let second = retried.json()["id"].as_u64().unwrap();
    assert!(second > package.0);
    assert!(retried.json().get("failure_reason").is_none());
    assert_eq!(lab.gitlab.status(pipeline), Status::Pending);
    let list = format!("/pipelines/{pipeline}/jobs");
    assert_eq!(lab.get(&list).await.ids(), [second, package.0]);
    assert_eq!(
        lab.get(&format!("{list}?include_retried=true")).await.ids(),
        [second, package.0, first.0]
    );
    let refused = reply(lab.ask(Method::POST, &format!("/jobs/{first}/retry"))).await;
    assert_eq!(refused.status, 403);

    lab.gitlab
        .finish_job(sluice_lab::gitlab::JobId(second), JobEnd::success());
    assert_eq!(lab.gitlab.job_state(package).status, Status::Pending);
}

#[tokio::test]
async fn cancelling_a_pipeline_ends_running_jobs_and_skips_later_ones() {
    let lab = Lab::start().await;
    let jobs = vec![
        JobSpec::new("test", "test"),
        JobSpec::new("package", "build"),
    ];
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", jobs);
    let test = lab.gitlab.job(pipeline, "test");
    let canceled = reply(lab.ask(Method::POST, &format!("/jobs/{test}/cancel"))).await;
    assert_eq!(
        (canceled.status.as_u16(), canceled.json()["status"].clone()),
        (201, json!("canceled"))
    );
    assert_eq!(lab.gitlab.status(pipeline), Status::Canceled);
    assert_eq!(
        lab.gitlab
            .job_state(lab.gitlab.job(pipeline, "package"))
            .status,
        Status::Skipped
    );
}

#[tokio::test]
async fn the_latest_pipeline_is_that_of_the_head_commit() {
    let lab = Lab::start().await;
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    let latest = lab.get("/pipelines/latest").await;
    assert_eq!(latest.json()["id"], json!(pipeline));
    lab.gitlab.push(lab.project, "main", "Second");
    let refused = lab.get("/pipelines/latest?ref=main").await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()),
        (403, json!({"message": "403 Forbidden"}))
    );
}

#[tokio::test]
async fn a_test_report_has_a_summary() {
    let lab = Lab::start().await;
    let pipeline = lab
        .gitlab
        .run_pipeline(lab.project, "main", vec![JobSpec::new("test", "test")]);
    let path = format!("/pipelines/{pipeline}/test_report_summary");
    let none = lab.get(&path).await.json();
    assert_eq!(
        (none["total"]["count"].clone(), none["test_suites"].clone()),
        (json!(0), json!([]))
    );
    let suite = |failed| TestSuite {
        name: "test".to_owned(),
        time: 1.5,
        success: 3,
        failed,
        ..TestSuite::default()
    };
    lab.gitlab
        .set_test_report(pipeline, vec![suite(1), suite(0)]);
    let some = lab.get(&path).await.json();
    assert_eq!(some["total"]["count"], 7);
    assert_eq!(some["total"]["failed"], 1);
    assert_eq!(
        some["test_suites"][0]["build_ids"],
        json!([lab.gitlab.job(pipeline, "test")])
    );
}

#[tokio::test]
async fn trigger_jobs_are_listed_as_bridges() {
    let lab = Lab::start().await;
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    let child =
        lab.gitlab
            .run_pipeline_as(lab.project, "main", "parent_pipeline", None, vec![builds()]);
    let bridge = lab.gitlab.add_bridge(pipeline, "child", "trigger", child);
    let bridges = lab.get(&format!("/pipelines/{pipeline}/bridges")).await;
    assert_eq!(bridges.ids(), [bridge.0]);
    assert_eq!(bridges.json()[0]["downstream_pipeline"]["id"], json!(child));
    assert_eq!(
        lab.get(&format!("/pipelines/{pipeline}/jobs"))
            .await
            .ids()
            .len(),
        1
    );
    assert_eq!(lab.get(&format!("/jobs/{bridge}")).await.status, 404);
    assert_eq!(
        lab.get("/pipelines").await.ids(),
        [pipeline.0],
        "children only when asked for"
    );
    assert_eq!(
        lab.get("/pipelines?source=parent_pipeline").await.ids(),
        [child.0]
    );
}

#[tokio::test]
async fn a_running_external_pipeline_has_no_update_time() {
    let lab = Lab::start().await;
    let status = vec![JobSpec::new("deploy", "external")];
    let pipeline = lab
        .gitlab
        .run_pipeline_as(lab.project, "main", "external", None, status);
    let path = format!("/pipelines/{pipeline}");
    assert!(lab.get(&path).await.json()["updated_at"].is_null());
    lab.gitlab
        .finish_job(lab.gitlab.job(pipeline, "deploy"), JobEnd::failed());
    assert!(lab.get(&path).await.json()["updated_at"].is_string());
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn extra<'a>(ours: &'a Value, recorded: &'a Value) -> Vec<&'a str> {
    let (ours, recorded) = (keys(ours), keys(recorded));
    assert_eq!(
        recorded.difference(&ours).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "recorded and missing here"
    );
    ours.difference(&recorded).copied().collect()
}

#[tokio::test]
async fn pipelines_have_the_keys_of_recorded_gitlab_responses() {
    let recorded = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let list = recorded(include_str!("../../data/gitlab/pipelines_list.json"));
    let details = recorded(include_str!("../../data/gitlab/pipeline_details.json"));
    let lab = Lab::start().await;
    let PipelineId(id) = lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    let ours = lab.get("/pipelines").await.json();
    // The list was recorded before 15.11, which added the name.
    assert_eq!(extra(&ours[0], &list[0]), ["name"]);
    let ours = lab.get(&format!("/pipelines/{id}")).await.json();
    for recorded in details.as_array().unwrap() {
        assert_eq!(extra(&ours, recorded), Vec::<&str>::new());
        assert_eq!(
            extra(&ours["detailed_status"], &recorded["detailed_status"]),
            Vec::<&str>::new()
        );
        assert_eq!(extra(&ours["user"], &recorded["user"]), ["public_email"]);
    }
    assert!(id > u64::from(u32::MAX));
}

#[tokio::test]
async fn a_trigger_job_follows_its_downstream_pipeline_by_its_strategy() {
    use Status::{Failed, Manual, Running, Skipped, Success};
    let lab = Lab::start().await;
    let child = || {
        vec![
            JobSpec::new("gate", "gate").manual_blocking(),
            JobSpec::new("test", "test"),
        ]
    };
    // The status of the job and of the pipeline while the child waits for a manual job, while it runs, and
    // after it has failed.
    let table = [
        (Strategy::None, [Success; 3], [Success; 3]),
        (
            Strategy::Depend,
            [Running, Running, Failed],
            [Running, Running, Failed],
        ),
        (
            Strategy::Mirror,
            [Manual, Running, Failed],
            [Manual, Running, Failed],
        ),
    ];
    for (strategy, jobs, pipelines) in table {
        let trigger = JobSpec::new("deploy", "deploy").triggers(strategy, child());
        let after = JobSpec::new("tell", "tell").ends(JobEnd::success());
        let pipeline = lab
            .gitlab
            .run_pipeline(lab.project, "main", vec![trigger, after]);
        let bridge = lab.gitlab.job(pipeline, "deploy");
        let stands = |at: usize| {
            let job = lab.gitlab.job_state(bridge).status;
            assert_eq!(
                (job, lab.gitlab.status(pipeline)),
                (jobs[at], pipelines[at]),
                "{strategy:?}"
            );
        };
        stands(0);
        let downstream = lab.gitlab.downstream(pipeline, "deploy");
        let gate = lab.gitlab.job(downstream, "gate");
        let user = lab.gitlab.job_state(gate).user;
        lab.gitlab.play(gate, user);
        lab.gitlab.finish_job(gate, JobEnd::success());
        let test = lab.gitlab.job(downstream, "test");
        lab.gitlab.start_job(test);
        stands(1);
        lab.gitlab.finish_job(test, JobEnd::failed());
        stands(2);
        let after = lab
            .gitlab
            .job_state(lab.gitlab.job(pipeline, "tell"))
            .status;
        let skipped = strategy != Strategy::None;
        assert_eq!(after, if skipped { Skipped } else { Success });

        let shown = lab
            .get(&format!("/pipelines/{pipeline}/bridges"))
            .await
            .json();
        assert_eq!(shown[0]["downstream_pipeline"]["source"], "parent_pipeline");
        let again = lab.gitlab.retry(bridge);
        assert_ne!(lab.gitlab.downstream(pipeline, "deploy"), downstream);
        assert_eq!(
            lab.get(&format!("/pipelines/{pipeline}/bridges"))
                .await
                .ids(),
            [again.0]
        );
    }
}
