//! Which pipeline is delivered: the newest eligible one, and never an older one than before.

use serde_json::json;
use sluice::api::v1alpha1::condition;
use sluice_lab::{
    gitlab::{JobEnd, JobSpec, PipelineId, Status, Strategy},
    lab::{archive, package},
};

use super::scene::{Scene, assert_contains};

#[test]
fn pipeline_waiting_for_a_manual_job_is_delivered() {
    let scene = Scene::new("manual-job");
    let gitlab = &scene.environment.lab.gitlab;
    let jobs = vec![
        JobSpec::new("package", "package").ends(JobEnd::uploads(archive(&package("v1")))),
        JobSpec::new("approve", "deploy").manual_blocking(),
    ];
    let pipeline = gitlab.run_pipeline(scene.team.project, "main", jobs);
    assert_eq!(gitlab.status(pipeline), Status::Manual);
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    scene.serves("dev", "v1");
}

#[test]
fn older_pipeline_is_never_delivered_again() {
    let scene = Scene::new("older");
    let older = scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    let newer = scene.push("v2");
    scene.delivered(2);

    let gitlab = &scene.environment.lab.gitlab;
    gitlab.retry(gitlab.job(older, "package"));
    scene.poll_gitlab("after the retry of the older one");
    gitlab.delete_pipeline(newer);
    scene.poll_gitlab("after the deletion of the newer one");
    gitlab.retry(gitlab.job(older, "test"));
    scene.poll_gitlab("after another retry");
    assert_eq!(scene.releases().len(), 2);
    scene.delivered(2);
    scene.serves("dev", "v2");

    scene.push("v3");
    scene.delivered(3);
    scene.serves("dev", "v3");
}

#[test]
fn retried_job_with_the_same_artifact_creates_no_release() {
    let scene = Scene::new("same-again");
    let pipeline = scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    let mark = scene.environment.lab.aws.mark();
    let gitlab = &scene.environment.lab.gitlab;
    gitlab.retry(gitlab.job(pipeline, "package"));
    scene.poll_gitlab("after the retry");
    scene.delivered(1);
    assert_eq!(scene.releases().len(), 1);
    assert!(scene.lambda_calls(mark).writes().is_empty());
}

#[test]
fn failed_pipeline_is_skipped() {
    let scene = Scene::running("failed-pipeline");
    let gitlab = &scene.environment.lab.gitlab;
    gitlab.push(scene.team.project, "main", "Break the tests");
    let jobs = vec![
        JobSpec::new("package", "package").ends(JobEnd::uploads(archive(&package("v2")))),
        JobSpec::new("test", "test").ends(JobEnd::failed()),
    ];
    gitlab.run_pipeline(scene.team.project, "main", jobs);
    scene.poll_gitlab("at the failed one");
    scene.delivered(1);
    scene.serves("dev", "v1");
    scene.push("v3");
    scene.delivered(2);
    scene.serves("dev", "v3");
}

/// A pipeline of nothing but a trigger job, whose child pipeline tests and packages that version.
fn run_with_child(scene: &Scene<'_>, version: &str, lint: JobEnd) -> PipelineId {
    let gitlab = &scene.environment.lab.gitlab;
    gitlab.push(scene.team.project, "main", "Change the answer");
    let child = vec![
        JobSpec::new("test", "test").ends(JobEnd::success()),
        JobSpec::new("lint", "test").ends(lint),
        JobSpec::new("package", "test").ends(JobEnd::uploads(archive(&package(version)))),
    ];
    let services = JobSpec::new("services", "build").triggers(Strategy::Depend, child);
    gitlab.run_pipeline(scene.team.project, "main", vec![services])
}

#[test]
fn artifacts_of_a_child_pipeline_are_delivered() {
    let scene = Scene::new("child-pipeline");
    let gitlab = &scene.environment.lab.gitlab;
    let pipeline = run_with_child(&scene, "v1", JobEnd::success());
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["artifacts"][0]["job"]["pipeline"] = json!("services");
    wanted["spec"]["source"]["pipeline"] = json!({
        "requiredJobs": ["services"],
        "requiredChildJobs": [{"pipeline": "services", "name": "test"}],
    });
    scene.apply(&wanted);
    scene.delivered(1);
    scene.serves("dev", "v1");

    // A child pipeline that builds the same bytes creates no Release, and neither does one that fails.
    let child = gitlab.downstream(pipeline, "services");
    gitlab.retry(gitlab.job(child, "package"));
    scene.poll_gitlab("after the retry");
    run_with_child(&scene, "v2", JobEnd::failed());
    scene.poll_gitlab("at the one that failed");
    let message = scene.condition(condition::SOURCE_READY, "True", "Resolved");
    assert_contains(
        &message,
        &["trigger job services failed", "downstream pipeline"],
    );
    scene.delivered(1);
    scene.serves("dev", "v1");
    assert_eq!(scene.releases().len(), 1);

    run_with_child(&scene, "v3", JobEnd::success());
    scene.delivered(2);
    scene.serves("dev", "v3");
}

/// Runs pipelines of the branch main that never finish.
fn busy(scene: &Scene<'_>, count: usize) {
    let gitlab = &scene.environment.lab.gitlab;
    for _ in 0..count {
        gitlab.push(scene.team.project, "main", "Change the answer");
        let jobs = vec![JobSpec::new("package", "package")];
        gitlab.run_pipeline(scene.team.project, "main", jobs);
    }
}

#[test]
fn finished_pipeline_behind_a_page_of_running_ones_is_delivered() {
    let scene = Scene::new("busy-branch");
    scene.push("v1");
    busy(&scene, 21);
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    scene.serves("dev", "v1");
}

#[test]
fn tag_pattern_is_found_behind_a_busy_branch() {
    let scene = Scene::new("busy-tags");
    let gitlab = &scene.environment.lab.gitlab;
    let project = scene.team.project;
    let sha = gitlab.push(project, "main", "Change the answer");
    gitlab.tag(project, "v1.0", &sha);
    let jobs =
        vec![JobSpec::new("package", "package").ends(JobEnd::uploads(archive(&package("v1"))))];
    gitlab.run_pipeline(project, "refs/tags/v1.0", jobs);
    busy(&scene, 21);
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["source"]["ref"] = json!("v*");
    scene.apply(&wanted);
    scene.delivered(1);
    scene.serves("dev", "v1");
    assert_eq!(scene.releases()[0].spec.source.git_ref, "v1.0");
}
