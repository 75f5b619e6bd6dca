//! Deletion of a Deployment: AWS ends up as the deletion policy says, and nothing hangs.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PropagationPolicy},
};
use serde_json::json;
use sluice::api::v1alpha1::{Deployment, Release, Target};
use sluice_lab::{aws::Settle, lab::wait_for};

use super::{
    LIMIT, run,
    scene::{NAME, Scene, gone},
};

/// A team with v1 in dev and prod, and that deletion policy.
fn running(namespace: &str, policy: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["deletionPolicy"] = json!(policy);
    scene.apply(&wanted);
    scene.delivered(1);
    scene
}

fn delete(scene: &Scene<'_>, propagation: &DeleteParams) {
    run(scene.api::<Deployment>().delete(NAME, propagation)).unwrap();
}

/// Waits until the Deployment and all it owned are gone from the cluster.
#[track_caller]
fn all_gone(scene: &Scene<'_>) {
    gone(&scene.api::<Deployment>(), NAME);
    let left = wait_for("Targets and Releases are gone", LIMIT, || {
        let names: Vec<String> = scene
            .list::<Target>()
            .iter()
            .map(ResourceExt::name_any)
            .chain(scene.list::<Release>().iter().map(ResourceExt::name_any))
            .collect();
        if names.is_empty() {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
    left.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

#[track_caller]
fn function_is_gone(scene: &Scene<'_>, account: &str) {
    let lambda = scene.environment.lab.lambda(account, "eu-west-1").unwrap();
    let found = run(lambda.get_function().function_name(scene.function()).send());
    let error = found.unwrap_err().into_service_error();
    assert!(
        error.is_resource_not_found_exception(),
        "{account}: {error}"
    );
}

#[test]
fn policy_retain_leaves_everything_in_aws() {
    let scene = running("retain", "Retain");
    let mark = scene.environment.lab.aws.mark();
    delete(&scene, &DeleteParams::background());
    all_gone(&scene);
    scene.serves("dev", "v1");
    scene.serves("prod", "v1");
    assert!(scene.lambda_calls(mark).writes().is_empty());
}

#[test]
fn policy_delete_removes_functions_with_any_propagation() {
    for (namespace, how) in [
        ("delete-back", DeleteParams::background()),
        ("delete-fore", DeleteParams::foreground()),
    ] {
        let scene = running(namespace, "Delete");
        delete(&scene, &how);
        all_gone(&scene);
        function_is_gone(&scene, "dev");
        function_is_gone(&scene, "prod");
    }
}

#[test]
fn orphaned_targets_are_adopted_by_a_deployment_of_that_name() {
    let scene = running("orphan", "Delete");
    let newer = scene.push("v2");
    scene.delivered(2);
    delete(
        &scene,
        &DeleteParams {
            propagation_policy: Some(PropagationPolicy::Orphan),
            ..DeleteParams::default()
        },
    );
    gone(&scene.api::<Deployment>(), NAME);
    let orphans = scene.list::<Target>();
    assert_eq!(orphans.len(), 2);
    let owners: Vec<_> = orphans.iter().map(ResourceExt::owner_references).collect();
    assert!(owners.iter().all(|it| it.is_empty()), "{owners:#?}");
    scene.serves("dev", "v2");
    scene.serves("prod", "v2");

    // The adopted Targets record which pipelines are too old.
    scene.environment.lab.gitlab.delete_pipeline(newer);
    let mut wanted = scene.deployment(&["dev", "prod"]);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(2);
    scene.poll_gitlab("after the adoption");
    scene.push("v3");
    scene.delivered(3);
    scene.serves("dev", "v3");
    assert_eq!(scene.releases().len(), 3);
    let adopted = scene.list::<Target>();
    assert_eq!(adopted.len(), 2);
    assert!(adopted.iter().all(|it| it.owner_references().len() == 1));
}

#[test]
fn namespace_deletion_completes() {
    let scene = running("whole-namespace", "Delete");
    let namespaces = Api::<Namespace>::all(scene.environment.client.clone());
    run(namespaces.delete(&scene.team.namespace, &DeleteParams::default())).unwrap();
    gone(&namespaces, &scene.team.namespace);
    function_is_gone(&scene, "dev");
    function_is_gone(&scene, "prod");
}

#[test]
fn rollout_in_progress_is_restored_before_its_target_is_deleted() {
    let scene = running("mid-rollout", "Retain");
    let lab = &scene.environment.lab;
    let slowly = Settle {
        update: Duration::from_mins(10),
        ..Settle::default()
    };
    lab.aws.set_settle_of(&scene.function(), slowly);
    let mark = lab.aws.mark();
    scene.push("v2");
    let begun = wait_for("the code update has begun", LIMIT, || {
        scene
            .lambda_calls(mark)
            .named("lambda", "UpdateFunctionCode")
            .next()
            .map(drop)
    });
    begun.unwrap();
    delete(&scene, &DeleteParams::background());
    scene.wait(NAME, "the Deployment is being deleted", |deployment| {
        deployment.metadata.deletion_timestamp.as_ref().map(drop)
    });
    lab.aws.set_settle_of(&scene.function(), Settle::default());
    lab.aws.settle_now(&scene.function());
    all_gone(&scene);
    for account in ["dev", "prod"] {
        scene.serves(account, "v1");
        scene.serves_unqualified(account, "v1");
    }
}
