//! Which pipeline is delivered: the newest eligible one, and never an older one than before.

use sluice_lab::{
    gitlab::{JobEnd, JobSpec, Status},
    lab::{archive, package},
};

use super::scene::Scene;

#[test]
fn a_pipeline_that_waits_for_a_manual_job_is_delivered() {
    let scene = Scene::new("manual-job");
    let gitlab = &scene.world.lab.gitlab;
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
fn an_older_pipeline_never_comes_back() {
    let scene = Scene::new("older");
    let older = scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    let newer = scene.push("v2");
    scene.delivered(2);

    let gitlab = &scene.world.lab.gitlab;
    gitlab.retry(gitlab.job(older, "package"));
    scene.looked_at_gitlab("after the retry of the older one");
    gitlab.delete_pipeline(newer);
    scene.looked_at_gitlab("after the deletion of the newer one");
    gitlab.retry(gitlab.job(older, "test"));
    scene.looked_at_gitlab("after another retry");
    assert_eq!(scene.releases().len(), 2);
    scene.delivered(2);
    scene.serves("dev", "v2");

    scene.push("v3");
    scene.delivered(3);
    scene.serves("dev", "v3");
}

#[test]
fn a_job_that_is_run_again_and_builds_the_same_is_no_new_release() {
    let scene = Scene::new("same-again");
    let pipeline = scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    let mark = scene.world.lab.aws.mark();
    let gitlab = &scene.world.lab.gitlab;
    gitlab.retry(gitlab.job(pipeline, "package"));
    scene.looked_at_gitlab("after the retry");
    scene.delivered(1);
    assert_eq!(scene.releases().len(), 1);
    assert!(scene.lambda_calls(mark).writes().is_empty());
}

#[test]
fn a_failed_pipeline_is_passed_over() {
    let scene = Scene::running("failed-pipeline");
    let gitlab = &scene.world.lab.gitlab;
    gitlab.push(scene.team.project, "main", "Break the tests");
    let jobs = vec![
        JobSpec::new("package", "package").ends(JobEnd::uploads(archive(&package("v2")))),
        JobSpec::new("test", "test").ends(JobEnd::failed()),
    ];
    gitlab.run_pipeline(scene.team.project, "main", jobs);
    scene.looked_at_gitlab("at the failed one");
    scene.delivered(1);
    scene.serves("dev", "v1");
    scene.push("v3");
    scene.delivered(2);
    scene.serves("dev", "v3");
}
