//! Artifacts that cannot be downloaded, or are no valid function package.

use std::io::{Cursor, Write as _};

use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use sluice::api::v1alpha1::GitLabConnection;
use sluice_lab::{
    gitlab::{FaultAction, FaultRule, JobEnd, JobSpec, PipelineId, zip},
    lab::{archive, package},
};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::{
    run,
    scene::{NAME, Scene, assert_contains, condition_in, conditions},
};

/// Runs a newer pipeline with a bad artifact. Sluice creates no Release and the live one keeps serving; the
/// next pipeline is delivered.
fn refused(
    namespace: &str,
    bad: impl FnOnce(&Scene<'_>) -> PipelineId,
    reason: &str,
    parts: &[&str],
) {
    let scene = Scene::running(namespace);
    let mark = scene.environment.lab.aws.mark();
    bad(&scene);
    scene.stalled(reason, parts);
    scene.event("Deployment", "Warning", reason, parts);
    assert_eq!(scene.releases().len(), 1, "no Release is created");
    assert!(scene.lambda_calls(mark).writes().is_empty());
    scene.still_serves("dev", "v1");
    scene.push("v3");
    scene.delivered(2);
    scene.serves("dev", "v3");
}

/// Runs a pipeline whose job `package` ends with `end`.
fn pipeline(scene: &Scene<'_>, end: JobEnd) -> PipelineId {
    let gitlab = &scene.environment.lab.gitlab;
    let project = scene.team.project;
    gitlab.push(project, "main", "Change the pipeline");
    gitlab.run_pipeline(
        project,
        "main",
        vec![JobSpec::new("package", "package").ends(end)],
    )
}

#[test]
fn job_without_artifacts_is_named_with_the_fix() {
    refused(
        "no-artifacts",
        |scene| pipeline(scene, JobEnd::success()),
        "ArtifactMissing",
        &["job package has no artifacts", "artifacts:paths"],
    );
}

#[test]
fn expired_artifacts_ask_to_run_the_job_again() {
    let expired = |scene: &Scene<'_>| {
        let gitlab = &scene.environment.lab.gitlab;
        let project = scene.team.project;
        gitlab.set_keep_latest_artifacts(project, false);
        gitlab.push(project, "main", "Too late");
        let pipeline =
            gitlab.run_pipeline(project, "main", vec![JobSpec::new("package", "package")]);
        let job = gitlab.job(pipeline, "package");
        gitlab.start_job(job);
        // In one step, so that Sluice never observes the job with its archive.
        gitlab.change(|environment, now| {
            environment.finish_job(now, job, JobEnd::uploads(archive(&package("v2"))))?;
            environment.expire_artifacts(now, job)?;
            environment.clean_artifacts(job)
        });
        pipeline
    };
    refused(
        "expired-artifacts",
        expired,
        "ArtifactMissing",
        &["job package expired on", "Run the job again"],
    );
}

#[test]
fn path_missing_from_the_archive_is_named() {
    let elsewhere = zip(&[("dist/elsewhere.zip", &package("v2"))]);
    refused(
        "no-path",
        |scene| pipeline(scene, JobEnd::uploads(elsewhere.clone())),
        "NotFound",
        &["artifact api (job package)", "dist/api.zip"],
    );
}

#[test]
fn invalid_zip_is_not_released() {
    refused(
        "no-zip",
        |scene| scene.push_package(b"#!/bin/sh\necho no archive\n"),
        "InvalidArtifact",
        &["artifact api of component api", "not a zip archive"],
    );
}

#[test]
fn zip_with_path_traversal_is_not_released() {
    refused(
        "hostile-zip",
        |scene| scene.push_package(&zip(&[("../../etc/passwd", b"root")])),
        "InvalidArtifact",
        &["artifact api of component api", "../../etc/passwd"],
    );
}

#[test]
fn package_over_the_lambda_limit_is_not_released() {
    let large = large_package();
    refused(
        "large-zip",
        |scene| scene.push_package(&large),
        "InvalidArtifact",
        &["artifact api of component api", "262144000", "250 MiB"],
    );
}

/// A small zip that unpacks to more than Lambda's limit: it repeats one compressed entry.
fn large_package() -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut one = ZipWriter::new(Cursor::new(Vec::new()));
    one.start_file("zeros", options).unwrap();
    one.write_all(&vec![0; 10 << 20]).unwrap();
    let mut one = ZipArchive::new(one.finish().unwrap()).unwrap();
    let mut all = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..26 {
        let entry = one.by_index_raw(0).unwrap();
        all.raw_copy_file_rename(entry, format!("zeros-{number}"))
            .unwrap();
    }
    all.finish().unwrap().into_inner()
}

#[test]
fn truncated_artifact_is_retried_before_the_release() {
    let scene = Scene::new("cut-off");
    let project = format!("/projects/{}/jobs/", scene.team.project.0);
    let cut = FaultRule::on(&project, FaultAction::Truncate { after: 40 });
    let fault = scene.environment.lab.gitlab.faults().add(cut);
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    let message = still_fetching(&scene);
    assert_contains(&message, &["artifact api (job package)"]);
    assert!(scene.releases().is_empty());
    fault.remove();
    scene.delivered(1);
    scene.serves("dev", "v1");
}

#[test]
fn download_longer_than_declared_is_refused() {
    let scene = Scene::new("too-long");
    let gitlab = &scene.environment.lab.gitlab;
    // The whole archive is the package: GitLab declares a size for whole archives only.
    let pipeline = pipeline(&scene, JobEnd::uploads(package("v1")));
    let job = gitlab.job(pipeline, "package");
    gitlab.declare_artifact_size(job, Some(100));
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["artifacts"] = json!([{"name": "api", "job": {"name": "package"}}]);
    scene.apply(&wanted);
    let message = still_fetching(&scene);
    assert_contains(&message, &["artifact api (job package)", "100"]);
    assert!(scene.releases().is_empty());
    gitlab.declare_artifact_size(job, None);
    scene.delivered(1);
    scene.serves("dev", "v1");
}

/// Waits until the status reports that a download failed and is retried. Returns the message.
fn still_fetching(scene: &Scene<'_>) -> String {
    scene.wait(NAME, "a download has failed once", |deployment| {
        let ready = condition_in(conditions(deployment), "Ready")?;
        let waits = ready.status == "Unknown" && ready.reason != "Fetching";
        (waits && ready.message.contains("artifact api (job")).then(|| ready.message.clone())
    })
}

/// Another team's Deployment names the same project; its connection leads to the same GitLab.
#[test]
fn artifact_of_another_team_is_not_shared() {
    let owner = Scene::running("own-artifact");
    let other = Scene::new("other-artifact");
    // From now on GitLab refuses requests for the job's artifacts.
    let project = owner.team.project.0;
    let refuse = FaultAction::Respond {
        status: 403,
        content_type: "application/json".to_owned(),
        body: r#"{"message":"403 Forbidden"}"#.to_owned(),
    };
    let jobs = FaultRule::on(&format!("/projects/{project}/jobs/"), refuse);
    let fault = owner.environment.lab.gitlab.faults().add(jobs);
    let mut wanted = other.deployment(&["dev"]);
    wanted["spec"]["source"]["project"] = json!(owner.team.path);
    other.apply(&wanted);
    other.stalled(
        "AccessDenied",
        &["artifact api (job package)", "403 Forbidden"],
    );
    assert!(other.releases().is_empty());
    fault.remove();
    other.annotate("sluice.dev/retry", "allowed now");
    other.delivered(1);
    let key = |scene: &Scene<'_>| scene.releases()[0].spec.artifacts[0].location.key.clone();
    assert_ne!(key(&owner), key(&other));

    // A connection that is deleted and applied again counts as the same connection.
    let connections = owner.api::<GitLabConnection>();
    let mut connection = run(connections.get("gitlab")).unwrap();
    run(connections.delete("gitlab", &DeleteParams::default())).unwrap();
    owner.stalled("ConnectionNotFound", &["gitlab"]);
    connection.metadata = kube::api::ObjectMeta {
        name: Some("gitlab".to_owned()),
        ..Default::default()
    };
    connection.status = None;
    run(connections.create(&PostParams::default(), &connection)).unwrap();
    let mut wanted = owner.deployment(&["dev"]);
    wanted["spec"]["components"][0]["lambda"]["memorySize"] = json!(256);
    owner.apply(&wanted);
    owner.delivered(2);
    let keys: Vec<_> = (owner.releases().iter())
        .map(|release| release.spec.artifacts[0].location.clone())
        .collect();
    assert_eq!(keys[0], keys[1], "it is not downloaded again");
}
