//! Garbage collection deletes what no Release needs, and keeps what a rollback could need.

use serde_json::json;
use sluice::api::v1alpha1::{Release, Target};
use sluice_lab::lab::{HUB_REGION, wait_for};

use super::{
    LIMIT,
    aws_state::versions,
    run,
    scene::{NAME, Scene},
};

/// Waits until the team's function has exactly these versions.
#[track_caller]
fn left(scene: &Scene<'_>, wanted: &[&str]) {
    let found = wait_for(&format!("{wanted:?} are left"), LIMIT, || {
        let versions = versions(scene, "dev", &scene.function());
        if versions == wanted {
            Ok(())
        } else {
            Err(format!("{versions:?}"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// A team that keeps one ended Release, with v1 delivered to dev.
fn running(namespace: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["historyLimit"] = json!(1);
    scene.apply(&wanted);
    scene.push("v1");
    scene.delivered(1);
    scene
}

/// Dev's artifact bucket.
fn artifacts(scene: &Scene<'_>) -> (aws_sdk_s3::Client, String) {
    let lab = &scene.environment.lab;
    let client = lab.s3("dev").unwrap();
    let account = lab.get_json("account", None, "dev").unwrap();
    let bucket = account["spec"]["regions"][0]["artifactBucket"].as_str();
    (client, bucket.unwrap().to_owned())
}

/// The object with this key in dev's artifact bucket, as JSON.
pub fn kept(scene: &Scene<'_>, key: &str) -> serde_json::Value {
    let (client, bucket) = artifacts(scene);
    let object = run(client.get_object().bucket(bucket).key(key).send()).unwrap();
    let bytes = run(object.body.collect()).unwrap().into_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

/// The keys of the team's objects in a folder of dev's artifact bucket.
pub fn kept_in(scene: &Scene<'_>, folder: &str) -> Vec<String> {
    let (client, bucket) = artifacts(scene);
    let list = client
        .list_objects_v2()
        .bucket(bucket)
        .prefix(format!("{folder}/{}/", scene.team.namespace));
    let listed = run(list.send()).unwrap();
    let keys = listed.contents.unwrap_or_default().into_iter();
    keys.filter_map(|object| object.key).collect()
}

#[test]
fn versions_are_collected_with_their_releases() {
    let scene = running("collected");
    for revision in 2..=4 {
        scene.push(&format!("v{revision}"));
        scene.delivered(revision);
    }
    left(&scene, &["3", "4"]);
    let recorded = wait_for("the status follows", LIMIT, || {
        let status = scene.target("dev").status.unwrap();
        let recorded: Vec<_> = status.versions.into_iter().map(|it| it.version).collect();
        if recorded == ["3", "4"] && status.expired_snapshots.is_empty() {
            Ok(())
        } else {
            Err(format!("{recorded:?}, {:?}", status.expired_snapshots))
        }
    });
    recorded.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
    let kept: Vec<_> = scene
        .list::<Release>()
        .iter()
        .map(|release| release.spec.revision)
        .collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(kept_in(&scene, "snapshots").len(), 1, "of the last run");

    let mark = scene.environment.lab.aws.mark();
    scene.annotate("sluice.dev/rollback", "incident-4713");
    scene.wait(NAME, "r3 serves again", |it| {
        (it.status.as_ref()?.live.as_deref() == Some("dev=r3")).then_some(())
    });
    scene.still_serves("dev", "v3");
    let published = scene.lambda_calls(mark);
    assert_eq!(published.named("lambda", "PublishVersion").count(), 0);
    left(&scene, &["3", "4"]);
}

#[test]
fn version_with_an_unmanaged_alias_is_not_collected() {
    let scene = running("in-use");
    let lambda = scene.environment.lab.lambda("dev", HUB_REGION).unwrap();
    let alias = lambda
        .create_alias()
        .function_name(scene.function())
        .name("theirs")
        .function_version("1");
    run(alias.send()).unwrap();
    for revision in 2..=4 {
        scene.push(&format!("v{revision}"));
        scene.delivered(revision);
    }
    left(&scene, &["1", "3", "4"]);
    scene.answers("dev", &scene.function(), Some("theirs"), "v1");
    let recorded = |target: &Target| -> Vec<String> {
        let versions = target.status.clone().unwrap().versions.into_iter();
        versions.map(|it| it.version).collect()
    };
    let found = wait_for("the status keeps the version", LIMIT, || {
        let recorded = recorded(&scene.target("dev"));
        if recorded == ["1", "3", "4"] {
            Ok(())
        } else {
            Err(format!("{recorded:?}"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn retain_policy_deletes_no_versions_with_the_deployment() {
    let scene = running("retained-all");
    scene.push("v2");
    scene.delivered(2);
    let mark = scene.environment.lab.aws.mark();
    let api = scene.api::<sluice::api::v1alpha1::Deployment>();
    run(api.delete(NAME, &kube::api::DeleteParams::background())).unwrap();
    super::scene::gone(&api, NAME);
    assert!(scene.lambda_calls(mark).writes().is_empty());
    left(&scene, &["1", "2"]);
}
