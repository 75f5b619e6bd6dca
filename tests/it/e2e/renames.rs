//! Stages that are renamed or removed.

use serde_json::{Value, json};
use sluice::api::v1alpha1::{Target, condition};

use super::{
    aws_state::is_gone,
    refusing::DenyUpdates,
    scene::{NAME, Scene},
};

/// A Deployment with these stages, all of them in the Account dev.
fn wanted(scene: &Scene<'_>, stages: &[&str], function: &str) -> Value {
    let mut wanted = scene.deployment(stages);
    for stage in wanted["spec"]["stages"].as_array_mut().unwrap() {
        stage["targets"][0]["account"] = json!("dev");
    }
    wanted["spec"]["components"][0]["lambda"]["functionName"] = json!(function);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    wanted["spec"]["drift"] = json!({"interval": "2s"});
    wanted
}

/// Waits until exactly one Target exists, and returns it.
fn one_target(scene: &Scene<'_>) -> Target {
    scene.wait(NAME, "exactly one Target exists", |_| {
        let mut targets = scene.list::<Target>();
        (targets.len() == 1).then(|| targets.pop())?
    })
}

#[test]
fn renamed_stage_keeps_its_target() {
    let scene = Scene::new("stage-renamed");
    let function = scene.function();
    scene.push("v1");
    scene.apply(&wanted(&scene, &["dev"], &function));
    scene.delivered(1);
    let before = one_target(&scene);

    scene.apply(&wanted(&scene, &["staging"], &function));
    scene.delivered(2);
    scene.push("v2");
    scene.delivered(3);
    let target = one_target(&scene);
    assert_eq!(target.spec.stage, "staging");
    assert_eq!(target.metadata.uid, before.metadata.uid, "the same Target");
    scene.serves("dev", "v2");
    scene.condition(condition::DRIFTED, "False", "InSync");

    // A new stage with the former name needs a Target of another name: the renamed one keeps its own.
    scene.apply(&wanted(
        &scene,
        &["dev", "staging"],
        &format!("{function}-$(stage.name)"),
    ));
    scene.delivered(4);
    assert_eq!(scene.list::<Target>().len(), 2);
    for stage in ["dev", "staging"] {
        scene.answers("dev", &format!("{function}-{stage}"), Some("live"), "v2");
    }
    let what = "the function that no stage has any more is deleted";
    scene.wait(NAME, what, |_| {
        is_gone(&scene, "dev", &function).then_some(())
    });
}

#[test]
fn refused_stage_rename_keeps_the_target() {
    let scene = Scene::new("stage-rename-refused");
    let function = scene.function();
    scene.push("v1");
    scene.apply(&wanted(&scene, &["dev"], &function));
    scene.delivered(1);
    let before = one_target(&scene);

    let refusing = DenyUpdates::begin(&scene, "targets");
    scene.apply(&wanted(&scene, &["staging"], &function));
    refusing.wait_denied(2);
    let meanwhile = one_target(&scene);
    assert_eq!(meanwhile.metadata.uid, before.metadata.uid, "no new Target");
    assert_eq!(meanwhile.metadata.deletion_timestamp, None);
    drop(refusing);

    scene.delivered(2);
    let target = one_target(&scene);
    assert_eq!(target.spec.stage, "staging");
    assert_eq!(target.metadata.uid, before.metadata.uid, "the same Target");
    scene.serves("dev", "v1");
}

#[test]
fn removed_stage_deletes_its_function() {
    let scene = Scene::new("stage-removed");
    let function = format!("{}-$(stage.name)", scene.team.namespace);
    let of = |stage: &str| format!("{}-{stage}", scene.team.namespace);
    scene.push("v1");
    scene.apply(&wanted(&scene, &["dev", "qa"], &function));
    scene.delivered(1);
    assert_eq!(scene.list::<Target>().len(), 2);

    scene.apply(&wanted(&scene, &["dev"], &function));
    scene.delivered(2);
    let target = one_target(&scene);
    assert_eq!(target.spec.stage, "dev");
    assert!(is_gone(&scene, "dev", &of("qa")));
    scene.answers("dev", &of("dev"), Some("live"), "v1");
}

#[test]
fn function_moved_to_another_stage_survives_the_stage_removal() {
    let scene = Scene::new("stage-moved");
    let function = scene.function();
    let (dev, both) = (
        json!({"account": "dev", "region": "eu-west-1"}),
        ["prod", "dev"],
    );
    scene.push("v1");
    let mut first = wanted(&scene, &both, &function);
    first["spec"]["stages"][0]["targets"][0]["account"] = json!("prod");
    scene.apply(&first);
    scene.delivered(1);

    // The stage prod gets the target of the stage dev, which is removed.
    let mut second = wanted(&scene, &["prod"], &function);
    second["spec"]["stages"][0]["targets"] = json!([
        {"account": "prod", "region": "eu-west-1"}, dev,
    ]);
    scene.apply(&second);
    scene.delivered(2);
    scene.wait(NAME, "the Target of the removed stage is gone", |_| {
        let targets = scene.list::<Target>();
        targets
            .iter()
            .all(|target| target.spec.stage == "prod")
            .then_some(())
    });
    assert_eq!(scene.list::<Target>().len(), 2);
    for account in ["dev", "prod"] {
        scene.serves(account, "v1");
    }
    let owned = scene.target("dev").status.unwrap().inventory;
    assert!(owned.iter().all(|item| item.created), "{owned:?}");
}
